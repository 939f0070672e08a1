//! `innkeep invocations`: what was asked with `innkeep invoke --async`, and what became of it.

use std::time::Duration;

use clap::{Args, Subcommand};
use http::HeaderMap;
use http::header::AUTHORIZATION;
use innkeep_protocol::operator::invocations::{InvocationView, PendingInvocation};
use innkeep_sdk::{Client, Found, Invocation};
use innkeep_types::{Clock, InvocationId, InvocationState, SystemClock, UnixMillis, limits};
use serde_json::json;

use crate::context::Context;
use crate::failure::{Code, Failure};
use crate::output::{Output, human_bytes, human_duration};
use crate::{args, invoke, resolve};

/// List, fetch and cancel invocations that nobody waits for: those of `innkeep invoke --async`
#[derive(Debug, Args)]
pub(crate) struct Invocations {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// List them, newest first; for keys with operator rights
    Ls(List),
    /// Print the answer of one; exit status 6 while it is running
    Get(Get),
    /// Cancel one that is running; forget one that has ended
    #[command(visible_alias = "rm")]
    Cancel(Named),
}

#[derive(Debug, Args)]
struct List {
    /// Only of this runtime: name, id or ARN
    #[arg(value_name = "NAME")]
    runtime: Option<String>,
    /// Only in this state: running, done, failed or cancelled
    #[arg(long, value_parser = state)]
    state: Option<InvocationState>,
}

#[derive(Debug, Args)]
struct Get {
    #[command(flatten)]
    named: Named,
    /// Wait for the answer, and print it as it comes
    #[arg(long, short)]
    wait: bool,
    /// With --wait: give up after this time, such as 30s or 5m
    #[arg(long, requires = "wait", value_parser = args::duration)]
    timeout: Option<Duration>,
    /// Print the answer's bytes as they are
    #[arg(long, conflicts_with = "json")]
    raw: bool,
}

#[derive(Debug, Args)]
struct Named {
    /// The id that `innkeep invoke --async` printed
    id: InvocationId,
    /// The token that it was made with, or another of the same user, or @FILE with one, in place of a signature
    #[arg(long, value_name = "TOKEN|@FILE")]
    token: Option<String>,
}

impl Named {
    fn headers(&self) -> Result<HeaderMap, Failure> {
        let token = self.token.as_deref().map(invoke::bearer).transpose()?;
        Ok(token.map(|token| (AUTHORIZATION, token)).into_iter().collect())
    }
}

impl Invocations {
    pub(crate) async fn run(self, context: &Context) -> Result<(), Failure> {
        let (client, out) = (context.client()?, context.out);
        match self.action {
            Action::Ls(List { runtime, state }) => {
                let runtime = match runtime {
                    Some(runtime) => Some(resolve::runtime(&client, &runtime).await?.id),
                    None => None,
                };
                list(out, &client.invocations(runtime.as_ref(), state).await?.invocations)
            }
            Action::Get(Get { named, wait, timeout, raw }) => {
                let timeout = timeout.unwrap_or(limits::STREAM_TIMEOUT);
                let getting = get(&client, out, &named, wait, timeout, raw);
                let late = |_| running(&named.id, Some(timeout));
                tokio::time::timeout(timeout, getting).await.map_err(late)?
            }
            Action::Cancel(named) => {
                let was = client.cancel_invocation(&named.id, named.headers()?).await?;
                let word = if was == Some(InvocationState::Cancelled) { "cancelled" } else { "forgotten" };
                if out.json {
                    return out.json(&json!({"invocationId": named.id, "state": was}));
                }
                out.note(format!("{} is {word}", named.id));
                Ok(())
            }
        }
    }
}

/// Invokes without waiting, and prints the id; or the answer, if the server waited.
pub(crate) async fn accept(client: &Client, out: Output, invocation: Invocation, raw: bool) -> Result<(), Failure> {
    let pending: PendingInvocation = match client.invoke_async(invocation).await? {
        Found::Pending(pending) => pending,
        Found::Answer(answer) => return invoke::show(answer, out, raw).await,
    };
    if out.json {
        return out.json(&pending);
    }
    let session = resolve::short(&pending.runtime_session_id);
    out.data(pending.invocation_id.as_str())?;
    out.note(format!("session {session}; its answer: innkeep invocations get {} --wait", pending.invocation_id));
    Ok(())
}

async fn get(
    client: &Client,
    out: Output,
    named: &Named,
    wait: bool,
    timeout: Duration,
    raw: bool,
) -> Result<(), Failure> {
    match client.invocation(&named.id, wait, named.headers()?, timeout).await? {
        Found::Answer(answer) => invoke::show(answer, out, raw).await,
        Found::Pending(_) => Err(running(&named.id, None)),
    }
}

fn running(id: &InvocationId, waited: Option<Duration>) -> Failure {
    let waited = waited.map(|waited| format!(", after {}", human_duration(waited))).unwrap_or_default();
    let failure = Failure::new(Code::TimedOut, format!("invocation {id} is still running{waited}"));
    failure.with_fix(format!("innkeep invocations get {id} --wait"))
}

fn list(out: Output, invocations: &[InvocationView]) -> Result<(), Failure> {
    if out.json {
        return out.json(&json!({"invocations": invocations}));
    }
    if invocations.is_empty() {
        out.note("no invocations that nobody waits for");
        return Ok(());
    }
    let now = SystemClock.now();
    let rows: Vec<_> = invocations.iter().map(|invocation| row(invocation, now)).collect();
    out.table(["ID", "RUNTIME", "SESSION", "STATE", "AGE", "ANSWER", "WHY"], &rows)
}

fn row(invocation: &InvocationView, now: UnixMillis) -> [String; 7] {
    let created: Option<jiff::Timestamp> = invocation.created_at.parse().ok();
    let age = created.map(|at| human_duration(now.since(UnixMillis(at.as_millisecond()))));
    [
        invocation.invocation_id.to_string(),
        invocation.runtime_id.to_string(),
        resolve::short(&invocation.session_id).to_owned(),
        invocation.state.as_str().to_owned(),
        age.unwrap_or_else(|| "-".to_owned()),
        human_bytes(invocation.bytes),
        invocation.reason.clone().unwrap_or_else(|| "-".to_owned()),
    ]
}

fn state(word: &str) -> Result<InvocationState, String> {
    let found = InvocationState::ALL.into_iter().find(|state| state.as_str() == word);
    found.ok_or_else(|| format!("expected one of {}", InvocationState::ALL.map(InvocationState::as_str).join(", ")))
}
