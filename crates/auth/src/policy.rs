//! IAM's JSON policy language: parsed once, strictly, and decided often. Pure.
//!
//! A document is refused for whatever this server does not have: an element, an operator, a key, an action. Nothing in it is
//! ignored. Parsing compiles: actions become a set, wildcards their pieces, dates and addresses numbers; deciding allocates
//! nothing unless tags are asked for.

mod actions;
mod ask;
mod condition;
mod context;
mod decide;
mod document;
mod error;
mod json;
mod pattern;
mod principals;
mod ready;
mod statement;

#[cfg(test)]
mod tests;

use crate::principal::Principal;

pub use context::{Context, Via};
pub use decide::{Decision, Denial, Guarded, Request, Why, decide};
pub use error::Error;
pub use ready::{READY, ready};

use actions::Actions;
use pattern::Pattern;
use principals::Principals;
use statement::{Effect, Resources, Statement};

/// What a policy is attached to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind<'a> {
    /// A principal.
    Identity,
    /// The runtime or endpoint with this ARN.
    Resource(&'a str),
}

/// Who asks.
#[derive(Debug, Clone, Copy)]
pub enum Caller<'a> {
    /// Who signed.
    Signed(&'a Principal),
    /// Who showed a token that its runtime takes. Policies see no more of it.
    Token,
}

/// A policy, ready to decide.
#[derive(Debug, Clone)]
pub struct Policy {
    statements: Box<[Statement]>,
}

impl Policy {
    /// Returns the policy that `document` is.
    ///
    /// # Errors
    /// The first thing that the language or this server does not have, with its place.
    pub fn parse(document: &str, kind: Kind<'_>) -> Result<Self, Error> {
        document::parse(document, kind).map(|statements| Self { statements: statements.into() })
    }

    /// Returns what stands for a document that cannot be read: what that would have denied is not known.
    pub fn deny_everything() -> Self {
        let statement = Statement {
            sid: Some("unreadable policy".into()),
            effect: Effect::Deny,
            principals: Some(Principals::everyone()),
            actions: Actions::ALL,
            resources: Resources::These([Pattern::Anything].into()),
            conditions: Vec::new(),
        };
        Self { statements: [statement].into() }
    }

    /// Tells whether every statement has `"Principal": "*"`, as a runtime that takes tokens wants it.
    pub fn is_for_everyone(&self) -> bool {
        self.statements.iter().all(|statement| statement.principals.as_ref().is_some_and(Principals::is_everyone))
    }
}
