//! A verified request's way to its agent, to the head of the answer. A request that finds its agent dead before a byte of it was
//! sent goes to a fresh sandbox, once: that the session's end was not known yet when it came is no fault of the caller's.

use std::future::Future;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use http::{Request, Response, request};
use innkeep_sandbox::upstream::{AgentRequestBody, Failure, UpgradeAnswer, UpstreamBody};
use innkeep_sandbox::{Asker, Deployment, Lease, StartPhases};
use innkeep_types::SessionId;
use tokio::time::{Instant, timeout};

use crate::authorizer::Gate;
use crate::call::Caller;
use crate::config::Limits;
use crate::error::Error;
use crate::forward::{self, Context};
use crate::gateway::Gateway;
use crate::payload::Payload;
use crate::stream::{Interrupt, Watch, died};
use crate::visitor::Visitor;
use crate::ws::Handshake;
use crate::{answer, authorizer, mcp};

/// How long after a broken connection the sidecar may need to say that the agent is dead. If it could not be reached at all, which is
/// what one looks like that closes its port before it ends, the news decide whether the request can go elsewhere. Source: our choice;
/// the sidecar says so within a few milliseconds, on a busy machine within the second in which a caller is to be told of an exit.
pub(crate) const DEATH_NEWS: Duration = Duration::from_secs(1);

/// What is to be delivered, but for its body.
#[derive(Debug)]
pub(crate) struct Errand<'a> {
    /// Whose it is. He has passed the way in to `deployment`.
    pub(crate) visitor: &'a Visitor<'a>,
    pub(crate) session: &'a SessionId,
    pub(crate) deployment: Arc<Deployment>,
    /// Of what, as he spelled it.
    pub(crate) raw_target: &'a str,
    /// As he sent it.
    pub(crate) head: &'a request::Parts,
    pub(crate) caller: &'a Caller,
    /// When all must be over.
    pub(crate) deadline: Instant,
}

/// What the agent is asked.
#[derive(Debug)]
pub(crate) enum Ask<'a> {
    /// To take an invocation; of MCP, with what its sessions need.
    Invocation(Option<mcp::Exchange<'a>>),
    /// For its card.
    AgentCard,
}

/// An answer that has begun.
pub(crate) struct Delivered {
    pub(crate) answer: Response<UpstreamBody>,
    pub(crate) lease: Arc<Lease>,
    pub(crate) watch: Watch,
    /// Where the time went for which the request waited for the session's start, if it did.
    pub(crate) start: Option<StartPhases>,
}

/// Why there is none.
struct Undelivered {
    /// The request's body, if a fresh sandbox may have it.
    unsent: Option<AgentRequestBody>,
    error: Error,
}

pub(crate) async fn deliver(
    gateway: &Gateway,
    errand: Errand<'_>,
    ask: &Ask<'_>,
    payload: Payload,
) -> Result<Delivered, Error> {
    deliver_within(gateway, errand, ask, payload, &gateway.limits).await
}

/// The same, within other limits than those of who waits.
pub(crate) async fn deliver_within(
    gateway: &Gateway,
    errand: Errand<'_>,
    ask: &Ask<'_>,
    payload: Payload,
    limits: &Limits,
) -> Result<Delivered, Error> {
    let context = Context { session: errand.session, request_id: &errand.caller.request_id };
    let Payload { bytes: body_bytes, mut body, trouble } = payload;
    let mut is_second = false;
    loop {
        let (lease, mut watch) = reach(gateway, &errand).await?;
        let mut request = match ask {
            Ask::Invocation(_) => forward::request(lease.deployment(), context, &errand.head.headers, body_bytes, body),
            Ask::AgentCard => forward::card(lease.deployment(), context, &errand.head.headers, body),
        };
        if let Ask::Invocation(Some(exchange)) = ask {
            exchange.tell(&lease, request.headers_mut())?;
        }
        match exchange(&lease, request, &mut watch, limits).await {
            Ok(answer) => {
                let start = lease.answered();
                return Ok(Delivered { answer, lease, watch, start });
            }
            Err(Undelivered { unsent: Some(unsent), .. }) if !is_second => (body, is_second) = (unsent, true),
            // What its caller did to the body is not the agent's fault.
            Err(Undelivered { error, .. }) => return Err(trouble.take().unwrap_or(error)),
        }
    }
}

