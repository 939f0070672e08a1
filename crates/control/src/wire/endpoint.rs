//! Endpoints as the API shows them.

use innkeep_protocol::control::AgentRuntimeEndpoint;
use innkeep_protocol::control::endpoint::{CreateAgentRuntimeEndpointResponse, UpdateAgentRuntimeEndpointResponse};
use innkeep_store::EndpointRecord;
use innkeep_types::RuntimeArn;

/// Shows an endpoint. Its id, of which there is one per endpoint, is its name with the suffix of its runtime's.
pub(crate) fn shown(arn: &RuntimeArn, record: EndpointRecord) -> AgentRuntimeEndpoint {
    let suffix = record.runtime.as_str().rsplit_once('-').map_or("", |(_, suffix)| suffix);
    AgentRuntimeEndpoint {
        id: format!("{}-{suffix}", record.name),
        agent_runtime_endpoint_arn: arn.endpoint(&record.name).to_string(),
        agent_runtime_arn: arn.to_string(),
        name: record.name,
        live_version: record.live.map(|version| version.to_string()),
        target_version: Some(record.target.to_string()),
        description: record.description,
        status: record.status,
        created_at: record.created_at.to_string(),
        last_updated_at: record.updated_at.to_string(),
        failure_reason: record.failure_reason,
    }
}

/// Shows an endpoint as an item of a list, which has no `failureReason`.
pub(crate) fn item(arn: &RuntimeArn, record: EndpointRecord) -> AgentRuntimeEndpoint {
    AgentRuntimeEndpoint { failure_reason: None, ..shown(arn, record) }
}

/// Shows what Create began.
pub(crate) fn created(arn: &RuntimeArn, record: EndpointRecord) -> CreateAgentRuntimeEndpointResponse {
    CreateAgentRuntimeEndpointResponse {
        target_version: record.target.to_string(),
        agent_runtime_endpoint_arn: arn.endpoint(&record.name).to_string(),
        agent_runtime_arn: arn.to_string(),
        agent_runtime_id: record.runtime,
        endpoint_name: record.name,
        status: record.status,
        created_at: record.created_at.to_string(),
    }
}

/// Shows what Update began.
pub(crate) fn updated(arn: &RuntimeArn, record: &EndpointRecord) -> UpdateAgentRuntimeEndpointResponse {
    UpdateAgentRuntimeEndpointResponse {
        live_version: record.live.map(|version| version.to_string()),
        target_version: record.target.to_string(),
        agent_runtime_endpoint_arn: arn.endpoint(&record.name).to_string(),
        agent_runtime_arn: arn.to_string(),
        status: record.status,
        created_at: record.created_at.to_string(),
        last_updated_at: record.updated_at.to_string(),
    }
}
