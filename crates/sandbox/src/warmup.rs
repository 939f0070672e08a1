//! The one request that an agent answers while its version is made. Source: AgentCore developer guide, lifecycle hooks.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, HOST};
use http::uri::PathAndQuery;
use http::{HeaderValue, Request, StatusCode, Uri, Version};
use http_body_util::{BodyExt, Full, Limited};
use innkeep_protocol::link::{AgentState, ExitFacts};
use innkeep_types::{Warmup, limits};
use tokio::sync::watch;
use tokio::time::timeout;

use crate::driver::Sandbox;
use crate::start::Failure;
use crate::upstream::{self, AgentRequestBody, Upstream};

/// What the agent is sent.
const BODY: &[u8] = b"{}";

/// How long after a broken connection the news of the agent's end may take. Source: our choice, as in the gateway.
const EXIT_NEWS: Duration = Duration::from_secs(1);

/// How long, and how much of, the rest of a good answer is read: an agent that is cut off in the middle of it logs a failure.
const REST_TIME: Duration = Duration::from_secs(1);
const REST_BYTES: usize = 1 << 20;

/// Why a warm-up request was not answered well.
#[derive(Debug, thiserror::Error)]
enum Cold {
    #[error("was answered with status {0}; it must be answered with 200 to 299")]
    Status(StatusCode),
    #[error("was not answered within {} s", limits::WARMUP_TIMEOUT.as_secs())]
    Timeout,
    #[error("failed: {0}")]
    Broken(upstream::Error),
}

/// Asks the agent, which serves on `own_port` and is healthy, and waits for a good answer.
///
/// # Cancel safety
/// Safe: the agent sees its connection close.
pub(crate) async fn warm_up(sandbox: &Arc<dyn Sandbox>, own_port: u16, warmup: &Warmup) -> Result<(), Failure> {
    let port = warmup.port.unwrap_or(own_port);
    let what = format!("the warm-up request POST {} to port {port}", warmup.path);
    let mut state = sandbox.state();
    let cold = tokio::select! {
        biased;
        answered = timeout(limits::WARMUP_TIMEOUT, ask(sandbox, port, warmup)) => match answered {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(cold)) => cold,
            Err(_) => Cold::Timeout,
        },
        ended = ended(&mut state) => return Err(Failure::before(&what, ended.as_ref())),
    };
    if let Cold::Broken(_) = cold
        && let Ok(ended) = timeout(EXIT_NEWS, ended(&mut state)).await
    {
        return Err(Failure::before(&what, ended.as_ref()));
    }
    Err(Failure::of_message(format!("The agent was ready, but {what} {}", told(&cold))))
}

async fn ask(sandbox: &Arc<dyn Sandbox>, port: u16, warmup: &Warmup) -> Result<(), Cold> {
    let upstream = Upstream::to_port(sandbox.clone(), warmup.port);
    let answer = upstream.send(request(port, &warmup.path)).await.map_err(|failure| Cold::Broken(failure.error))?;
    if !answer.status().is_success() {
        return Err(Cold::Status(answer.status()));
    }
    let _ = timeout(REST_TIME, Limited::new(answer.into_body(), REST_BYTES).collect()).await;
    Ok(())
}

fn request(port: u16, path: &str) -> Request<AgentRequestBody> {
    let body = Full::new(Bytes::from_static(BODY)).map_err(|never| match never {});
    let mut request = Request::new(body.boxed_unsync());
    *request.method_mut() = http::Method::POST;
    *request.version_mut() = Version::HTTP_11;
    // A path that was checked is one.
    *request.uri_mut() = PathAndQuery::try_from(path).map(Uri::from).unwrap_or_default();
    let headers = request.headers_mut();
    if let Ok(host) = HeaderValue::try_from(format!("localhost:{port}")) {
        headers.insert(HOST, host);
    }
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CONTENT_LENGTH, HeaderValue::from(BODY.len()));
    request
}

/// Waits for the agent's end; none if nothing is known of it.
async fn ended(state: &mut watch::Receiver<AgentState>) -> Option<ExitFacts> {
    match state.wait_for(|state| matches!(state, AgentState::Exited(_))).await.as_deref() {
        Ok(AgentState::Exited(facts)) => Some(facts.clone()),
        _ => None,
    }
}

/// Returns the failure with its causes, on one line.
fn told(cold: &Cold) -> String {
    let mut text = cold.to_string();
    let mut cause = match cold {
        Cold::Broken(error) => std::error::Error::source(error),
        Cold::Status(_) | Cold::Timeout => None,
    };
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
