//! What is attached to a resource: its policy, its tags.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Answer to PutResourcePolicy and, where one is attached, to GetResourcePolicy.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the members are the model's own")]
pub struct ResourcePolicy {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policy: Option<String>,
}

/// Answer to ListTagsForResource.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the members are the model's own")]
pub struct ListTagsForResourceResponse {
    pub tags: BTreeMap<String, String>,
}
