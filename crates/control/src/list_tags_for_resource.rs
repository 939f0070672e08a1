//! ListTagsForResource.

use innkeep_protocol::control::attached::ListTagsForResourceResponse;

use crate::error::Error;
use crate::model::tag::LIST;
use crate::{Control, resource};

impl Control {
    pub(crate) async fn list_tags_for_resource(&self, arn: &str) -> Result<ListTagsForResourceResponse, Error> {
        let resource_arn = resource::arn(&LIST, arn)?;
        let tags = self.inner.store.get_tags(self.named(&resource_arn)?).await?;
        let tags = tags.ok_or(Error::NoResource(resource_arn))?;
        Ok(ListTagsForResourceResponse { tags })
    }
}