/// A connection that the agent was asked to upgrade.
pub(crate) struct Upgraded {
    pub(crate) answer: UpgradeAnswer,
    pub(crate) lease: Arc<Lease>,
    pub(crate) watch: Watch,
    pub(crate) start: Option<StartPhases>,
}

/// Delivers a WebSocket's handshake.
pub(crate) async fn upgrade(gateway: &Gateway, errand: Errand<'_>, handshake: &Handshake) -> Result<Upgraded, Error> {
    let context = Context { session: errand.session, request_id: &errand.caller.request_id };
    let mut is_second = false;
    loop {
        let (lease, mut watch) = reach(gateway, &errand).await?;
        let mut request = forward::handshake(lease.deployment(), context, &errand.head.headers);
        handshake.ask(request.headers_mut());
        let answer = lease.upstream().upgrade(request);
        match waited(&lease, answer, &mut watch, &gateway.limits).await {
            Ok(answer) => {
                let start = lease.answered();
                return Ok(Upgraded { answer, lease, watch, start });
            }
            Err(Undelivered { unsent: Some(_), .. }) if !is_second => is_second = true,
            Err(Undelivered { error, .. }) => return Err(error),
        }
    }
}

/// Returns the way to the agent, who is asked nothing yet.
pub(crate) async fn reach(gateway: &Gateway, errand: &Errand<'_>) -> Result<(Arc<Lease>, Watch), Error> {
    let Errand { raw_target, head, caller, .. } = *errand;
    let owner = LazyLock::new(|| gateway.owner(caller));
    let on_start = || gateway.tell_start(raw_target, head, caller);
    let asker = Asker { request: &caller.request_id, owner: &|| *owner, on_start: &on_start };
    let lease = gateway.registry.acquire(errand.session, &errand.deployment, asker).await?;
    let lease = Arc::new(lease);
    let watch = Watch::over_exchange(lease.clone(), errand.deadline);
    // Asked of each sandbox: it may be of another version than what the endpoint serves now, with another authorizer and
    // another allow-list.
    if !authorizer::is_same(lease.deployment(), &errand.deployment) {
        errand.visitor.pass_too(&Gate::of(lease.deployment())).await?;
    }
    forward::check_allowed(lease.deployment(), &errand.head.headers)?;
    Ok((lease, watch))
}

/// Sends the request to the agent and waits for the head of its answer.
async fn exchange(
    lease: &Lease,
    request: Request<AgentRequestBody>,
    watch: &mut Watch,
    limits: &Limits,
) -> Result<Response<UpstreamBody>, Undelivered> {
    let answer = waited(lease, lease.upstream().send(request), watch, limits).await?;
    answer::accept(answer, limits.max_body_bytes).map_err(|error| Undelivered { unsent: None, error })
}

/// Waits for an answer's head.
async fn waited<T>(
    lease: &Lease,
    answer: impl Future<Output = Result<T, Failure>>,
    watch: &mut Watch,
    limits: &Limits,
) -> Result<T, Undelivered> {
    let error = tokio::select! {
        biased;
        answer = timeout(limits.sync_request_timeout, answer) => match answer {
            Ok(Ok(answer)) => return Ok(answer),
            Ok(Err(failure)) => return Err(explain(lease, failure).await),
            Err(_) => Error::AgentTimeout(limits.sync_request_timeout),
        },
        interrupt = watch => match interrupt {
            Some(Interrupt::Ended(ended)) => Error::AgentGone { ended: Some(Box::new(ended)), source: None },
            Some(Interrupt::TooLong) | None => Error::AgentTimeout(limits.stream_timeout),
        },
    };
    Err(Undelivered { unsent: None, error })
}

/// A dead agent's connection breaks, and is refused, before its exit is known: waits for the better story.
async fn explain(lease: &Lease, failure: Failure) -> Undelivered {
    let Failure { unsent, error: source } = failure;
    let ended = timeout(DEATH_NEWS, lease.ended()).await.ok();
    let is_dead = ended.as_ref().is_some_and(|ended| died(&ended.reason));
    let unsent = unsent.filter(|_| is_dead).map(|request| request.into_body());
    Undelivered { unsent, error: Error::AgentGone { ended: ended.map(Box::new), source: Some(source) } }
}
