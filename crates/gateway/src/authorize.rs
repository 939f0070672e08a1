//! May this caller do this: the one place where the data plane asks. Every operation has its action, on the runtime and on the
//! endpoint; on behalf of a user it has one more.
//!
//! Source: AgentCore developer guide, "Resource-based policies"; service authorization reference.

use http::request;
use innkeep_auth::policy::{Caller, Context, Decision, Guarded, Request, decide};
use innkeep_protocol::headers;

use crate::error::Error;
use crate::gateway::Gateway;
use crate::guards::Guard;
use crate::route::Operation;
use crate::target::Target;

/// Refuses a caller, who is known, whose policies or those of runtime and endpoint do not let him do `operation`. Whether the target
/// exists is not told before.
pub(crate) async fn authorize(
    gateway: &Gateway,
    caller: Caller<'_>,
    operation: Operation,
    target: &Target,
    head: &request::Parts,
) -> Result<(), Error> {
    let guards = gateway.guards.of(target).await?;
    let resources: Vec<Guarded<'_>> = guards.iter().map(Guard::as_guarded).collect();
    let context =
        Context { via: head.extensions.get().copied(), now: gateway.authenticator.clock.now(), ..Context::default() };
    let names_user = head.headers.contains_key(headers::USER_ID);
    for action in actions(operation, names_user) {
        if let Decision::Deny(denial) = decide(&resources, &Request { caller, action, context: &context }) {
            return Err(Error::Denied(Box::new(denial)));
        }
    }
    Ok(())
}

/// Returns all that a caller must be allowed.
fn actions(operation: Operation, names_user: bool) -> &'static [&'static str] {
    match operation {
        Operation::InvokeAgentRuntime if names_user => &["InvokeAgentRuntime", "InvokeAgentRuntimeForUser"],
        Operation::InvokeAgentRuntime => &["InvokeAgentRuntime"],
        Operation::InvokeAgentRuntimeWithWebSocketStream if names_user => {
            &["InvokeAgentRuntimeWithWebSocketStream", "InvokeAgentRuntimeWithWebSocketStreamForUser"]
        }
        Operation::InvokeAgentRuntimeWithWebSocketStream => &["InvokeAgentRuntimeWithWebSocketStream"],
        Operation::InvokeAgentRuntimeCommand => &["InvokeAgentRuntimeCommand"],
        Operation::InvokeAgentRuntimeCommandShell => &["InvokeAgentRuntimeCommandShell"],
        Operation::StopRuntimeSession => &["StopRuntimeSession"],
        Operation::GetRuntimeProtectedResourceMetadata => &["GetRuntimeProtectedResourceMetadata"],
        Operation::GetAgentCard => &["GetAgentCard"],
        // Never asked: it is refused whoever asks.
        Operation::InvokeAgentRuntimeOtherwise => &["InvokeAgentRuntime"],
        // Ours: an answer is for who may ask for it.
        Operation::GetInvocation | Operation::CancelInvocation => &["InvokeAgentRuntime"],
    }
}
