//! What the operations on capacity providers answer. Times are text, but for those of the list, which are seconds since the epoch.

use innkeep_types::{CapacityProviderId, CapacityProviderName, RuntimeStatus};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Answer to CreateCapacityProvider and UpdateCapacityProvider; only the latter has times.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[expect(missing_docs, reason = "the members are the model's own")]
pub struct CapacityProviderAccepted {
    pub capacity_provider_id: CapacityProviderId,
    pub capacity_provider_arn: String,
    pub name: CapacityProviderName,
    pub status: RuntimeStatus,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_updated_at: Option<String>,
}

/// Answer to GetCapacityProvider.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[expect(missing_docs, reason = "the members are the model's own")]
pub struct GetCapacityProviderResponse {
    pub capacity_provider_id: CapacityProviderId,
    pub capacity_provider_arn: String,
    pub name: CapacityProviderName,
    pub status: RuntimeStatus,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    pub permissions_configuration: Value,
    pub compute_configuration: Value,
    pub created_at: String,
    pub last_updated_at: String,
}

/// Answer to DeleteCapacityProvider.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[expect(missing_docs, reason = "the members are the model's own")]
pub struct DeleteCapacityProviderResponse {
    pub capacity_provider_id: CapacityProviderId,
    pub status: RuntimeStatus,
}

/// Answer to ListCapacityProviders.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[expect(missing_docs, reason = "the members are the model's own")]
pub struct ListCapacityProvidersResponse {
    pub capacity_providers: Vec<CapacityProviderSummary>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_token: Option<String>,
}

/// One capacity provider in a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[expect(missing_docs, reason = "the members are the model's own")]
pub struct CapacityProviderSummary {
    pub capacity_provider_id: CapacityProviderId,
    pub capacity_provider_arn: String,
    pub name: CapacityProviderName,
    pub status: RuntimeStatus,
    /// Seconds since the epoch.
    pub last_updated_at: i64,
}
