//! The body of a Create or an Update: checked member by member against its table, then read.

use innkeep_protocol::control::AgentRuntimeRequest;
use serde_json::{Map, Value};

use crate::error::Error;
use crate::shape::{Member, members_that_pass};
use crate::validate::Violations;

/// What passes of a body, and the names of what does not: a rule across two members says nothing where one of them is broken.
#[derive(Debug)]
pub(crate) struct Body {
    /// The members that pass, as they were sent.
    pub(crate) members: Map<String, Value>,
    /// The same, read.
    pub(crate) request: AgentRuntimeRequest,
    broken: Vec<String>,
}

impl Body {
    /// Checks `given` against `table`.
    ///
    /// # Errors
    /// None in truth: what passes the table can be read.
    pub(crate) fn check(table: &[Member], given: Map<String, Value>, found: &mut Violations) -> Result<Self, Error> {
        let names: Vec<_> = given.iter().filter(|(_, value)| !value.is_null()).map(|(name, _)| name.clone()).collect();
        let (members, _) = members_that_pass(table, given, "", found);
        let request = serde_json::from_value(Value::Object(members.clone())).map_err(Error::CannotParse)?;
        let broken = names.into_iter().filter(|name| !members.contains_key(name)).collect();
        Ok(Self { members, request, broken })
    }

    /// Tells whether the member was given, be it broken.
    pub(super) fn has(&self, name: &str) -> bool {
        self.members.contains_key(name) || self.is_broken(name)
    }

    /// Tells whether the member was given and does not pass.
    pub(super) fn is_broken(&self, name: &str) -> bool {
        self.broken.iter().any(|broken| broken == name)
    }
}
