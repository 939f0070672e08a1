//! InvokeAgentRuntimeWithWebSocketStream up to 101, a line per step. Until then its errors are those of every operation.

use std::sync::Arc;

use http::{Response, request};
use innkeep_sandbox::upstream::UpgradeAnswer;
use innkeep_types::SessionId;
use tokio::time::Instant;

use super::flow::Rules;
use super::handshake::Handshake;
use super::tunnel::{Parts, Tunnel};
use crate::alias;
use crate::answer;
use crate::call::{self, Caller};
use crate::deliver::{self, Errand, Upgraded};
use crate::error::Error;
use crate::gateway::{Gateway, Served};
use crate::inbound::Inbound;
use crate::route::{Operation, Route};
use crate::stream::GatewayBody;
use crate::target::Named;
use crate::visitor::Visitor;

pub(crate) async fn open(
    gateway: &Gateway,
    Route { raw_target, door, .. }: &Route,
    head: &mut request::Parts,
    body: &mut Inbound,
    caller: &mut Caller,
) -> Result<Response<GatewayBody>, Error> {
    let deadline = Instant::now() + gateway.limits.stream_timeout;

    let handshake = Handshake::begin(head, body, caller)?;
    let head = &*head;
    let session = alias::session(*door, head)?.unwrap_or_else(SessionId::generate);
    caller.session = Some(session.clone());
    let named = Named::parse(raw_target, head.uri.query())?;
    call::check_headers(head)?;

    let operation = Operation::InvokeAgentRuntimeWithWebSocketStream;
    let (visitor, _) = Visitor::meet(gateway, operation, head, &named, body, deadline, caller).await?;
    let deployment = visitor.enter(&session, caller).await?;

    let errand = Errand { visitor: &visitor, session: &session, deployment, raw_target, head, caller, deadline };
    let Upgraded { answer, lease, watch, start } = deliver::upgrade(gateway, errand, &handshake).await?;
    let (agent, stream) = match answer {
        UpgradeAnswer::Refused(status) => return Err(Error::AgentStatus(status)),
        UpgradeAnswer::Upgraded(agent, _) if !handshake.is_answered(agent.headers()) => {
            return Err(Error::AgentHandshake);
        }
        UpgradeAnswer::Upgraded(agent, stream) => (agent, stream),
    };

    let headers = answer::headers(&head.headers, agent.headers(), caller, &lease, start);
    let mut response = handshake.switch(headers);
    response.extensions_mut().insert(Tunnel::new(Parts {
        request_id: caller.request_id.clone(),
        client: handshake.upgrade,
        agent: stream,
        watch,
        rules: Rules::new(&gateway.limits, gateway.limits.write_stall_timeout),
        open: gateway.websockets.open(),
    }));
    response.extensions_mut().insert(Served(lease.deployment().clone()));
    // The watch holds one of its own.
    drop::<Arc<_>>(lease);
    Ok(response)
}
