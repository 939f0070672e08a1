//! GetAgentCard: what an A2A agent says of itself, as it says it. Starts a session if there is none. Source: service model; AgentCore
//! developer guide, A2A protocol contract.

use http::{Response, request};
use http_body_util::{BodyExt, Empty};
use hyper::body::Body;
use innkeep_types::{ServerProtocol, SessionId};
use tokio::time::Instant;

use crate::call::{self, Caller};
use crate::deliver::{self, Ask, Errand};
use crate::error::Error;
use crate::gateway::Gateway;
use crate::inbound::Inbound;
use crate::invoke;
use crate::payload::{Payload, Trouble};
use crate::route::Operation;
use crate::stream::GatewayBody;
use crate::target::Named;
use crate::visitor::Visitor;

pub(crate) async fn card(
    gateway: &Gateway,
    raw_target: &str,
    head: &request::Parts,
    body: &mut Inbound,
    caller: &mut Caller,
) -> Result<Response<GatewayBody>, Error> {
    let deadline = Instant::now() + gateway.limits.stream_timeout;

    if !body.is_end_stream() {
        return Err(Error::field("payload", "must be empty".to_owned()));
    }
    let session = call::session(head)?.unwrap_or_else(SessionId::generate);
    caller.session = Some(session.clone());
    let named = Named::parse(raw_target, head.uri.query())?;
    call::check_headers(head)?;

    let (visitor, _) = Visitor::meet(gateway, Operation::GetAgentCard, head, &named, body, deadline, caller).await?;
    let deployment = visitor.enter(&session, caller).await?;
    let server = deployment.protocol.server;
    if server != ServerProtocol::A2a {
        let rule = format!(
            "must name a runtime whose serverProtocol is A2A, since no others have cards; this one's is {}",
            server.as_str()
        );
        return Err(Error::field("agentRuntimeArn", rule));
    }

    let errand = Errand { visitor: &visitor, session: &session, deployment, raw_target, head, caller, deadline };
    let nothing = Empty::new().map_err(|never| match never {}).boxed_unsync();
    let payload = Payload { bytes: 0, body: nothing, trouble: Trouble::default() };
    let delivered = deliver::deliver(gateway, errand, &Ask::AgentCard, payload).await?;
    Ok(invoke::answer(gateway, head, delivered, None, deadline, caller))
}
