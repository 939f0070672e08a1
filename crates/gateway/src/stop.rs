//! StopRuntimeSession. Source: AgentCore developer guide and service model.

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Response, request};
use innkeep_types::{SessionKey, StopReason, limits};
use tokio::time::Instant;

use crate::authorizer;
use crate::call::{self, Caller};
use crate::error::Error;
use crate::gateway::Gateway;
use crate::inbound::Inbound;
use crate::stream::GatewayBody;
use crate::target::Named;

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

    let claim = gateway.authenticator.claim(head)?;
    // Only its digest matters: `clientToken` says nothing that the session does not, since stopping twice is a 404.
    let body = gateway.read(body, deadline).await?;
    caller.operator = gateway.authenticator.verify(&claim, &body.digest)?.operator;

    let target = named.at_home(&gateway.home)?.clone();
    if let Some(deployment) = gateway.resolver.resolve(&target, &session).await? {
        authorizer::admit_signed(&deployment)?;
    }
    let key = SessionKey { runtime: target.runtime, endpoint: target.endpoint, session };
    // What runs may be of another version than what the endpoint serves now, and of one where it serves none.
    let Some(running) = gateway.registry.deployment(&key) else {
        return Err(innkeep_sandbox::Error::NotRunning(key).into());
    };
    authorizer::admit_signed(&running)?;
    gateway.registry.stop(&key, StopReason::StoppedByCaller, limits::STOP_GRACE).await?;

    // A body, though the model has none: published samples call `.json()` on it.
    let mut response = Response::new(GatewayBody::whole(Bytes::from_static(b"{}")));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    caller.identify(response.headers_mut());
    Ok(response)
}
