//! InvokeAgentRuntimeCommand, a line per step: a shell's command beside the agent, its output streamed as it comes. Source: AgentCore
//! developer guide, "Execute shell commands in AgentCore Runtime sessions".

mod asked;
mod events;
mod stream;
mod text;

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, Response, request};
use http_body_util::BodyExt;
use hyper::body::Body;
use innkeep_protocol::event_stream;
use innkeep_sandbox::Lease;
use innkeep_sandbox::exec::{self, Exec, ExecProgram, ExecSpec};
use innkeep_types::{SessionId, limits};
use tokio::time::{Instant, timeout};

use crate::answer;
use crate::call::{self, Caller};
use crate::deliver::{self, DEATH_NEWS, Errand};
use crate::error::Error;
use crate::gateway::Gateway;
use crate::inbound::Inbound;
use crate::route::Operation;
use crate::spool::Spooled;
use crate::stream::{AnswerDeadline, GatewayBody, Watch, died};
use crate::target::Named;
use crate::visitor::Visitor;
use asked::Asked;
use stream::Running;

pub(crate) use stream::CommandStream;

/// The largest request that can hold a command, escaped, and a timeout; bytes.
const MAX_REQUEST_BYTES: u64 = 8 * limits::MAX_COMMAND_BYTES as u64;

pub(crate) async fn run(
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
    call::check_command_headers(head)?;
    if body.size_hint().lower() > MAX_REQUEST_BYTES {
        return Err(Error::BodyTooLarge(MAX_REQUEST_BYTES));
    }

    let operation = Operation::InvokeAgentRuntimeCommand;
    let (visitor, read) = Visitor::meet(gateway, operation, head, &named, body, deadline, caller).await?;
    let mut deployment = visitor.enter(&session, caller).await?;
    let read = match read {
        Some(read) => read,
        None => {
            let read = gateway.read(body, deadline).await?;
            // That took as long as the caller liked. Whether he may, and what serves him, may be another by now.
            deployment = visitor.enter(&session, caller).await?;
            read
        }
    };
    let Asked { command, timeout } = Asked::parse(&whole(read).await?)?;

    let errand = Errand {
        visitor: &visitor,
        session: &session,
        deployment,
        raw_target,
        head,
        caller,
        // It may have to wait for a start, and its own time begins after that.
        deadline: deadline + timeout,
    };
    let spec = ExecSpec {
        program: ExecProgram::Shell,
        arguments: vec!["-c".to_owned(), command],
        environment: BTreeMap::new(),
        terminal: None,
    };
    let (exec, lease, watch) = start(gateway, &errand, &spec).await?;

    let start = lease.answered();
    let headers = answer::headers(&head.headers, &said(), caller, &lease, start);
    let ends_at = Instant::now() + timeout;
    let (max_bytes, crossings) = (gateway.limits.max_command_output_bytes, gateway.crossings.clone());
    let running = Running::new(exec, watch, ends_at, max_bytes, crossings);
    let mut response = Response::new(GatewayBody::command(CommandStream::new(running)));
    *response.headers_mut() = headers;
    // Who does not read is waited for a little longer than the command is.
    response.extensions_mut().insert(AnswerDeadline(ends_at + stream::LAST_WORDS));
    Ok(response)
}

/// Returns the body of a request, which is in memory unless somebody sends much for nothing.
async fn whole(read: Spooled) -> Result<Bytes, Error> {
    if read.len > MAX_REQUEST_BYTES {
        return Err(Error::BodyTooLarge(MAX_REQUEST_BYTES));
    }
    let collected = read.into_body().collect().await.map_err(Error::Spool)?;
    Ok(collected.to_bytes())
}

/// Starts the command. A session that is found dead is started afresh, once: nothing of the command has been done.
async fn start(gateway: &Gateway, errand: &Errand<'_>, spec: &ExecSpec) -> Result<(Exec, Arc<Lease>, Watch), Error> {
    let mut is_second = false;
    loop {
        let (lease, watch) = deliver::reach(gateway, errand).await?;
        let refused = match lease.exec(spec.clone()).await {
            Ok(exec) => return Ok((exec, lease, watch)),
            Err(refused) => refused,
        };
        if !matches!(refused, exec::Error::Gone(_)) {
            return Err(refused.into());
        }
        let ended = timeout(DEATH_NEWS, lease.ended()).await.ok();
        if is_second || !ended.as_ref().is_some_and(|ended| died(&ended.reason)) {
            return Err(Error::AgentGone { ended: ended.map(Box::new), source: None });
        }
        is_second = true;
    }
}

/// Returns what an agent would say in its head.
fn said() -> HeaderMap {
    HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static(event_stream::MEDIA_TYPE))])
}
