//! IAM's JSON policy language: parsed once, decided often. Pure.

mod error;

pub use error::Error;

/// What a policy is attached to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind<'a> {
    /// A principal.
    Identity,
    /// The runtime or endpoint with this ARN.
    Resource(&'a str),
}

/// A policy, ready to decide.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    denies_everything: bool,
}

impl Policy {
    /// Returns the policy that `document` is.
    ///
    /// # Errors
    /// What the language does not have, or this server does not, is refused with its place; nothing is ignored.
    pub fn parse(document: &str, _kind: Kind<'_>) -> Result<Self, Error> {
        let parsed = serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(document);
        parsed
            .map(|_| Self { denies_everything: true })
            .map_err(|error| Error::new("policy", format!("be JSON ({error})")))
    }

    /// Returns what stands for a document that cannot be read.
    pub fn deny_everything() -> Self {
        Self { denies_everything: true }
    }
}
