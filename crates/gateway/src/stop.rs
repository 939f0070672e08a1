//! StopRuntimeSession. Source: AgentCore developer guide and service model.

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Response, request};
use innkeep_types::{SessionKey, StopReason, limits};
use tokio::time::Instant;

use crate::authorizer::{self, Gate};
use crate::call::{self, Caller};
use crate::error::Error;
use crate::gateway::Gateway;
use crate::inbound::Inbound;
use crate::route::Operation;
use crate::stream::GatewayBody;
use crate::target::{Named, Target};
use crate::visitor::Visitor;

pub(crate) async fn stop(
    gateway: &Gateway,
    raw_target: &str,
    head: &request::Parts,
    body: &mut Inbound,
    caller: &mut Caller,
) -> Result<Response<GatewayBody>, Error> {
    let deadline = Instant::now() + gateway.limits.stream_timeout;
    let session = call::required_session(head)?;
    caller.session = Some(session.clone());
    let named = Named::parse(raw_target, head.uri.query())?;

    let (visitor, read) =
        Visitor::meet(gateway, Operation::StopRuntimeSession, head, &named, body, deadline, caller).await?;
    // Before anything is decided: it may take its time. It may hold a `clientToken`, which says nothing that the session does not,
    // since stopping twice is a 404.
    if read.is_none() {
        gateway.skip(body, limits::MAX_STOP_BODY_BYTES).await?;
    }
    let resolved = visitor.find(&session).await?;
    let key = visitor.target()?.map(|Target { runtime, endpoint }| SessionKey {
        runtime: runtime.clone(),
        endpoint: endpoint.clone(),
        session: session.clone(),
    });
    // What runs may be of another version than what the endpoint serves now, and of one where it serves none.
    let running = key.as_ref().and_then(|key| gateway.registry.deployment(key));
    if resolved.is_some() || running.is_none() {
        visitor.pass(resolved.as_deref().map(|resolved| &resolved.gate), caller).await?;
    }
    let is_passed = |running| resolved.as_deref().is_some_and(|now| authorizer::is_same(&now.deployment, running));
    if let Some(running) = running.as_deref().filter(|running| !is_passed(running)) {
        visitor.pass(Some(&Gate::of(running)), caller).await?;
    }
    let key = key.ok_or_else(|| named.not_found())?;
    // To a stranger it is as if it were not there, which is what he would find of a session that is nobody's.
    let asked = resolved.as_deref().map(|resolved| &*resolved.deployment);
    if !gateway.registry.is_open_to(&key, gateway.owner(caller), asked) {
        caller.is_stranger = running.is_some();
        return Err(innkeep_sandbox::Error::NotRunning(key).into());
    }
    gateway.registry.stop(&key, StopReason::StoppedByCaller, limits::STOP_GRACE).await?;

    // A body, though the model has none: published samples call `.json()` on it.
    let mut response = Response::new(GatewayBody::whole(Bytes::from_static(b"{}")));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    caller.identify(response.headers_mut());
    Ok(response)
}
