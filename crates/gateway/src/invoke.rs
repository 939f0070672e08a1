//! InvokeAgentRuntime, a line per step.

use std::sync::LazyLock;

use http::{Response, request};
use innkeep_sandbox::Asker;
use innkeep_types::SessionId;
use tokio::time::Instant;

use crate::answer;
use crate::call::{self, Caller};
use crate::deliver::{self, Delivered, Errand};
use crate::error::Error;
use crate::gateway::Gateway;
use crate::inbound::Inbound;
use crate::payload::Payload;
use crate::route::Operation;
use crate::stream::{AgentStream, AnswerDeadline, GatewayBody};
use crate::target::Named;
use crate::visitor::Visitor;

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

    let (visitor, read) =
        Visitor::meet(gateway, Operation::InvokeAgentRuntime, head, &named, body, deadline, caller).await?;
    let deployment = visitor.enter(&session, caller).await?;
    let payload = match read {
        Some(read) => Payload::from(read),
        None => gateway.pass(body, deadline).await?,
    };

    let owner = LazyLock::new(|| gateway.owner(caller));
    let on_start = || gateway.tell_start(raw_target, head, caller);
    let errand = Errand {
        visitor: &visitor,
        session: &session,
        deployment,
        asker: Asker { request: &caller.request_id, owner: &|| *owner, on_start: &on_start },
        headers: &head.headers,
        deadline,
    };
    let Delivered { answer, lease, watch, start } = deliver::deliver(gateway, errand, payload).await?;

    let (agent, body) = answer.into_parts();
    let end = answer::end(agent.status, &agent.headers);
    let headers = answer::headers(&agent.headers, caller, &lease, start);
    let stream = AgentStream::new(body, lease, watch, gateway.limits.max_body_bytes, end);
    let mut response = Response::new(GatewayBody::agent(stream));
    *response.status_mut() = agent.status;
    *response.headers_mut() = headers;
    response.extensions_mut().insert(AnswerDeadline(deadline));
    Ok(response)
}
