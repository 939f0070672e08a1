//! What the operations that change an endpoint answer.

use innkeep_types::{EndpointName, RuntimeId, RuntimeStatus};
use serde::{Deserialize, Serialize};

/// Answer to CreateAgentRuntimeEndpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[expect(missing_docs, reason = "the members are the model's own")]
pub struct CreateAgentRuntimeEndpointResponse {
    pub target_version: String,
    pub agent_runtime_endpoint_arn: String,
    pub agent_runtime_arn: String,
    pub agent_runtime_id: RuntimeId,
    pub endpoint_name: EndpointName,
    pub status: RuntimeStatus,
    pub created_at: String,
}

/// Answer to UpdateAgentRuntimeEndpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[expect(missing_docs, reason = "the members are the model's own")]
pub struct UpdateAgentRuntimeEndpointResponse {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub live_version: Option<String>,
    pub target_version: String,
    pub agent_runtime_endpoint_arn: String,
    pub agent_runtime_arn: String,
    pub status: RuntimeStatus,
    pub created_at: String,
    pub last_updated_at: String,
}

/// Answer to DeleteAgentRuntimeEndpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[expect(missing_docs, reason = "the members are the model's own")]
pub struct DeleteAgentRuntimeEndpointResponse {
    pub status: RuntimeStatus,
    pub agent_runtime_id: RuntimeId,
    pub endpoint_name: EndpointName,
}
