//! One request of the control plane or the operator API, as the audit log has it: told from the request and its answer.

use http::request::Parts;
use http::{Method, Response};
use innkeep_auth::policy::{Denial, Via};
use innkeep_gateway::Signer;
use innkeep_protocol::headers;
use innkeep_types::{AuditEvent, AuditOutcome, RequestId, UnixMillis};

/// Characters of a path that are kept. Source: our choice: an endpoint's ARN is shorter.
const MAX_TEXT: usize = 512;

/// What an answer is about, where its request does not say: an extension of answers.
#[derive(Debug, Clone)]
pub(crate) struct Subject(pub(crate) String);

/// A request that was answered.
#[derive(Debug)]
pub(crate) struct Heard<'a> {
    pub(crate) parts: &'a Parts,
    pub(crate) request: &'a RequestId,
    pub(crate) at: UnixMillis,
    pub(crate) action: String,
    /// Whether it changes something, if it is let.
    pub(crate) is_change: bool,
    /// On what; none: its path says.
    pub(crate) resource: Option<String>,
}

impl Heard<'_> {
    /// Returns the event that this answer makes of it; none for what was read.
    pub(crate) fn answered<B>(self, answer: &Response<B>) -> Option<AuditEvent> {
        let outcome = match answer.status().as_u16() {
            401 | 403 => AuditOutcome::Denied,
            _ if !self.is_change => return None,
            200..300 => AuditOutcome::Allowed,
            _ => AuditOutcome::Failed,
        };
        let subject = answer.extensions().get::<Subject>().map(|Subject(text)| text.clone());
        let path = || self.parts.uri.path().chars().take(MAX_TEXT).collect();
        let error = answer.headers().get(headers::AMZN_ERROR_TYPE).and_then(|name| name.to_str().ok());
        Some(AuditEvent {
            resource: Some(subject.or(self.resource).unwrap_or_else(path)),
            error: error.map(str::to_owned),
            statement: answer.extensions().get::<Denial>().and_then(|d| d.statement().map(str::to_owned)),
            request: Some(self.request.to_string()),
            source: self.parts.extensions.get::<Via>().map(|via| via.peer.to_string()),
            ..AuditEvent::new(self.at, self.action, outcome)
        })
    }
}

/// Puts down who it was.
pub(crate) fn signed(event: AuditEvent, signer: &Signer) -> AuditEvent {
    let (principal, access_key_id) = (Some(signer.principal.arn.clone()), Some(signer.key_id.clone()));
    AuditEvent { principal, access_key_id, ..event }
}

/// Tells whether a request of the operator API only reads.
pub(crate) fn is_reading(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD)
}
