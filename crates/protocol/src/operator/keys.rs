//! `/innkeep/v1/keys`: access keys, their principals, and temporary keys.
//!
//! A policy is the name of a ready-made one (`admin`, `deployer`, `invoker`, `read-only`), or the text of a document in IAM's
//! language: text and not JSON, as in IAM's own API, so that what is checked and kept is what was sent.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize};

/// What became of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum KeyState {
    /// It is good.
    Active,
    /// It is refused until it is made active again.
    Inactive,
    /// Its time is over.
    Expired,
}

impl KeyState {
    /// Returns its word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "Active",
            Self::Inactive => "Inactive",
            Self::Expired => "Expired",
        }
    }
}

/// What `PATCH` may make of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum KeyStatus {
    /// Good.
    Active,
    /// Refused for now.
    Inactive,
}

/// Answer to `GET /innkeep/v1/keys`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct KeyList {
    /// Oldest first.
    pub keys: Vec<KeyView>,
}

/// An access key without its secret: answer to `GET` and `PATCH /innkeep/v1/keys/{accessKeyId}`. `DELETE` removes it (204).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct KeyView {
    /// `AKIA…`.
    pub access_key_id: String,
    /// Whose it is.
    pub name: String,
    /// What it may do.
    pub policies: Vec<String>,
    /// Whether it may use the operator API.
    pub operator: bool,
    /// What it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Whether it is good.
    pub state: KeyState,
    /// When it was made.
    pub created_at: String,
    /// When it was last used; absent: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_used_at: Option<String>,
    /// From when on it is refused; absent: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<String>,
    /// The key that a rotation made in its place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaced_by: Option<String>,
}

/// Body of `POST /innkeep/v1/keys`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CreateKey {
    /// Whose it is to be: 1 to 64 of letters, digits and `+=,.@_-`. Several keys may be one principal's.
    pub name: String,
    /// What it may do; nothing, but for what resource policies allow its principal, if there is none.
    #[serde(default)]
    pub policies: Vec<String>,
    /// Whether it may use the operator API, and so make keys that may do everything.
    #[serde(default)]
    pub operator: bool,
    /// What it is for, at most 256 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// For how long it is good, seconds; absent: for ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_in_secs: Option<u64>,
}

/// Answer to `POST /innkeep/v1/keys` and `POST /innkeep/v1/keys/{accessKeyId}/rotate`: the only time that the secret is told.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CreatedKey {
    /// What signs.
    pub secret_access_key: String,
    /// The key.
    #[serde(flatten)]
    pub key: KeyView,
}

/// Body of `PATCH /innkeep/v1/keys/{accessKeyId}`: what is absent stays.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ChangeKey {
    /// Whether it is good.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<KeyStatus>,
    /// What it may do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policies: Option<Vec<String>>,
    /// For how long it is good from now on, seconds; null: for ever.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub expires_in_secs: Option<Option<u64>>,
}

/// Body of `POST /innkeep/v1/keys/{accessKeyId}/rotate`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct RotateKey {
    /// For how long the old key still works, seconds; absent: a day.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grace_secs: Option<u64>,
}

/// Body of `POST /innkeep/v1/keys/temporary`: one of `accessKeyId` and `name`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct MakeTemporaryKey {
    /// The lasting key whose rights it has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub access_key_id: Option<String>,
    /// The principal, whose newest good key it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What to call it: spelled as a principal's name; absent: `temporary`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session_name: Option<String>,
    /// For how long it is good, seconds, at most 43200; absent: an hour. It ends with the lasting key at the latest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duration_secs: Option<u64>,
    /// What it may do at most; with one it has no operator rights.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session_policy: Option<String>,
}

/// Answer to `POST /innkeep/v1/keys/temporary`. Nothing of it is kept.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TemporaryKey {
    /// `ASIA…`.
    pub access_key_id: String,
    /// What signs.
    pub secret_access_key: String,
    /// What every request has to carry in `X-Amz-Security-Token`.
    pub session_token: String,
    /// From when on it is refused.
    pub expires_at: String,
    /// The lasting key that it depends on.
    pub made_by: String,
    /// Whose that is.
    pub name: String,
    /// What it is called.
    pub session_name: String,
}

/// Shows nothing secret.
impl fmt::Debug for CreatedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CreatedKey").field("key", &self.key).finish_non_exhaustive()
    }
}

/// Shows nothing secret.
impl fmt::Debug for TemporaryKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TemporaryKey").field("access_key_id", &self.access_key_id).finish_non_exhaustive()
    }
}

/// Tells a member that is null from one that is absent.
fn present<'de, T: Deserialize<'de>, D: Deserializer<'de>>(given: D) -> Result<Option<T>, D::Error> {
    T::deserialize(given).map(Some)
}
