//! One question to one policy: may this caller do this on this resource.

use std::collections::BTreeMap;

use super::Caller;
use super::actions::Action;
use super::context::Context;

/// What a policy is asked.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ask<'a> {
    pub(super) caller: Caller<'a>,
    pub(super) action: Action,
    /// Its ARN, or `*` for what is on no resource.
    pub(super) resource: &'a str,
    /// The resource's.
    pub(super) tags: &'a BTreeMap<String, String>,
    pub(super) context: &'a Context,
}
