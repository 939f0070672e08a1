//! Amazon Resource Names of runtimes and endpoints.

use std::fmt;

use crate::{AccountId, EndpointName, Region, RuntimeId};

/// `arn:aws:bedrock-agentcore:{region}:{account}:runtime/{id}`. The partition is kept as given (`aws`, `aws-cn`, …).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RuntimeArn {
    /// The partition: `aws`, or `aws-` and more.
    pub partition: String,
    /// The region named.
    pub region: Region,
    /// The account named.
    pub account: AccountId,
    /// The runtime named.
    pub runtime: RuntimeId,
}

/// `{runtime ARN}/runtime-endpoint/{name}`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct EndpointArn {
    /// The runtime that the endpoint belongs to.
    pub runtime: RuntimeArn,
    /// The endpoint's name.
    pub endpoint: EndpointName,
}

/// A string that is not an ARN of the kind asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not an ARN of an agent runtime: expected arn:aws:bedrock-agentcore:REGION:ACCOUNT:runtime/ID")]
pub struct InvalidArn;

impl RuntimeArn {
    /// Returns the ARN of `runtime` in partition `aws`.
    pub fn new(region: Region, account: AccountId, runtime: RuntimeId) -> Self {
        Self { partition: "aws".to_owned(), region, account, runtime }
    }

    /// Returns the runtime's ARN, or the endpoint's, that `s` spells (already percent-decoded).
    pub fn parse_with_endpoint(s: &str) -> Result<(Self, Option<EndpointName>), InvalidArn> {
        let mut parts = s.splitn(6, ':');
        let mut next = || parts.next().ok_or(InvalidArn);
        let (arn, partition, service, region, account, resource) =
            (next()?, next()?, next()?, next()?, next()?, next()?);
        let partition_ok = partition == "aws" || partition.strip_prefix("aws-").is_some_and(|rest| !rest.is_empty());
        if arn != "arn" || !partition_ok || service != "bedrock-agentcore" {
            return Err(InvalidArn);
        }
        let resource = resource.strip_prefix("runtime/").ok_or(InvalidArn)?;
        let (id, endpoint) = match resource.split_once("/runtime-endpoint/") {
            Some((id, name)) => (id, Some(EndpointName::parse(name).map_err(|_| InvalidArn)?)),
            None => (resource, None),
        };
        let arn = Self {
            partition: partition.to_owned(),
            region: Region::parse(region).map_err(|_| InvalidArn)?,
            account: AccountId::parse(account).map_err(|_| InvalidArn)?,
            runtime: RuntimeId::parse(id).map_err(|_| InvalidArn)?,
        };
        Ok((arn, endpoint))
    }

    /// Returns the ARN of this runtime's endpoint `name`.
    pub fn endpoint(&self, name: &EndpointName) -> EndpointArn {
        EndpointArn { runtime: self.clone(), endpoint: name.clone() }
    }
}

impl fmt::Display for RuntimeArn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { partition, region, account, runtime } = self;
        write!(f, "arn:{partition}:bedrock-agentcore:{region}:{account}:runtime/{runtime}")
    }
}

impl fmt::Display for EndpointArn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/runtime-endpoint/{}", self.runtime, self.endpoint)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arns_round_trip() {
        let runtime = "arn:aws:bedrock-agentcore:us-west-2:000000000000:runtime/hello-Ab3dE6gH9j";
        let (arn, endpoint) = RuntimeArn::parse_with_endpoint(runtime).unwrap();
        assert_eq!((arn.to_string().as_str(), endpoint), (runtime, None));
        let full = format!("{runtime}/runtime-endpoint/prod");
        let (arn, endpoint) = RuntimeArn::parse_with_endpoint(&full).unwrap();
        assert_eq!(arn.endpoint(&endpoint.unwrap()).to_string(), full);
    }

    #[test]
    fn other_arns_are_refused() {
        for bad in [
            "",
            "hello-Ab3dE6gH9j",
            "arn:aws:s3:::bucket",
            "arn:gcp:bedrock-agentcore:us-west-2:000000000000:runtime/hello-Ab3dE6gH9j",
            "arn:aws:bedrock-agentcore:us-west-2:0:runtime/hello-Ab3dE6gH9j",
            "arn:aws:bedrock-agentcore:us-west-2:000000000000:harness/hello-Ab3dE6gH9j",
            "arn:aws:bedrock-agentcore:us-west-2:000000000000:runtime/hello-Ab3dE6gH9j/endpoint/x",
        ] {
            assert_eq!(RuntimeArn::parse_with_endpoint(bad), Err(InvalidArn), "{bad}");
        }
    }
}
