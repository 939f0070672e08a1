//! What the data plane tells the audit log: every refusal, which session was started and stopped by whom, and who had a
//! shell in it, and, if that is asked for,
//! every other call. Never what a request carries, and of a token's user a digest.

use std::fmt;
use std::sync::Arc;

use http::{Uri, request};
use innkeep_auth::Owners;
use innkeep_auth::jwt::Identity;
use innkeep_auth::policy::Via;
use innkeep_protocol::error_shape::shape;
use innkeep_types::{AuditEvent, AuditOutcome, ErrorKind, UnixMillis};

use crate::call::{Caller, Principal};
use crate::error::Error;
use crate::gateway::Gateway;
use crate::route::{Operation, Route};
use crate::target::Named;

/// Characters of what a caller may have made up that are kept. Source: our choice: an endpoint's ARN is shorter.
const MAX_TEXT: usize = 512;

/// Who it is that shows the operator's token.
const OPERATOR_TOKEN: &str = "operator-token";

/// What is told of a caller who goes away before there is an answer: by then what he asked for may have been done.
pub(crate) struct Unanswered {
    gateway: Arc<Gateway>,
    operation: Operation,
    asked: Asked,
    at: UnixMillis,
}

/// What a request is about, and where it comes from.
#[derive(Debug)]
struct Asked {
    raw_target: String,
    uri: Uri,
    via: Option<Via>,
}

impl Asked {
    fn of(raw_target: &str, head: &request::Parts) -> Self {
        Self { raw_target: raw_target.to_owned(), uri: head.uri.clone(), via: head.extensions.get().copied() }
    }
}

/// What is to be told of one caller; of a copy of him, which works on when he is answered, nothing.
#[derive(Debug, Default)]
pub(crate) struct Telling(pub(crate) Option<Unanswered>);

impl Clone for Telling {
    fn clone(&self) -> Self {
        Self(None)
    }
}

impl Unanswered {
    /// Tells it. Of one who has proven nothing there is nothing to tell: nothing was done for him.
    pub(crate) fn tell(self, caller: &Caller) {
        let Self { gateway, operation, asked, at } = self;
        if caller.principal.is_some() {
            let event = gateway.event(operation.as_str(), &asked, caller, AuditOutcome::Abandoned);
            (gateway.audit.sink)(AuditEvent { at, ..event });
        }
    }
}

impl fmt::Debug for Unanswered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Unanswered").field("operation", &self.operation).finish_non_exhaustive()
    }
}

/// Tells what is an event whatever the settings say: what ends something, and what is done past the agent.
fn is_always_told(operation: Operation) -> bool {
    matches!(
        operation,
        Operation::StopRuntimeSession
            | Operation::CancelInvocation
            | Operation::InvokeAgentRuntimeCommand
            | Operation::InvokeAgentRuntimeCommandShell
    )
}

/// Takes an event. It must not block.
pub type AuditSink = Arc<dyn Fn(AuditEvent) + Send + Sync>;

/// Where events go, and which.
#[derive(Clone)]
pub struct Audit {
    /// What takes them.
    pub sink: AuditSink,
    /// Whether calls that were let through are events too.
    pub invocations: bool,
}

impl fmt::Debug for Audit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Audit").field("invocations", &self.invocations).finish_non_exhaustive()
    }
}

impl Gateway {
    /// Tells of a request that has an answer.
    pub(crate) fn tell(&self, route: &Route, head: &request::Parts, caller: &Caller, error: Option<&Error>) {
        if route.operation == Operation::InvokeAgentRuntimeOtherwise {
            // Nobody was asked who he is, and nothing was done.
            return;
        }
        let kind = error.map(Error::kind);
        let is_refused = caller.is_stranger || matches!(kind, Some(ErrorKind::Unauthorized | ErrorKind::AccessDenied));
        let outcome = match (is_refused, kind) {
            (true, _) => AuditOutcome::Denied,
            (false, None) => AuditOutcome::Allowed,
            (false, Some(_)) => AuditOutcome::Failed,
        };
        let is_kept = outcome == AuditOutcome::Allowed && is_always_told(route.operation);
        if !is_refused && !is_kept && !self.audit.invocations {
            return;
        }
        let mut event = self.event(route.operation.as_str(), &Asked::of(&route.raw_target, head), caller, outcome);
        event.error = kind.map(|kind| shape(kind).exception.to_owned());
        if let Some(Error::Denied(denial)) = error {
            event.statement = denial.statement().map(str::to_owned);
        }
        if event.access_key_id.is_none() && is_refused {
            event.access_key_id = self.authenticator.claim(head).ok().map(|claim| claim.key_id().to_owned());
        }
        (self.audit.sink)(event);
    }

    /// Returns what is told if this request never has an answer; none where its answer would not be told either.
    pub(crate) fn unanswered(self: &Arc<Self>, route: &Route, head: &request::Parts) -> Option<Unanswered> {
        (is_always_told(route.operation) || self.audit.invocations).then(|| Unanswered {
            gateway: self.clone(),
            operation: route.operation,
            asked: Asked::of(&route.raw_target, head),
            at: self.authenticator.clock.now(),
        })
    }

    /// Tells that a session is being started for this request.
    pub(crate) fn tell_start(&self, raw_target: &str, head: &request::Parts, caller: &Caller) {
        let asked = Asked::of(raw_target, head);
        let event = self.event("StartRuntimeSession", &asked, caller, AuditOutcome::Allowed);
        (self.audit.sink)(event);
    }

    fn event(&self, action: &str, asked: &Asked, caller: &Caller, outcome: AuditOutcome) -> AuditEvent {
        let (principal, access_key_id) = match &caller.principal {
            None => (None, None),
            Some(principal) => {
                let (name, access_key_id) = named(&self.owners, principal);
                (Some(name), access_key_id)
            }
        };
        let Asked { raw_target, uri, via } = asked;
        let named = Named::parse(raw_target, uri.query()).ok();
        let resource = named.map_or_else(|| raw_target.chars().take(MAX_TEXT).collect(), |named| self.arn(&named));
        AuditEvent {
            principal,
            access_key_id,
            resource: Some(resource),
            session: caller.session.as_ref().map(ToString::to_string),
            request: Some(caller.request_id.to_string()),
            source: via.map(|via| via.peer.to_string()),
            ..AuditEvent::new(self.authenticator.clock.now(), action, outcome)
        }
    }

    fn arn(&self, named: &Named) -> String {
        let (region, account) = (&self.home.region, &self.home.account);
        let (runtime, endpoint) = (&named.target.runtime, &named.target.endpoint);
        format!("arn:aws:bedrock-agentcore:{region}:{account}:runtime/{runtime}/runtime-endpoint/{endpoint}")
    }
}

/// Returns how the log names who has proven who he is, and the key that did.
fn named(owners: &Owners, principal: &Principal) -> (String, Option<String>) {
    match principal {
        Principal::Key(key) => (key.principal.arn.clone(), Some(key.key_id.clone())),
        Principal::Token(identity) => (subject(owners, identity), None),
        Principal::OperatorToken => (OPERATOR_TOKEN.to_owned(), None),
    }
}

/// Returns what stands for a token's subject: equal ones look equal, and nobody can tell who it is without the server's key. The issuer
/// is named by where it is asked: what it calls itself is its own word, which may be another's name.
pub(crate) fn subject(owners: &Owners, identity: &Identity) -> String {
    match owners.of_identity(identity) {
        Some(owner) => format!("{}#{owner:?}", identity.asked_at()),
        None => identity.asked_at().to_owned(),
    }
}
