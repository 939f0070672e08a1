//! The configuration that Create and Update share.

use std::collections::BTreeMap;

use innkeep_protocol::control::{AgentRuntimeRequest, NetworkConfiguration};
use innkeep_types::VersionConfig;
use serde_json::Value;

use crate::validate::{Violations, artifact, environment, lifecycle, protocol, resources};

const ROLE_ARN: &str = "arn:aws(-[^:]+)?:iam::([0-9]{12})?:role/.+";

/// The only platform that there is here, also where the caller names none.
pub(crate) const PLATFORM_VERSION: &str = "V1";

/// Returns the configuration that the request asks for.
pub(crate) fn configuration(request: &AgentRuntimeRequest, found: &mut Violations) -> Option<VersionConfig> {
    let artifact = found.required("agentRuntimeArtifact", request.agent_runtime_artifact.as_ref());
    let artifact = artifact.and_then(|artifact| artifact::artifact(artifact, found));
    let role_arn = found.required("roleArn", request.role_arn.clone());
    if let Some(role_arn) = &role_arn {
        found.length("roleArn", role_arn, 1..=2048);
        found.pattern("roleArn", is_role_arn(role_arn), ROLE_ARN);
    }
    if let Some(description) = &request.description {
        found.length("description", description, 1..=4096);
    }
    network(request.network_configuration.as_ref(), found);
    let protocol = protocol::protocol(request.protocol_configuration.as_ref(), found);
    let lifecycle = lifecycle::lifecycle(request.lifecycle_configuration.as_ref(), found);
    let environment = environment::environment(request.environment_variables.as_ref(), found);
    let minimum_memory = resources::minimum_memory(request.resource_configurations.as_deref(), found);
    platform_version(request.platform_version.as_deref(), found);
    unsupported(request, found);
    Some(VersionConfig {
        artifact: artifact?,
        role_arn: role_arn?,
        description: request.description.clone(),
        protocol: protocol?,
        lifecycle: lifecycle?,
        environment,
        platform_version: request.platform_version.clone(),
        minimum_memory_mib: minimum_memory?,
        warmup: None,
        request_headers: Vec::new(),
        kept: BTreeMap::new(),
    })
}

fn is_role_arn(text: &str) -> bool {
    let parse = || {
        let (partition, rest) = text.strip_prefix("arn:aws")?.split_once(":iam::")?;
        let (account, role) = rest.split_once(":role/")?;
        let partition_ok = partition.is_empty() || (partition.len() > 1 && partition.starts_with('-'));
        let account_ok = account.is_empty() || account.len() == 12;
        let account_ok = account_ok && account.bytes().all(|b| b.is_ascii_digit());
        Some(partition_ok && !partition.contains(':') && account_ok && !role.is_empty() && !role.contains('\n'))
    };
    parse().unwrap_or(false)
}

fn network(configuration: Option<&NetworkConfiguration>, found: &mut Violations) {
    let Some(configuration) = configuration else { return };
    let at = "networkConfiguration.networkMode";
    let Some(mode) = found.required(at, configuration.network_mode.as_deref()) else { return };
    match found.one_of(at, mode, &["PUBLIC", "VPC"]) {
        Some("VPC") => found.unsupported::<()>(at, "networkMode VPC"),
        Some(_) if configuration.network_mode_config.is_some() => {
            found.unsupported("networkConfiguration.networkModeConfig", "networkModeConfig")
        }
        _ => None,
    };
}

fn platform_version(version: Option<&str>, found: &mut Violations) {
    let Some(version) = version else { return };
    if version != PLATFORM_VERSION {
        found.length("platformVersion", version, 1..=128);
        found.pattern("platformVersion", !version.contains(char::is_whitespace), "[^\\s]+");
        found.unsupported::<()>("platformVersion", format_args!("platformVersion other than {PLATFORM_VERSION}"));
    }
}

/// Refuses members that ask for what this version does not do. A list without items asks for nothing.
fn unsupported(request: &AgentRuntimeRequest, found: &mut Violations) {
    let is_empty_list = |value: &Value| value.as_array().is_some_and(Vec::is_empty);
    for (at, asked) in [
        ("authorizerConfiguration", request.authorizer_configuration.is_some()),
        ("requestHeaderConfiguration", request.request_header_configuration.is_some()),
        ("hooksConfiguration", request.hooks_configuration.is_some()),
        ("filesystemConfigurations", request.filesystem_configurations.as_ref().is_some_and(|v| !is_empty_list(v))),
        ("capacityProviderConfiguration", request.capacity_provider_configuration.is_some()),
        ("allowedPorts", request.allowed_ports.is_some()),
    ] {
        if asked {
            found.unsupported::<()>(at, at);
        }
    }
    let Some(metadata) = &request.metadata_configuration else { return };
    let at = "metadataConfiguration.requireMMDSV2";
    if found.required(at, metadata.require_mmds_v2) == Some(false) {
        found.unsupported::<()>(at, "requireMMDSV2 false");
    }
}
