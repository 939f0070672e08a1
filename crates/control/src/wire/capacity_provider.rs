//! Capacity providers as the API shows them: READY from the first moment, since nothing is provisioned.

use innkeep_protocol::control::capacity_provider::{
    CapacityProviderAccepted, CapacityProviderSummary, GetCapacityProviderResponse,
};
use innkeep_store::CapacityProviderRecord;
use innkeep_types::RuntimeStatus;

const STATUS: RuntimeStatus = RuntimeStatus::Ready;

/// Shows everything of one.
pub(crate) fn shown(arn: String, record: CapacityProviderRecord) -> GetCapacityProviderResponse {
    GetCapacityProviderResponse {
        capacity_provider_id: record.id,
        capacity_provider_arn: arn,
        name: record.name,
        status: STATUS,
        description: record.description,
        permissions_configuration: record.permissions,
        compute_configuration: record.compute,
        created_at: record.created_at.to_string(),
        last_updated_at: record.updated_at.to_string(),
    }
}

/// Shows one as an item of a list.
pub(crate) fn item(arn: String, record: CapacityProviderRecord) -> CapacityProviderSummary {
    CapacityProviderSummary {
        capacity_provider_id: record.id,
        capacity_provider_arn: arn,
        name: record.name,
        status: STATUS,
        last_updated_at: record.updated_at.as_secs(),
    }
}

/// Shows what Create made.
pub(crate) fn created(arn: String, record: CapacityProviderRecord) -> CapacityProviderAccepted {
    CapacityProviderAccepted {
        capacity_provider_id: record.id,
        capacity_provider_arn: arn,
        name: record.name,
        status: STATUS,
        created_at: None,
        last_updated_at: None,
    }
}

/// Shows what Update changed.
pub(crate) fn updated(arn: String, record: CapacityProviderRecord) -> CapacityProviderAccepted {
    let (created_at, last_updated_at) = (Some(record.created_at.to_string()), Some(record.updated_at.to_string()));
    CapacityProviderAccepted { created_at, last_updated_at, ..created(arn, record) }
}
