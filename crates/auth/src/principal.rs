//! Who a request comes from, once that is proven: a name, its ARN, and what its policies allow. Made from what is stored, held
//! in memory, read on every request.

use std::sync::Arc;

use innkeep_types::AccountId;

use crate::policy::{Error, Kind, Policy};

/// The owner of access keys; clones share its policies.
#[derive(Debug, Clone)]
pub struct Principal {
    /// As people know it, `alice`.
    pub name: String,
    /// As policies know it, `arn:aws:iam::000000000000:user/alice`.
    pub arn: String,
    /// What it may do: allowed by one of them and denied by none.
    pub policies: Arc<[Policy]>,
    /// What a temporary key may do at most: its session policy has to allow it too. None for others.
    pub session_policy: Option<Arc<Policy>>,
    /// Whether it may use the operator API.
    pub operator: bool,
}

impl Principal {
    /// Returns a user of the account with these policies.
    pub fn user(name: &str, account: &AccountId, policies: Vec<Policy>, operator: bool) -> Self {
        let arn = format!("arn:aws:iam::{account}:user/{name}");
        Self { name: name.to_owned(), arn, policies: policies.into(), session_policy: None, operator }
    }

    /// Returns the policies of stored documents, and why some of them could not be read. A document that cannot be read stands
    /// as one that denies everything: what it would have denied is unknown. Say so in the log.
    pub fn stored_policies<'a>(documents: impl IntoIterator<Item = &'a str>) -> (Vec<Policy>, Vec<Error>) {
        let mut unreadable = Vec::new();
        let read = documents.into_iter().map(|document| {
            Policy::parse(document, Kind::Identity).unwrap_or_else(|error| {
                unreadable.push(error);
                Policy::deny_everything()
            })
        });
        (read.collect(), unreadable)
    }
}
