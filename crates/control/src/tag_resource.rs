//! TagResource: adds tags to a resource, or gives those that it has another value.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::error::Error;
use crate::model::tag::TAG;
use crate::{Control, request};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Asked {
    resource_arn: String,
    tags: BTreeMap<String, String>,
}

impl Control {
    pub(crate) async fn tag_resource(&self, arn: &str, body: &[u8]) -> Result<(), Error> {
        let mut members = request::members(body)?;
        members.insert("resourceArn".to_owned(), arn.into());
        let Asked { resource_arn, tags } = request::checked(&TAG, members)?;
        let resource = self.named(&resource_arn)?;
        Ok(self.inner.store.change_tags(resource, Vec::new(), tags).await?)
    }
}
