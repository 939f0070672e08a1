//! The environment variables that the contract promises to every agent. Source: SDK source,
//! and the environment of a live runtime.

use std::collections::BTreeMap;

use innkeep_types::{EndpointName, RuntimeArn, RuntimeName};

/// Where the SDK's A2A agents find the URL that their card tells.
pub const RUNTIME_URL: &str = "AGENTCORE_RUNTIME_URL";

/// Returns the URL by which callers reach the runtime through `endpoint`, if the server's is `base`: to which A2A's clients POST, and
/// under which they find the card.
pub fn runtime_url(base: &str, arn: &RuntimeArn, endpoint: &EndpointName) -> String {
    let arn = if *endpoint == EndpointName::default_endpoint() {
        arn.to_string()
    } else {
        arn.endpoint(endpoint).to_string()
    };
    // All of an ARN's characters that are more than letters, digits and what may stay.
    let arn = arn.replace(':', "%3A").replace('/', "%2F");
    format!("{}/runtimes/{arn}/invocations/", base.trim_end_matches('/'))
}

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_runtimes_url_names_the_endpoint_unless_it_is_default() {
        let arn = RuntimeArn::parse_with_endpoint(
            "arn:aws:bedrock-agentcore:us-west-2:000000000000:runtime/hello-Ab3dE6gH9j",
        )
        .unwrap()
        .0;
        let path = "arn%3Aaws%3Abedrock-agentcore%3Aus-west-2%3A000000000000%3Aruntime%2Fhello-Ab3dE6gH9j";
        let url = |name: &str| runtime_url("https://agents.example/", &arn, &EndpointName::parse(name).unwrap());
        assert_eq!(url("DEFAULT"), format!("https://agents.example/runtimes/{path}/invocations/"));
        assert_eq!(
            url("prod"),
            format!("https://agents.example/runtimes/{path}%2Fruntime-endpoint%2Fprod/invocations/")
        );
    }
}
