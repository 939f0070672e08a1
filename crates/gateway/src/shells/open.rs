//! InvokeAgentRuntimeCommandShell up to 101, a line per step. Until then its errors are those of every operation.

use std::sync::Arc;

use http::{HeaderMap, Response, request};
use innkeep_protocol::headers;
use innkeep_sandbox::Lease;
use innkeep_sandbox::exec::{self, Exec, ExecStreams};
use innkeep_types::{SessionId, limits};
use tokio::time::{Instant, timeout};

use super::asked::Asked;
use super::attachment::Attachment;
use super::client::Parts;
use super::error::Error as Refusal;
use super::program::spec;
use super::rooms::Claim;
use super::shell::{self, Shell};
use crate::answer;
use crate::call::{self, Caller, header_value};
use crate::deliver::{self, DEATH_NEWS, Errand};
use crate::error::Error;
use crate::gateway::Gateway;
use crate::inbound::Inbound;
use crate::route::Operation;
use crate::stream::{GatewayBody, Watch, died};
use crate::target::Named;
use crate::visitor::Visitor;
use crate::ws::{Handshake, Rules, Tunnel};

/// How often a client comes to a shell that ends in that moment, before he is told to try again.
const ATTEMPTS: usize = 3;

pub(crate) async fn open(
    gateway: &Gateway,
    raw_target: &str,
    head: &mut request::Parts,
    body: &mut Inbound,
    caller: &mut Caller,
) -> Result<Response<GatewayBody>, Error> {
    let deadline = Instant::now() + gateway.limits.stream_timeout;

    let handshake = Handshake::begin(head, body, caller)?;
    let head = &*head;
    let session = call::session(head)?.unwrap_or_else(SessionId::generate);
    caller.session = Some(session.clone());
    let named = Named::parse(raw_target, head.uri.query())?;
    let asked = Asked::parse(head.uri.query())?;
    call::check_headers(head)?;

    let operation = Operation::InvokeAgentRuntimeCommandShell;
    let (visitor, _) = Visitor::meet(gateway, operation, head, &named, body, deadline, caller).await?;
    let deployment = visitor.enter(&session, caller).await?;

    let errand = Errand { visitor: &visitor, session: &session, deployment, raw_target, head, caller, deadline };
    let (attachment, lease, watch) = connect(gateway, &errand, &asked).await?;

    let mut headers = answer::headers(&head.headers, &HeaderMap::new(), caller, &lease, lease.answered());
    headers.insert(headers::SHELL_ID, header_value(asked.shell.as_str()));
    let mut response = handshake.switch(headers);
    response.extensions_mut().insert(Tunnel::to_shell(Parts {
        request_id: caller.request_id.clone(),
        client: handshake.upgrade,
        shell: asked.shell,
        attachment,
        watch,
        rules: Rules::new(&gateway.limits, gateway.limits.write_stall_timeout.min(limits::SHELL_STALL_TIMEOUT)),
        open: gateway.websockets.open(),
    }));
    Ok(response)
}

/// Gives the caller a shell in his session. One that is found dead is started afresh, once: nothing has been done in it for him.
async fn connect(
    gateway: &Gateway,
    errand: &Errand<'_>,
    asked: &Asked,
) -> Result<(Attachment, Arc<Lease>, Watch), Error> {
    let mut is_second = false;
    loop {
        let (lease, watch) = deliver::reach(gateway, errand).await?;
        let refusal = match attach(gateway, &lease, asked).await {
            Ok(attachment) => return Ok((attachment, lease, watch)),
            Err(refusal) => refusal,
        };
        let is_gone = matches!(refusal, Refusal::Start { source: exec::Error::Gone(_) });
        if is_second || !is_gone {
            return Err(refusal.into());
        }
        match timeout(DEATH_NEWS, lease.ended()).await {
            Ok(ended) if died(&ended.reason) => is_second = true,
            _ => return Err(refusal.into()),
        }
    }
}

/// Gives the caller the shell that he asks for, which is opened if it is not there.
async fn attach(gateway: &Gateway, lease: &Lease, asked: &Asked) -> Result<Attachment, Refusal> {
    for _ in 0..ATTEMPTS {
        let shell = match gateway.shells.claim(lease.sandbox(), &asked.shell)? {
            Claim::Known(shell) => shell,
            Claim::New(ticket) => {
                let refused = |source| Refusal::Start { source };
                let exec = lease.exec(spec(asked)).await.map_err(refused)?;
                let Exec { streams: ExecStreams::Terminal(terminal), process } = exec else {
                    return Err(refused(exec::Error::Sidecar("it gave no terminal".to_owned())));
                };
                let rules = shell::Rules {
                    replay_bytes: gateway.limits.shell_replay_bytes,
                    detached_timeout: gateway.limits.shell_detached_timeout,
                };
                let (shell, run) = Shell::new(terminal, process, rules, gateway.shells.stopping());
                ticket.open(shell.clone(), run);
                shell
            }
        };
        if let Some(attachment) = shell.attach().await {
            return Ok(attachment);
        }
    }
    Err(Refusal::Over(asked.shell.clone()))
}
