//! What callers do with an invocation that they made before: ask for its answer, follow it, give it up. Nobody else learns that it is
//! there, but operators.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_ENCODING, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, request};
use hyper::body::Body;
use innkeep_auth::jwt::Identity;
use innkeep_auth::policy;
use innkeep_auth::sigv4;
use innkeep_types::{InvocationState, SessionKey, limits};
use tokio::time::{Instant, timeout, timeout_at};
use tracing::debug;

use super::accept::pending;
use super::entry::{Entry, Progress};
use super::number::{Numbering, is_boundary};
use super::stored::{Reader, StoredBody};
use crate::authorize::authorize;
use crate::authorizer::Shown;
use crate::call::{Caller, Principal};
use crate::error::Error;
use crate::gateway::Gateway;
use crate::inbound::Inbound;
use crate::route::Operation;
use crate::stream::{AnswerDeadline, GatewayBody};
use crate::target::Target;

/// Where who follows an answer lost it. Source: HTML standard, "Server-sent events".
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

const EVENT_STREAM: &str = "text/event-stream";

/// How long whoever cancels waits until it is done; it takes a commit. Source: our choice.
const CANCEL_TIME: Duration = Duration::from_secs(10);

/// Extension of a request that shows the operator's token, which the listener has checked.
#[derive(Debug, Clone, Copy)]
pub struct ByOperatorToken;

/// Answers with how far it is, or with its answer; to who accepts an event stream, with the answer as it comes.
pub(crate) async fn get(
    gateway: &Gateway,
    id: &str,
    head: &request::Parts,
    body: &mut Inbound,
    caller: &mut Caller,
) -> Result<Response<GatewayBody>, Error> {
    let deadline = Instant::now() + gateway.limits.stream_timeout;
    let entry = meet(gateway, id, head, body, deadline, caller).await?;
    let follows = accepts_events(&head.headers);
    let mut progress = entry.progress();
    if follows {
        let mut watch = entry.watch();
        let begun = watch.wait_for(|now| now.head.is_some() || !now.is_running());
        if let Ok(Ok(begun)) = timeout_at(deadline, begun).await {
            progress = begun.clone();
        }
    }
    caller.about(entry.session.session.clone(), progress.state);
    match (&progress.head, progress.state) {
        (Some(_), _) if follows => follow(gateway, entry, progress, head, deadline, caller).await,
        (Some(_), InvocationState::Done) => Ok(whole(gateway, entry, &progress, deadline, caller)),
        (_, InvocationState::Running) => Ok(pending(&entry, &progress, caller)),
        (_, InvocationState::Cancelled) => Err(Error::Cancelled),
        // One that is done has a head.
        (_, InvocationState::Failed | InvocationState::Done) => Err(Error::Invocation(progress.failure)),
    }
}

/// Cancels one that runs; forgets one that has ended.
pub(crate) async fn cancel(
    gateway: &Gateway,
    id: &str,
    head: &request::Parts,
    body: &mut Inbound,
    caller: &mut Caller,
) -> Result<Response<GatewayBody>, Error> {
    let deadline = Instant::now() + gateway.limits.stream_timeout;
    let entry = meet(gateway, id, head, body, deadline, caller).await?;
    let was_running = entry.progress().is_running();
    if was_running {
        entry.cancel.notify_one();
        let mut watch = entry.watch();
        let ended = watch.wait_for(|now| !now.is_running());
        timeout(CANCEL_TIME, ended).await.map_err(|_| Error::NotCancelled)?.map_err(|e| Error::Resolve(e.into()))?;
    }
    // One that has ended before it could be cancelled is not wanted either.
    if !was_running || entry.progress().state != InvocationState::Cancelled {
        gateway.invocations.remove(&entry).await?;
    }
    caller.about(entry.session.session.clone(), entry.progress().state);
    let mut response = Response::new(GatewayBody::whole(Bytes::new()));
    *response.status_mut() = StatusCode::NO_CONTENT;
    caller.identify(response.headers_mut());
    Ok(response)
}

