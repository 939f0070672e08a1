//! Stored records as the API shows them.

pub(crate) mod capacity_provider;
pub(crate) mod endpoint;

use std::collections::BTreeMap;

use innkeep_protocol::control::{
    AgentRuntime, AgentRuntimeAccepted, AgentRuntimeArtifact, Code, CodeConfiguration, ContainerConfiguration,
    GetAgentRuntimeResponse, LifecycleConfiguration, NetworkConfiguration, ProtocolConfiguration,
    ResourceConfiguration, RuntimeMetadataConfiguration, S3Location, WorkloadIdentityDetails,
};
use innkeep_store::{ListedVersion, VersionRecord};
use innkeep_types::{Artifact, Lifecycle, Protocol, RuntimeArn};
use serde::de::DeserializeOwned;
use serde_json::Value;

/// Shows what Create or Update began.
pub(crate) fn accepted(arn: &RuntimeArn, record: &VersionRecord) -> AgentRuntimeAccepted {
    AgentRuntimeAccepted {
        agent_runtime_arn: arn.to_string(),
        agent_runtime_id: record.runtime.clone(),
        agent_runtime_version: record.version.to_string(),
        workload_identity_details: Some(workload_identity(arn)),
        created_at: record.created_at.to_string(),
        last_updated_at: None,
        status: record.status,
    }
}

/// Shows everything of one version. Log lines of a failed boot are the operator API's.
pub(crate) fn agent_runtime(arn: &RuntimeArn, record: VersionRecord) -> GetAgentRuntimeResponse {
    let config = record.config;
    let platform_version = Some(config.platform().to_owned());
    let mut kept = config.kept;
    GetAgentRuntimeResponse {
        agent_runtime_arn: arn.to_string(),
        agent_runtime_name: record.name,
        agent_runtime_id: record.runtime,
        agent_runtime_version: record.version.to_string(),
        created_at: record.created_at.to_string(),
        last_updated_at: record.updated_at.to_string(),
        role_arn: config.role_arn,
        status: record.status,
        lifecycle_configuration: lifecycle(config.lifecycle),
        failure_reason: record.failure_reason,
        description: config.description,
        workload_identity_details: Some(workload_identity(arn)),
        agent_runtime_artifact: Some(artifact(config.artifact)),
        network_configuration: shown(&mut kept, "networkConfiguration").or_else(public),
        protocol_configuration: protocol(config.protocol),
        environment_variables: config.environment,
        metadata_configuration: shown(&mut kept, "metadataConfiguration").or_else(metadata),
        authorizer_configuration: kept.remove("authorizerConfiguration"),
        request_header_configuration: kept.remove("requestHeaderConfiguration"),
        hooks_configuration: kept.remove("hooksConfiguration"),
        filesystem_configurations: kept.remove("filesystemConfigurations"),
        // None is ever accepted.
        capacity_provider_configuration: None,
        allowed_ports: kept.remove("allowedPorts"),
        resource_configurations: config.minimum_memory_mib.map(resources),
        platform_version,
    }
}

/// Reads a member that was kept as it was sent, and checked before.
fn shown<T: DeserializeOwned>(kept: &mut BTreeMap<String, Value>, name: &str) -> Option<T> {
    kept.remove(name).and_then(|sent: Value| serde_json::from_value(sent).ok())
}

/// Shows one version as an item of a list.
pub(crate) fn item(arn: &RuntimeArn, record: ListedVersion) -> AgentRuntime {
    AgentRuntime {
        agent_runtime_arn: arn.to_string(),
        agent_runtime_id: record.runtime,
        agent_runtime_version: record.version.to_string(),
        agent_runtime_name: record.name,
        description: record.description.unwrap_or_default(),
        last_updated_at: record.updated_at.to_string(),
        status: record.status,
    }
}

/// A runtime's own identity has the runtime's id for its name.
fn workload_identity(arn: &RuntimeArn) -> WorkloadIdentityDetails {
    let RuntimeArn { partition, region, account, runtime } = arn;
    let directory = "workload-identity-directory/default/workload-identity";
    WorkloadIdentityDetails {
        workload_identity_arn: format!("arn:{partition}:bedrock-agentcore:{region}:{account}:{directory}/{runtime}"),
    }
}

fn artifact(artifact: Artifact) -> AgentRuntimeArtifact {
    match artifact {
        Artifact::Code { bucket, prefix, version_id, runtime, entry_point } => {
            let s3 = S3Location { bucket: Some(bucket), prefix: Some(prefix), version_id };
            let code_configuration = CodeConfiguration {
                code: Some(Code { s3: Some(s3) }),
                runtime: Some(runtime),
                entry_point: Some(entry_point),
            };
            AgentRuntimeArtifact { container_configuration: None, code_configuration: Some(code_configuration) }
        }
        Artifact::Container { uri } => {
            let container_configuration = Some(ContainerConfiguration { container_uri: Some(uri) });
            AgentRuntimeArtifact { container_configuration, code_configuration: None }
        }
    }
}

fn lifecycle(lifecycle: Lifecycle) -> LifecycleConfiguration {
    LifecycleConfiguration {
        idle_runtime_session_timeout: Some(lifecycle.idle_timeout_secs.into()),
        max_lifetime: Some(lifecycle.max_lifetime_secs.into()),
    }
}

/// The network of an agent whose version names none. Source: service model, where it is optional; the mode that always was.
fn public() -> Option<NetworkConfiguration> {
    Some(NetworkConfiguration { network_mode: Some("PUBLIC".to_owned()), network_mode_config: None })
}

/// The service refuses to invoke runtimes without it, and Create has no member for it.
fn metadata() -> Option<RuntimeMetadataConfiguration> {
    Some(RuntimeMetadataConfiguration { require_mmds_v2: Some(true) })
}

fn resources(minimum_memory_mib: u32) -> Vec<ResourceConfiguration> {
    vec![ResourceConfiguration { minimum_memory_in_mib: Some(minimum_memory_mib.into()) }]
}

/// Only what the caller named is shown.
fn protocol(protocol: Protocol) -> Option<ProtocolConfiguration> {
    let Protocol { server, port, path, explicit } = protocol;
    explicit.block.then(|| ProtocolConfiguration {
        server_protocol: Some(server.as_str().to_owned()),
        port: explicit.port.then(|| port.into()),
        path: explicit.path.then_some(path),
    })
}
