//! GetResourcePolicy: what is attached to a runtime or an endpoint, verbatim; no `policy` where nothing is.

use innkeep_protocol::control::attached::ResourcePolicy;
use serde::Deserialize;
use serde_json::Map;

use crate::error::Error;
use crate::model::policy::NAMED;
use crate::{Control, request};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Asked {
    resource_arn: String,
}

impl Control {
    pub(crate) async fn get_resource_policy(&self, arn: &str) -> Result<ResourcePolicy, Error> {
        let members = Map::from_iter([("resourceArn".to_owned(), arn.into())]);
        let Asked { resource_arn } = request::checked(&NAMED, members)?;
        let (runtime, endpoint) = self.guarded(&resource_arn)?;
        let policy = self.inner.store.get_policy(&runtime, endpoint.as_ref()).await?;
        Ok(ResourcePolicy { policy })
    }
}
