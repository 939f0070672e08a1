//! DeleteResourcePolicy.

use serde::Deserialize;
use serde_json::Map;

use crate::error::Error;
use crate::model::policy::NAMED;
use crate::{Control, Principal, request};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Asked {
    resource_arn: String,
}

impl Control {
    pub(crate) async fn delete_resource_policy(&self, arn: &str, principal: &Principal) -> Result<(), Error> {
        let members = Map::from_iter([("resourceArn".to_owned(), arn.into())]);
        let Asked { resource_arn } = request::checked(&NAMED, members)?;
        let (runtime, endpoint) = self.guarded(&resource_arn)?;
        if !self.inner.store.delete_policy(&runtime, endpoint.as_ref()).await? {
            return Err(Error::NoPolicy(resource_arn));
        }
        tracing::info!(runtime.id = %runtime, key.id = principal.key_id, "the policy of {resource_arn} is removed");
        Ok(())
    }
}
