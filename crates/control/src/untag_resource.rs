//! UntagResource: removes tags from a resource. Keys that it does not have are ignored.

use std::collections::BTreeMap;

use http::request::Parts;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::error::Error;
use crate::model::tag::UNTAG;
use crate::{Control, request};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Asked {
    resource_arn: String,
    tag_keys: Vec<String>,
}

impl Control {
    pub(crate) async fn untag_resource(&self, arn: &str, parts: &Parts) -> Result<(), Error> {
        let keys: Vec<Value> = request::queries(&parts.uri, "tagKeys").map(Value::from).collect();
        let mut members = Map::from_iter([("resourceArn".to_owned(), arn.into())]);
        // A list without items and no list look the same in a query; the member is required.
        if !keys.is_empty() {
            members.insert("tagKeys".to_owned(), keys.into());
        }
        let Asked { resource_arn, tag_keys } = request::checked(&UNTAG, members)?;
        let resource = self.named(&resource_arn)?;
        Ok(self.inner.store.change_tags(resource, tag_keys, BTreeMap::new()).await?)
    }
}
