//! One request of the control plane or the operator API, as the audit log has it: told from the request and its answer. A change that
//! somebody was let to make is told without an answer too, when this is dropped: it may have been made by then.

use http::request::Parts;
use http::{Method, Response};
use innkeep_auth::policy::{Denial, Via};
use innkeep_protocol::headers;
use innkeep_types::{AuditEvent, AuditOutcome, RequestId};

use super::Audit;

/// Characters of a path that are kept. Source: our choice: an endpoint's ARN is shorter.
const MAX_TEXT: usize = 512;

/// What an answer is about, where its request does not say: an extension of answers.
#[derive(Debug, Clone)]
pub(crate) struct Subject(pub(crate) String);

/// Who has proven who he is.
#[derive(Debug, Clone)]
pub(crate) struct Who {
    /// The ARN of who signed, or `operator-token`.
    pub(crate) principal: String,
    /// The key that signed.
    pub(crate) access_key_id: Option<String>,
}

/// What a request asks for.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) action: String,
    /// Whether it changes something, if it is let.
    pub(crate) is_change: bool,
    /// On what; none: its path says.
    pub(crate) resource: Option<String>,
}

/// A request that has no answer yet.
#[derive(Debug)]
pub(crate) struct Heard {
    audit: Audit,
    /// None: it is told, or need not be.
    event: Option<AuditEvent>,
    is_change: bool,
}

impl Heard {
    pub(crate) fn new(audit: &Audit, parts: &Parts, request: &RequestId, asked: Asked) -> Self {
        let Asked { action, is_change, resource } = asked;
        let path = || parts.uri.path().chars().take(MAX_TEXT).collect();
        let event = AuditEvent {
            resource: Some(resource.unwrap_or_else(path)),
            request: Some(request.to_string()),
            source: parts.extensions.get::<Via>().map(|via| via.peer.to_string()),
            ..AuditEvent::new(audit.shared.clock.now(), action, AuditOutcome::Abandoned)
        };
        Self { audit: audit.clone(), event: Some(event), is_change }
    }

    /// Puts down who it was.
    pub(crate) fn proven(&mut self, who: Who) {
        if let Some(event) = &mut self.event {
            (event.principal, event.access_key_id) = (Some(who.principal), who.access_key_id);
        }
    }

    /// Puts down which key it claims to be signed with.
    pub(crate) fn claims(&mut self, access_key_id: Option<String>) {
        if let Some(event) = &mut self.event {
            event.access_key_id = access_key_id;
        }
    }

    /// Tells what this answer makes of it; nothing of what was read.
    pub(crate) fn answered<B>(mut self, answer: &Response<B>) {
        let Some(event) = self.event.take() else { return };
        let outcome = match answer.status().as_u16() {
            401 | 403 => AuditOutcome::Denied,
            // A caller who is over his rate did nothing, and would fill the log.
            429 => return,
            _ if !self.is_change => return,
            200..300 => AuditOutcome::Allowed,
            _ => AuditOutcome::Failed,
        };
        let subject = answer.extensions().get::<Subject>().map(|Subject(text)| text.clone());
        let error = answer.headers().get(headers::AMZN_ERROR_TYPE).and_then(|name| name.to_str().ok());
        self.audit.record(AuditEvent {
            outcome,
            resource: subject.or(event.resource),
            error: error.map(str::to_owned),
            statement: answer.extensions().get::<Denial>().and_then(|d| d.statement().map(str::to_owned)),
            ..event
        });
    }
}

/// Without an answer: who asked has gone, or what answers him is broken.
impl Drop for Heard {
    fn drop(&mut self) {
        // Nothing was done for who has proven nothing.
        if let Some(event) = self.event.take().filter(|event| self.is_change && event.principal.is_some()) {
            self.audit.record(event);
        }
    }
}

/// Tells whether a request of the operator API only reads.
pub(crate) fn is_reading(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD)
}
