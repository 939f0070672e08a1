//! May this caller do this: the policies of the caller and of the resources, together.
//!
//! Source: IAM user guide, "Policy evaluation logic"; AgentCore developer guide, "Resource-based policies", by which a runtime and
//! its endpoint must both allow. What is denied by anything is denied. What is left must be allowed on each resource: within an
//! account by the caller's policies or by the resource's, across accounts by both. Who comes with a token has no policies: a
//! resource without one lets it pass, a resource with one must allow it. A temporary key's session policy must allow everything too,
//! whatever else does.

use std::collections::BTreeMap;
use std::fmt;

use innkeep_types::limits;

use super::actions::{Action, SERVICE};
use super::ask::Ask;
use super::context::Context;
use super::principals::{Meant, account_of};
use super::statement::{Effect, Statement};
use super::{Caller, Policy};

/// What a caller wants to do.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// Who.
    pub caller: Caller<'a>,
    /// What: an operation's name, `InvokeAgentRuntime`.
    pub action: &'a str,
    /// When and from where.
    pub context: &'a Context,
}

/// What it wants to do it on.
#[derive(Debug, Clone, Copy)]
pub struct Guarded<'a> {
    /// Its ARN; `*` where an operation is on no resource.
    pub arn: &'a str,
    /// The policy that is attached to it.
    pub policy: Option<&'a Policy>,
    /// Its tags.
    pub tags: &'a BTreeMap<String, String>,
}

/// What policies say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// It may.
    Allow,
    /// It may not.
    Deny(Denial),
}

/// A refusal, for the caller as IAM puts it, and for an audit log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Denial {
    /// The caller's ARN, or `anonymous`.
    pub user: String,
    /// `bedrock-agentcore:InvokeAgentRuntime`
    pub action: String,
    /// The first resource on which it was refused.
    pub resource: String,
    /// Why.
    pub why: Why,
}

/// Why something is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Why {
    /// A statement of the caller's policies says so; its Sid, if it has one.
    DeniedByIdentity(Option<String>),
    /// A statement of the resource's policy says so.
    DeniedByResource(Option<String>),
    /// None of the caller's policies allows it, nor does the resource's.
    NotAllowedByIdentity,
    /// The resource's policy does not allow it, and must.
    NotAllowedByResource,
}

/// Decides. Without a resource nothing is allowed.
pub fn decide(resources: &[Guarded<'_>], request: &Request<'_>) -> Decision {
    let deny = |resource: &Guarded<'_>, why| Decision::Deny(denial(request, resource.arn, why));
    let action = Action::named(request.action).filter(|_| request.context.is_bounded());
    let is_bounded = |resource: &Guarded<'_>| resource.arn.len() <= limits::MAX_POLICY_VALUE_BYTES;
    let (Some(action), true, false) = (action, resources.iter().all(is_bounded), resources.is_empty()) else {
        let shown = resources.first().map_or("*", |resource| resource.arn).get(..100).unwrap_or("*");
        return Decision::Deny(denial(request, shown, Why::NotAllowedByIdentity));
    };
    // First what is denied anywhere, then what is not allowed somewhere.
    let mut missing = None;
    for resource in resources {
        let Guarded { arn, policy, tags } = *resource;
        let ask = Ask { caller: request.caller, action, resource: arn, tags, context: request.context };
        let identity = match request.caller {
            Caller::Signed(principal) => verdict(principal.policies.iter(), &ask),
            Caller::Token => Verdict::default(),
        };
        let limit = match request.caller {
            Caller::Signed(principal) => principal.session_policy.as_deref().map(|policy| verdict([policy], &ask)),
            Caller::Token => None,
        };
        if let Some(statement) = identity.denied_by.or_else(|| limit.as_ref()?.denied_by) {
            return deny(resource, Why::DeniedByIdentity(sid(statement)));
        }
        let attached = verdict(policy, &ask);
        if let Some(statement) = attached.denied_by {
            return deny(resource, Why::DeniedByResource(sid(statement)));
        }
        let is_within_limit = limit.is_none_or(|limit| limit.allowed == Meant::Yes);
        let why = match request.caller {
            Caller::Signed(_) if !is_within_limit => Some(Why::NotAllowedByIdentity),
            Caller::Token if policy.is_none() || attached.allowed == Meant::Yes => None,
            Caller::Token => Some(Why::NotAllowedByResource),
            Caller::Signed(principal) => {
                let is_own = arn == "*" || account_of(arn) == account_of(&principal.arn);
                match (identity.allowed == Meant::Yes, attached.allowed) {
                    (true, _) if is_own => None,
                    (_, Meant::Yes) if is_own => None,
                    (true, Meant::Yes | Meant::Indirectly) => None,
                    (true, Meant::No) => Some(Why::NotAllowedByResource),
                    (false, _) => Some(Why::NotAllowedByIdentity),
                }
            }
        };
        missing = missing.or_else(|| why.map(|why| (resource, why)));
    }
    missing.map_or(Decision::Allow, |(resource, why)| deny(resource, why))
}

/// What policies together say of one resource.
#[derive(Debug, Default)]
struct Verdict<'p> {
    denied_by: Option<&'p Statement>,
    allowed: Meant,
}

fn verdict<'p>(policies: impl IntoIterator<Item = &'p Policy>, ask: &Ask<'_>) -> Verdict<'p> {
    let mut verdict = Verdict::default();
    for statement in policies.into_iter().flat_map(|policy| policy.statements.iter()) {
        match (statement.effect, statement.applies(ask)) {
            (_, Meant::No) => {}
            (Effect::Deny, _) => {
                verdict.denied_by = Some(statement);
                return verdict;
            }
            (Effect::Allow, meant) => verdict.allowed = verdict.allowed.max(meant),
        }
    }
    verdict
}

fn sid(statement: &Statement) -> Option<String> {
    statement.sid.as_deref().map(str::to_owned)
}

fn denial(request: &Request<'_>, resource: &str, why: Why) -> Denial {
    let user = match request.caller {
        Caller::Signed(principal) => principal.arn.clone(),
        Caller::Token => "anonymous".to_owned(),
    };
    Denial { user, action: format!("{SERVICE}:{}", request.action), resource: resource.to_owned(), why }
}

/// As IAM puts it. Source: IAM user guide, "Troubleshoot access denied error messages".
impl Denial {
    /// Returns the Sid of the statement that denied it, if one did and has one.
    pub fn statement(&self) -> Option<&str> {
        match &self.why {
            Why::DeniedByIdentity(sid) | Why::DeniedByResource(sid) => sid.as_deref(),
            Why::NotAllowedByIdentity | Why::NotAllowedByResource => None,
        }
    }
}

impl fmt::Display for Denial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { user, action, resource, why } = self;
        write!(f, "User: {user} is not authorized to perform: {action} on resource: {resource} ")?;
        match why {
            Why::DeniedByIdentity(_) => f.write_str("with an explicit deny in an identity-based policy"),
            Why::DeniedByResource(_) => f.write_str("with an explicit deny in a resource-based policy"),
            Why::NotAllowedByIdentity => write!(f, "because no identity-based policy allows the {action} action"),
            Why::NotAllowedByResource => write!(f, "because no resource-based policy allows the {action} action"),
        }
    }
}
