//! ListTagsForResource.

use innkeep_protocol::control::attached::ListTagsForResourceResponse;
use serde::Deserialize;
use serde_json::Map;

use crate::error::Error;
use crate::model::tag::LIST;
use crate::{Control, request};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Asked {
    resource_arn: String,
}

impl Control {
    pub(crate) async fn list_tags_for_resource(&self, arn: &str) -> Result<ListTagsForResourceResponse, Error> {
        let members = Map::from_iter([("resourceArn".to_owned(), arn.into())]);
        let Asked { resource_arn } = request::checked(&LIST, members)?;
        let tags = self.inner.store.get_tags(self.named(&resource_arn)?).await?;
        let tags = tags.ok_or(Error::NoResource(resource_arn))?;
        Ok(ListTagsForResourceResponse { tags })
    }
}
