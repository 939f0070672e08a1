//! InvokeAgentRuntime, a line per step.

mod which;

use std::sync::Arc;

use http::{HeaderValue, Response, request};
use hyper::body::Body;
use innkeep_protocol::headers;
use innkeep_types::{ServerProtocol, SessionId, SessionKey};
use tokio::time::Instant;

use crate::alias;
use crate::answer;
use crate::call::{self, Caller};
use crate::deliver::{self, Ask, Delivered, Errand};
use crate::error::Error;
use crate::gateway::{Gateway, Served};
use crate::inbound::Inbound;
use crate::invocations::accept::{Wanted, accept};
use crate::invocations::prefer;
use crate::mcp;
use crate::payload::Payload;
use crate::route::{Operation, Route};
use crate::rpc;
use crate::spool::Spooled;
use crate::stream::{AgentStream, AnswerDeadline, Bounds, GatewayBody};
use crate::target::{Named, Target};
use crate::visitor::Visitor;

use which::Which;

pub(crate) async fn invoke(
    gateway: &Arc<Gateway>,
    route: &Route,
    head: &request::Parts,
    body: &mut Inbound,
    caller: &mut Caller,
) -> Result<Response<GatewayBody>, Error> {
    let deadline = Instant::now() + gateway.limits.stream_timeout;

    let (said, named) = match read(route, head) {
        Ok(read) => read,
        Err(error) => {
            Box::pin(introduce(gateway, route, head, body, deadline, caller)).await;
            return Err(error);
        }
    };
    let mut which = Which::by_head(said, head);
    caller.session = Some(which.session.clone());

    let (visitor, read) =
        Visitor::meet(gateway, Operation::InvokeAgentRuntime, head, &named, body, deadline, caller).await?;
    let entered = visitor.enter(&which.session, caller).await;
    caller.look(read.as_ref()).await;
    let mut deployment = entered?;
    if which.settle(gateway, (route.door, &deployment), read.as_ref(), body, deadline).await? {
        caller.session = Some(which.session.clone());
        deployment = visitor.enter(&which.session, caller).await?;
    }
    let session = which.session;

    let is_async = prefer::is_async(&head.headers) && prefer::may_be(deployment.protocol.server);
    let is_read_first = is_async || caller.speaks_rpc() || body.size_hint().exact().is_none();
    let read = match read {
        None if is_read_first => {
            let read = gateway.read(body, deadline).await?;
            caller.look(Some(&read)).await;
            // That took as long as the caller liked. Whether he may, and what serves him, may be another by now.
            deployment = visitor.enter(&session, caller).await?;
            Some(read)
        }
        read => read,
    };
    // Who cannot be told from others could not ask for the answer, so he waits.
    let answered_later = if is_async { gateway.owner(caller) } else { None };
    let read = match (read, answered_later) {
        (Some(body), Some(owner)) => {
            let Target { runtime, endpoint } = named.target.clone();
            let session = SessionKey { runtime, endpoint, session };
            let raw_target = &route.raw_target;
            let wanted = Wanted { raw_target, head, named: &named, session, deployment, body, owner };
            return Box::pin(accept(gateway, wanted, caller)).await;
        }
        (read, _) => read,
    };
    let payload = match read {
        Some(read) => Payload::from(read),
        None => gateway.pass(body, deadline).await?,
    };
    let is_mcp = deployment.protocol.server == ServerProtocol::Mcp;
    let exchange = if is_mcp { Some(mcp::Exchange::begin(gateway, &session, head, caller)?) } else { None };

    let caller = &*caller;
    let errand = Errand {
        visitor: &visitor,
        session: &session,
        deployment,
        raw_target: &route.raw_target,
        head,
        caller,
        deadline,
    };
    let ask = Ask::Invocation(exchange);
    let delivered = deliver::deliver(gateway, errand, &ask, payload).await;
    match ask {
        Ask::Invocation(Some(exchange)) => {
            let delivered = delivered.map_err(|error| exchange.explain(error))?;
            let shown = exchange.shown(&delivered.lease, delivered.answer.headers());
            Ok(answer(gateway, head, delivered, Some(shown), deadline, caller))
        }
        _ => Ok(answer(gateway, head, delivered?, None, deadline, caller)),
    }
}

/// Returns the answer to `request` that streams what the agent says. `mcp_session` is the id of it that the caller knows.
pub(crate) fn answer(
    gateway: &Gateway,
    request: &request::Parts,
    delivered: Delivered,
    mcp_session: Option<HeaderValue>,
    deadline: Instant,
    caller: &Caller,
) -> Response<GatewayBody> {
    let Delivered { answer, lease, watch, start } = delivered;
    let (agent, body) = answer.into_parts();
    let end = answer::end(agent.status, &agent.headers);
    let mut headers = answer::headers(&request.headers, &agent.headers, caller, &lease, start);
    if let Some(session) = mcp_session {
        headers.insert(headers::MCP_SESSION_ID, session);
    }
    let bounds = Bounds { max_bytes: gateway.limits.max_body_bytes, deadline, crossings: gateway.crossings.clone() };
    let served = lease.deployment().clone();
    let stream = AgentStream::new(body, lease, watch, bounds, end);
    let mut response = Response::new(GatewayBody::agent(stream));
    *response.status_mut() = agent.status;
    *response.headers_mut() = headers;
    response.extensions_mut().insert(AnswerDeadline(deadline));
    response.extensions_mut().insert(Served(served));
    response
}

/// Reads what the head says of itself: the session, if it names one, and the target.
fn read(route: &Route, head: &request::Parts) -> Result<(Option<SessionId>, Named), Error> {
    let session = alias::session(route.door, head)?;
    let named = Named::parse(&route.raw_target, head.uri.query())?;
    call::check_headers(head)?;
    Ok((session, named))
}

/// Finds out what the runtime speaks, for a caller who is refused for what his head says: if he is one who may know, he is told in its
/// words. The head is otherwise looked at as if it were good.
async fn introduce(
    gateway: &Gateway,
    route: &Route,
    head: &request::Parts,
    body: &mut Inbound,
    deadline: Instant,
    caller: &mut Caller,
) {
    let Ok(named) = Named::parse(&route.raw_target, head.uri.query()) else { return };
    let met = Visitor::meet(gateway, Operation::InvokeAgentRuntime, head, &named, body, deadline, caller).await;
    let Ok((visitor, read)) = met else { return };
    if visitor.enter(&SessionId::generate(), caller).await.is_err() {
        caller.protocol = ServerProtocol::Http;
    }
    caller.look(read.as_ref()).await;
}

impl Caller {
    /// Looks at his request, if it is one that may have an id.
    async fn look(&mut self, read: Option<&Spooled>) {
        if let Some(read) = read.filter(|_| self.speaks_rpc()) {
            self.glance = rpc::glance(read).await;
        }
    }

    fn speaks_rpc(&self) -> bool {
        matches!(self.protocol, ServerProtocol::Mcp | ServerProtocol::A2a)
    }
}
