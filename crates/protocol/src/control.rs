//! Control-plane bodies: what Create and Update carry, what every operation answers. Source: botocore model
//! `bedrock-agentcore-control` 2023-06-05. Nested documents that are kept and shown as they were sent are `Value`s.
//!
//! Requests take every member as optional and every number as it comes: which ones are required, and their rules, is for
//! the control plane to say, all at once. Versions and times are text on the wire (`"1"`, `2026-11-20T10:00:00.000Z`).

pub mod attached;
pub mod capacity_provider;
pub mod endpoint;

use std::collections::BTreeMap;

use innkeep_types::{EndpointName, RuntimeId, RuntimeName, RuntimeStatus};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Body of CreateAgentRuntime and of UpdateAgentRuntime, which ignores `agentRuntimeName` and `tags`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[expect(missing_docs, reason = "the members are the model's own")]
pub struct AgentRuntimeRequest {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agent_runtime_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agent_runtime_artifact: Option<AgentRuntimeArtifact>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role_arn: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_token: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network_configuration: Option<NetworkConfiguration>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub protocol_configuration: Option<ProtocolConfiguration>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lifecycle_configuration: Option<LifecycleConfiguration>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub environment_variables: Option<BTreeMap<String, String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metadata_configuration: Option<RuntimeMetadataConfiguration>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub platform_version: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tags: Option<BTreeMap<String, String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub authorizer_configuration: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_header_configuration: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hooks_configuration: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub filesystem_configurations: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub capacity_provider_configuration: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allowed_ports: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resource_configurations: Option<Vec<ResourceConfiguration>>,
}

/// What to run: exactly one member.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[expect(missing_docs, reason = "the members are the model's own")]
pub struct AgentRuntimeArtifact {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub container_configuration: Option<ContainerConfiguration>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code_configuration: Option<CodeConfiguration>,
}

/// An OCI image.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[expect(missing_docs, reason = "the members are the model's own")]
pub struct ContainerConfiguration {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub container_uri: Option<String>,
}

/// A code zip and how to start it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[expect(missing_docs, reason = "the members are the model's own")]
pub struct CodeConfiguration {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<Code>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub runtime: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub entry_point: Option<Vec<String>>,
}

/// Where a code zip is: exactly one member, of which there is one.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the members are the model's own")]
pub struct Code {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub s3: Option<S3Location>,
}

/// An object of an object store.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[expect(missing_docs, reason = "the members are the model's own")]
pub struct S3Location {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bucket: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prefix: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version_id: Option<String>,
}

/// How the agent reaches the world.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[expect(missing_docs, reason = "the members are the model's own")]
pub struct NetworkConfiguration {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network_mode: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network_mode_config: Option<Value>,
}

/// How the agent is spoken to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[expect(missing_docs, reason = "the members are the model's own")]
pub struct ProtocolConfiguration {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server_protocol: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
}

/// When sessions end, seconds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[expect(missing_docs, reason = "the members are the model's own")]
pub struct LifecycleConfiguration {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub idle_runtime_session_timeout: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_lifetime: Option<i64>,
}

/// What a session has at least.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the members are the model's own")]
pub struct ResourceConfiguration {
    #[serde(rename = "minimumMemoryInMiB", skip_serializing_if = "Option::is_none")]
    pub minimum_memory_in_mib: Option<i64>,
}

/// Whether instance metadata must be asked for with a token.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the members are the model's own")]
pub struct RuntimeMetadataConfiguration {
    #[serde(rename = "requireMMDSV2", skip_serializing_if = "Option::is_none")]
    pub require_mmds_v2: Option<bool>,
}

/// The identity that a runtime has of its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[expect(missing_docs, reason = "the members are the model's own")]
pub struct WorkloadIdentityDetails {
    pub workload_identity_arn: String,
}

/// Answer to CreateAgentRuntime and UpdateAgentRuntime; only the latter has `lastUpdatedAt`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[expect(missing_docs, reason = "the members are the model's own")]
pub struct AgentRuntimeAccepted {
    pub agent_runtime_arn: String,
    pub agent_runtime_id: RuntimeId,
    pub agent_runtime_version: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workload_identity_details: Option<WorkloadIdentityDetails>,
    pub created_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_updated_at: Option<String>,
    pub status: RuntimeStatus,
}

