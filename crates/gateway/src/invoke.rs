//! InvokeAgentRuntime, a line per step.

use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response, request};
use innkeep_sandbox::Lease;
use innkeep_sandbox::upstream::{AgentRequestBody, UpstreamBody};
use innkeep_types::SessionId;
use tokio::time::{Instant, timeout};

use crate::answer;
use crate::call::{self, Caller};
use crate::error::Error;
use crate::forward::{self, Context};
use crate::gateway::{Gateway, Limits};
use crate::inbound::Inbound;
use crate::stream::{AgentStream, AnswerDeadline, GatewayBody, Interrupt, Watch};
use crate::target::Named;

/// How long after a broken connection the sidecar may need to say that the agent is dead. Source: our choice; it says so within
/// a few milliseconds.
const EXIT_NEWS: Duration = Duration::from_millis(250);

pub(crate) async fn invoke(
    gateway: &Gateway,
    raw_target: &str,
    head: &request::Parts,
    body: &mut Inbound,
    caller: &mut Caller,
) -> Result<Response<GatewayBody>, Error> {
    let deadline = Instant::now() + gateway.limits.stream_timeout;

    let session = call::session(head)?.unwrap_or_else(SessionId::generate);
    caller.session = Some(session.clone());
    let named = Named::parse(raw_target, head.uri.query())?;
    call::check_headers(head)?;

    let claim = gateway.authenticator.claim(head)?;
    let body = gateway.read(body, deadline).await?;
    caller.operator = gateway.authenticator.verify(&claim, &body.digest)?.operator;

    let target = named.at_home(&gateway.home)?;
    let deployment = gateway.resolver.resolve(target).await?.ok_or_else(|| named.not_found())?;

    let lease = Arc::new(gateway.registry.acquire(&session, &deployment, &caller.request_id).await?);
    let mut watch = Watch::over_exchange(lease.clone(), deadline);

    let context = Context { session: &session, request_id: &caller.request_id };
    let request = forward::request(lease.deployment(), context, &head.headers, body);
    let answer = exchange(&lease, request, &mut watch, &gateway.limits).await?;

    let (agent, body) = answer.into_parts();
    let end = answer::end(agent.status, &agent.headers);
    let headers = answer::headers(&agent.headers, caller, &lease);
    let stream = AgentStream::new(body, lease, watch, gateway.limits.max_body_bytes, end);
    let mut response = Response::new(GatewayBody::agent(stream));
    *response.status_mut() = agent.status;
    *response.headers_mut() = headers;
    response.extensions_mut().insert(AnswerDeadline(deadline));
    Ok(response)
}

/// Sends the request to the agent and waits for the head of its answer.
async fn exchange(
    lease: &Lease,
    request: Request<AgentRequestBody>,
    watch: &mut Watch,
    limits: &Limits,
) -> Result<Response<UpstreamBody>, Error> {
    let answer = timeout(limits.sync_request_timeout, lease.upstream().send(request));
    tokio::select! {
        biased;
        answer = answer => match answer {
            Ok(Ok(answer)) => answer::accept(answer, limits.max_body_bytes),
            Ok(Err(source)) => {
                // A dead agent's connection breaks before its exit is known; wait for the better story.
                let ended = timeout(EXIT_NEWS, lease.ended()).await.ok().map(Box::new);
                Err(Error::AgentGone { ended, source: Some(source) })
            }
            Err(_) => Err(Error::AgentTimeout(limits.sync_request_timeout)),
        },
        interrupt = watch => Err(match interrupt {
            Some(Interrupt::Ended(ended)) => Error::AgentGone { ended: Some(Box::new(ended)), source: None },
            Some(Interrupt::TooLong) | None => Error::AgentTimeout(limits.stream_timeout),
        }),
    }
}
