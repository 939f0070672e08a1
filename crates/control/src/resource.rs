//! What an ARN names: a runtime, an endpoint or a capacity provider of this server.

use innkeep_store::Tagged;
use innkeep_types::{CapacityProviderId, EndpointName, RuntimeArn, RuntimeId};

use serde::Deserialize;
use serde_json::Map;

use crate::error::Error;
use crate::shape::Member;
use crate::validate::Violations;
use crate::{Control, request};

/// Returns the `resourceArn` of a request that has nothing else, if it keeps the rules of its `table`.
pub(crate) fn arn(table: &[Member], given: &str) -> Result<String, Error> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Asked {
        resource_arn: String,
    }
    let members = Map::from_iter([("resourceArn".to_owned(), given.into())]);
    request::checked(table, members).map(|Asked { resource_arn }| resource_arn)
}

impl Control {
    /// Returns what the ARN names, whether it exists or not.
    ///
    /// # Errors
    /// `NoResource` for what cannot be here: another region or account, or another kind of resource.
    pub(crate) fn named(&self, arn: &str) -> Result<Tagged, Error> {
        let resource = match RuntimeArn::parse_with_endpoint(arn) {
            Ok((runtime, None)) => Some(Tagged::Runtime(runtime.runtime)),
            Ok((runtime, Some(endpoint))) => Some(Tagged::Endpoint(runtime.runtime, endpoint)),
            Err(_) => arn
                .rsplit_once(":capacity-provider/")
                .and_then(|(_, id)| CapacityProviderId::parse(id).ok())
                .map(Tagged::CapacityProvider),
        };
        resource.filter(|resource| self.arn_of(resource) == arn).ok_or_else(|| Error::NoResource(arn.to_owned()))
    }

    /// Returns the runtime, or the endpoint of it, that the ARN names: what a policy is attached to.
    pub(crate) fn guarded(&self, arn: &str) -> Result<(RuntimeId, Option<EndpointName>), Error> {
        match self.named(arn)? {
            Tagged::Runtime(runtime) => Ok((runtime, None)),
            Tagged::Endpoint(runtime, endpoint) => Ok((runtime, Some(endpoint))),
            Tagged::CapacityProvider(_) => {
                let rule =
                    "be the ARN of an agent runtime or of one of its endpoints: nothing else has a resource policy";
                Err(Error::Invalid(Violations::one("resourceArn", rule)))
            }
        }
    }

    pub(crate) fn capacity_provider_arn(&self, id: &CapacityProviderId) -> String {
        let (region, account) = (&self.inner.region, &self.inner.account);
        format!("arn:aws:bedrock-agentcore:{region}:{account}:capacity-provider/{id}")
    }

    fn arn_of(&self, resource: &Tagged) -> String {
        match resource {
            Tagged::Runtime(runtime) => self.arn(runtime).to_string(),
            Tagged::Endpoint(runtime, endpoint) => self.arn(runtime).endpoint(endpoint).to_string(),
            Tagged::CapacityProvider(id) => self.capacity_provider_arn(id),
        }
    }
}
