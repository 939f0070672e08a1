//! GetResourcePolicy: what is attached to a runtime or an endpoint, verbatim; no `policy` where nothing is.

use innkeep_protocol::control::attached::ResourcePolicy;

use crate::error::Error;
use crate::model::policy::NAMED;
use crate::{Control, resource};

impl Control {
    pub(crate) async fn get_resource_policy(&self, arn: &str) -> Result<ResourcePolicy, Error> {
        let resource_arn = resource::arn(&NAMED, arn)?;
        let (runtime, endpoint) = self.guarded(&resource_arn)?;
        let policy = self.inner.store.get_policy(&runtime, endpoint.as_ref()).await?;
        Ok(ResourcePolicy { policy })
    }
}
