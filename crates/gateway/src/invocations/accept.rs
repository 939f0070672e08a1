//! From a request that may pass to `202 Accepted`: it is on record, and its work is a task's, before its caller is told.

use std::sync::Arc;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, LOCATION, RETRY_AFTER};
use http::{HeaderValue, Response, StatusCode, request};
use innkeep_protocol::operator::invocations::PendingInvocation;
use innkeep_sandbox::Deployment;
use innkeep_sandbox::tasks::Kind;
use innkeep_types::{SessionKey, SessionOwner};
use tokio::sync::oneshot;

use super::entry::{Entry, Progress};
use super::prefer::{PREFERENCE_APPLIED, RESPOND_ASYNC};
use super::run::{self, Job};
use crate::call::{Caller, header_value};
use crate::error::Error;
use crate::gateway::Gateway;
use crate::route::INVOCATIONS;
use crate::spool::Spooled;
use crate::stream::GatewayBody;
use crate::target::Named;

/// A request whose caller was let in, read whole, and does not wait.
pub(crate) struct Wanted<'a> {
    pub(crate) raw_target: &'a str,
    pub(crate) head: &'a request::Parts,
    pub(crate) named: &'a Named,
    pub(crate) session: SessionKey,
    pub(crate) deployment: Arc<Deployment>,
    pub(crate) body: Spooled,
    pub(crate) owner: SessionOwner,
}

/// Accepts it.
///
/// # Cancel safety
/// Whoever leaves before he is answered has not been told its id: it is given up.
pub(crate) async fn accept(
    gateway: &Arc<Gateway>,
    wanted: Wanted<'_>,
    caller: &mut Caller,
) -> Result<Response<GatewayBody>, Error> {
    let Wanted { raw_target, head, named, session, deployment, body, owner } = wanted;
    let entry = gateway.invocations.add(session, owner, &caller.request_id)?;
    let job = Job {
        gateway: gateway.clone(),
        raw_target: raw_target.to_owned(),
        head: head.clone(),
        named: named.clone(),
        deployment,
        caller: caller.clone(),
        entry: entry.clone(),
    };
    let (accepted_tx, accepted_rx) = oneshot::channel();
    gateway.tasks.spawn(Kind::Invocation, Box::pin(run::run(job, body, accepted_tx)));
    accepted_rx.await.map_err(|gone| Error::Resolve(gone.into())).flatten()?;

    let mut response = pending(&entry, &entry.progress(), caller);
    response.headers_mut().insert(PREFERENCE_APPLIED, HeaderValue::from_static(RESPOND_ASYNC));
    Ok(response)
}

/// Returns what is told of one that has no answer yet.
pub(crate) fn pending(entry: &Entry, progress: &Progress, caller: &mut Caller) -> Response<GatewayBody> {
    caller.about(entry.session.session.clone(), progress.state);
    let SessionKey { runtime, endpoint, session } = entry.session.clone();
    let body = PendingInvocation {
        invocation_id: entry.id.clone(),
        state: progress.state,
        runtime_id: runtime,
        endpoint,
        runtime_session_id: session,
        created_at: entry.created_at.to_string(),
        bytes: progress.bytes,
    };
    let body = serde_json::to_vec(&body).unwrap_or_default();
    let mut response = Response::new(GatewayBody::whole(Bytes::from(body)));
    *response.status_mut() = StatusCode::ACCEPTED;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(LOCATION, header_value(&format!("{INVOCATIONS}{}", entry.id)));
    headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
    caller.identify(headers);
    response
}