/// Returns the invocation if the caller made it, and may still invoke its agent; or if he is an operator.
async fn meet(
    gateway: &Gateway,
    id: &str,
    head: &request::Parts,
    body: &mut Inbound,
    deadline: Instant,
    caller: &mut Caller,
) -> Result<Arc<Entry>, Error> {
    let missing = || Error::NoInvocation(id.chars().take(64).collect());
    let entry = gateway.invocations.get(id);
    if !prove(gateway, entry.as_deref(), head, body, deadline, caller).await? {
        caller.is_stranger = true;
        return Err(missing());
    }
    if !matches!(caller.principal, Some(Principal::OperatorToken)) {
        gateway.count(caller)?;
    }
    let entry = entry.ok_or_else(missing)?;
    if caller.is_operator() {
        return Ok(entry);
    }
    if !gateway.owner(caller).is_some_and(|owner| owner.is(&entry.owner)) {
        caller.is_stranger = true;
        return Err(missing());
    }
    // A key of his may be for less than he may, and he may be allowed less than then.
    let SessionKey { runtime, endpoint, .. } = &entry.session;
    let target = Target { runtime: runtime.clone(), endpoint: endpoint.clone() };
    let who = match &caller.principal {
        Some(Principal::Key(key)) => policy::Caller::Signed(&key.principal),
        _ => policy::Caller::Token,
    };
    authorize(gateway, who, Operation::GetInvocation, &target, head).await?;
    Ok(entry)
}

/// Finds out who it is. Tokens are held against what the invocation's endpoint asks for now. Returns whether that could be told: a token
/// that is refused, whyever, and one for what is not there are one and the same to whoever sent it.
async fn prove(
    gateway: &Gateway,
    entry: Option<&Entry>,
    head: &request::Parts,
    body: &mut Inbound,
    deadline: Instant,
    caller: &mut Caller,
) -> Result<bool, Error> {
    if head.extensions.get::<ByOperatorToken>().is_some() {
        caller.principal = Some(Principal::OperatorToken);
        return Ok(true);
    }
    let shown = Shown::of(head);
    match &shown {
        Shown::Nothing => Err(gateway.authenticator.claim(head).err().unwrap_or(sigv4::Error::UnknownKey).into()),
        Shown::Signature => {
            if body.size_hint().upper().is_none_or(|bytes| bytes > limits::MAX_STOP_BODY_BYTES) {
                return Err(Error::BodyTooLarge(limits::MAX_STOP_BODY_BYTES));
            }
            let claim = gateway.authenticator.claim(head)?;
            let body = gateway.read(body, deadline).await?;
            caller.principal = Some(Principal::Key(gateway.authenticator.verify(&claim, &body.digest)?));
            Ok(true)
        }
        Shown::Bearer(token) => {
            token.as_ref().map_err(|error| Error::Token(error.clone()))?;
            let Some(entry) = entry else { return Ok(false) };
            caller.principal = admit(gateway, entry, &shown).await?.map(Principal::Token);
            Ok(caller.principal.is_some())
        }
    }
}

/// Returns whose the token is that is shown, if it is let in.
async fn admit(gateway: &Gateway, entry: &Entry, shown: &Shown) -> Result<Option<Identity>, Error> {
    let SessionKey { runtime, endpoint, session } = &entry.session;
    let target = Target { runtime: runtime.clone(), endpoint: endpoint.clone() };
    let Some(resolved) = gateway.resolver.resolve(&target, session).await? else { return Ok(None) };
    Ok(gateway.gatekeeper.admit(&resolved.gate, shown).await.unwrap_or_else(|error| {
        debug!(%error, "a token is refused an invocation");
        None
    }))
}

/// Returns an answer that is whole.
fn whole(
    gateway: &Gateway,
    entry: Arc<Entry>,
    progress: &Progress,
    deadline: Instant,
    caller: &Caller,
) -> Response<GatewayBody> {
    let reader = Reader::new(&gateway.invocations.directory, entry, 0, None, deadline);
    answered(progress, StoredBody::new(reader, Some(progress.bytes)), deadline, caller)
}