/// Answer to GetAgentRuntime.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[expect(missing_docs, reason = "the members are the model's own")]
pub struct GetAgentRuntimeResponse {
    pub agent_runtime_arn: String,
    pub agent_runtime_name: RuntimeName,
    pub agent_runtime_id: RuntimeId,
    pub agent_runtime_version: String,
    pub created_at: String,
    pub last_updated_at: String,
    pub role_arn: String,
    pub status: RuntimeStatus,
    pub lifecycle_configuration: LifecycleConfiguration,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure_reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workload_identity_details: Option<WorkloadIdentityDetails>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agent_runtime_artifact: Option<AgentRuntimeArtifact>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network_configuration: Option<NetworkConfiguration>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub protocol_configuration: Option<ProtocolConfiguration>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub environment_variables: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metadata_configuration: Option<RuntimeMetadataConfiguration>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub platform_version: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub authorizer_configuration: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_header_configuration: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hooks_configuration: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub filesystem_configurations: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub capacity_provider_configuration: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allowed_ports: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resource_configurations: Option<Vec<ResourceConfiguration>>,
}

impl From<GetAgentRuntimeResponse> for AgentRuntimeRequest {
    /// Returns the Update that changes nothing: it replaces everything, so what it left out would be reset.
    fn from(shown: GetAgentRuntimeResponse) -> Self {
        Self {
            agent_runtime_name: None,
            agent_runtime_artifact: shown.agent_runtime_artifact,
            role_arn: Some(shown.role_arn),
            client_token: None,
            description: shown.description,
            network_configuration: shown.network_configuration,
            protocol_configuration: shown.protocol_configuration,
            lifecycle_configuration: Some(shown.lifecycle_configuration),
            environment_variables: Some(shown.environment_variables).filter(|variables| !variables.is_empty()),
            metadata_configuration: shown.metadata_configuration,
            platform_version: shown.platform_version,
            tags: None,
            authorizer_configuration: shown.authorizer_configuration,
            request_header_configuration: shown.request_header_configuration,
            hooks_configuration: shown.hooks_configuration,
            filesystem_configurations: shown.filesystem_configurations,
            capacity_provider_configuration: shown.capacity_provider_configuration,
            allowed_ports: shown.allowed_ports,
            resource_configurations: shown.resource_configurations,
        }
    }
}

/// Answer to DeleteAgentRuntime.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[expect(missing_docs, reason = "the members are the model's own")]
pub struct DeleteAgentRuntimeResponse {
    pub status: RuntimeStatus,
    pub agent_runtime_id: RuntimeId,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agent_runtime_version: Option<String>,
}

/// Answer to ListAgentRuntimes and ListAgentRuntimeVersions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[expect(missing_docs, reason = "the members are the model's own")]
pub struct ListAgentRuntimesResponse {
    pub agent_runtimes: Vec<AgentRuntime>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_token: Option<String>,
}

/// One runtime, or one version of it, in a list. Every member is required, `description` too.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[expect(missing_docs, reason = "the members are the model's own")]
pub struct AgentRuntime {
    pub agent_runtime_arn: String,
    pub agent_runtime_id: RuntimeId,
    pub agent_runtime_version: String,
    pub agent_runtime_name: RuntimeName,
    pub description: String,
    pub last_updated_at: String,
    pub status: RuntimeStatus,
}

/// Answer to ListAgentRuntimeEndpoints.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[expect(missing_docs, reason = "the members are the model's own")]
pub struct ListAgentRuntimeEndpointsResponse {
    pub runtime_endpoints: Vec<AgentRuntimeEndpoint>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_token: Option<String>,
}

/// One endpoint; in a list, or the answer to GetAgentRuntimeEndpoint, which alone has `failureReason`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[expect(missing_docs, reason = "the members are the model's own")]
pub struct AgentRuntimeEndpoint {
    pub name: EndpointName,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub live_version: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target_version: Option<String>,
    pub agent_runtime_endpoint_arn: String,
    pub agent_runtime_arn: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    pub status: RuntimeStatus,
    pub id: String,
    pub created_at: String,
    pub last_updated_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure_reason: Option<String>,
}
