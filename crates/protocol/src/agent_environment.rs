//! The environment variables that the contract promises to every agent. Source: SDK source,
//! and the environment of a live runtime.

use std::collections::BTreeMap;

use innkeep_types::{EndpointName, RuntimeArn, RuntimeName};

/// Returns what an agent behind `endpoint` of the runtime finds in its environment besides its own variables.
///
/// `DOCKER_CONTAINER=1` makes the SDK bind all addresses; the region variables are what its clients read; the resource
/// attributes are where it finds its own ARN. Exporter variables are set only where something receives what is exported.
pub fn contract(arn: &RuntimeArn, name: &RuntimeName, endpoint: &EndpointName) -> BTreeMap<String, String> {
    let attributes = format!(
        "service.name={name}.{endpoint},aws.service.type=gen_ai_agent,cloud.resource_id={}:{endpoint}",
        arn.endpoint(endpoint)
    );
    BTreeMap::from([
        ("DOCKER_CONTAINER".to_owned(), "1".to_owned()),
        ("AWS_REGION".to_owned(), arn.region.to_string()),
        ("AWS_DEFAULT_REGION".to_owned(), arn.region.to_string()),
        ("OTEL_RESOURCE_ATTRIBUTES".to_owned(), attributes),
    ])
}