/// Returns an answer from its beginning, or from where the caller lost it, to its end as it comes.
async fn follow(
    gateway: &Gateway,
    entry: Arc<Entry>,
    progress: Progress,
    head: &request::Parts,
    deadline: Instant,
    caller: &Caller,
) -> Result<Response<GatewayBody>, Error> {
    let directory = &gateway.invocations.directory;
    if !has_events(&progress) {
        let reader = Reader::new(directory, entry, 0, None, deadline);
        return Ok(answered(&progress, StoredBody::new(reader, None), deadline, caller));
    }
    let from = last_event(&head.headers)?;
    let last = match from {
        0 => None,
        _ => {
            let mut reader = Reader::new(directory, entry.clone(), 0, None, deadline);
            Some(last_byte(&mut reader, from, progress.bytes).await?)
        }
    };
    if from > 0 && from == progress.bytes && progress.state == InvocationState::Done {
        // What makes a browser stop asking for more. Source: HTML standard, "Server-sent events".
        let mut response = Response::new(GatewayBody::whole(Bytes::new()));
        *response.status_mut() = StatusCode::NO_CONTENT;
        caller.identify(response.headers_mut());
        return Ok(response);
    }
    let reader = Reader::new(directory, entry, from, Some(Numbering::from(from, last)), deadline);
    Ok(answered(&progress, StoredBody::new(reader, None), deadline, caller))
}

fn answered(progress: &Progress, body: StoredBody, deadline: Instant, caller: &Caller) -> Response<GatewayBody> {
    let mut response = Response::new(GatewayBody::stored(body));
    if let Some(head) = &progress.head {
        *response.status_mut() = StatusCode::from_u16(head.status).unwrap_or(StatusCode::OK);
        for (name, value) in &head.headers {
            if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
                response.headers_mut().append(name, value);
            }
        }
    }
    caller.identify(response.headers_mut());
    response.extensions_mut().insert(AnswerDeadline(deadline));
    response
}

fn accepts_events(headers: &HeaderMap) -> bool {
    let values = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let kinds = values.flat_map(|value| value.split(',')).map(|kind| kind.split(';').next().unwrap_or_default());
    kinds.into_iter().any(|kind| kind.trim().eq_ignore_ascii_case(EVENT_STREAM))
}

/// Tells whether the answer is one that events can be told apart in.
fn has_events(progress: &Progress) -> bool {
    let headers = progress.head.iter().flat_map(|head| &head.headers);
    let value =
        |name: &HeaderName| headers.clone().find(|(of, _)| of == name.as_str()).map(|(_, value)| value.as_str());
    let kind = value(&CONTENT_TYPE).and_then(|kind| kind.split(';').next()).unwrap_or_default();
    kind.trim().eq_ignore_ascii_case(EVENT_STREAM) && value(&CONTENT_ENCODING).is_none()
}

/// Returns where the caller's last event ended; 0: he had none.
fn last_event(headers: &HeaderMap) -> Result<u64, Error> {
    match headers.get(LAST_EVENT_ID) {
        None => Ok(0),
        Some(value) => {
            let id = value.to_str().ok().and_then(|text| text.parse().ok());
            id.ok_or_else(unknown_event)
        }
    }
}

/// Returns the byte before `from`, if an event ended there.
async fn last_byte(reader: &mut Reader, from: u64, bytes: u64) -> Result<u8, Error> {
    if from > bytes {
        return Err(unknown_event());
    }
    let start = from.saturating_sub(2);
    let before = reader.at(start, from).await.map_err(Error::Invocations)?;
    match *before {
        [last @ (b'\r' | b'\n')] => Ok(last),
        [before, last] if is_boundary([before, last]) => Ok(last),
        _ => Err(unknown_event()),
    }
}

fn unknown_event() -> Error {
    let rule = "Member must be the id of an event of this answer, as it was received; without one the answer comes from its beginning";
    Error::field("lastEventId", rule.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_accepts_events_is_told_among_other_kinds() {
        for (accept, expect) in [
            ("text/event-stream", true),
            ("application/json, Text/Event-Stream;q=0.9", true),
            ("*/*", false),
            ("application/json", false),
        ] {
            let headers = HeaderMap::from_iter([(ACCEPT, HeaderValue::from_static(accept))]);
            assert_eq!(accepts_events(&headers), expect, "{accept}");
        }
        assert!(!accepts_events(&HeaderMap::new()));
    }
}
