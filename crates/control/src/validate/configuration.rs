//! The configuration that Create and Update share.

use innkeep_types::VersionConfig;

use crate::validate::{
    Body, Violations, allowed_headers, allowed_ports, artifact, authorizer, environment, filesystems, hooks, lifecycle,
    network, platform, protocol,
};

/// Members that are shown as they were sent, whatever acts on them.
const KEPT: [&str; 7] = [
    "allowedPorts",
    "authorizerConfiguration",
    "filesystemConfigurations",
    "hooksConfiguration",
    "metadataConfiguration",
    "networkConfiguration",
    "requestHeaderConfiguration",
];

/// What a configuration is for.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Operation<'a> {
    /// A first version.
    Create,
    /// A next version.
    Update {
        /// `platformVersion` of the version before, which stays where the request names none.
        platform_before: Option<&'a str>,
    },
}

/// Returns the configuration that the request asks for.
pub(crate) fn configuration(body: &Body, operation: Operation<'_>, found: &mut Violations) -> Option<VersionConfig> {
    let request = &body.request;
    let artifact = request.agent_runtime_artifact.clone().and_then(|artifact| artifact::artifact(artifact, found));
    network::check(request.network_configuration.as_ref(), found);
    authorizer::check(request.authorizer_configuration.as_ref(), found);
    let request_headers = allowed_headers::allowed_headers(body, found);
    let protocol = protocol::protocol(request.protocol_configuration.as_ref(), found);
    let lifecycle = lifecycle::lifecycle(request.lifecycle_configuration.as_ref(), found);
    let warmup = hooks::warmup(request.hooks_configuration.as_ref(), protocol.as_ref(), found);
    filesystems::check(body, found);
    allowed_ports::check(request.allowed_ports.as_ref(), found);
    let platform = platform::platform(request.platform_version.as_deref(), operation, found);
    let variables = request.environment_variables.clone().unwrap_or_default();
    environment::check(&variables, artifact.as_ref(), platform, found);
    if body.has("capacityProviderConfiguration") {
        let sentence =
            "Innkeep has no capacity providers whose machines could run this: omit capacityProviderConfiguration";
        found.say::<()>("capacityProviderConfiguration", sentence);
    }
    let memory = request.resource_configurations.as_deref().and_then(|given| given.first()?.minimum_memory_in_mib);
    Some(VersionConfig {
        artifact: artifact?,
        role_arn: request.role_arn.clone()?,
        description: request.description.clone(),
        protocol: protocol?,
        lifecycle: lifecycle?,
        environment: variables,
        platform_version: request.platform_version.clone(),
        // The table has bounds that fit.
        minimum_memory_mib: memory.and_then(|mib| u32::try_from(mib).ok()),
        warmup: warmup?,
        request_headers,
        kept: KEPT.iter().filter_map(|&name| Some((name.to_owned(), body.members.get(name)?.clone()))).collect(),
    })
}
