//! Waiting for the control plane to finish what it accepted: a version, an endpoint, a deletion.

use std::time::Duration;

use innkeep_protocol::control::{AgentRuntimeEndpoint, GetAgentRuntimeResponse};
use innkeep_sdk::Client;
use innkeep_types::{EndpointName, RuntimeId, RuntimeStatus, RuntimeVersion};
use tokio::time::Instant;

use crate::failure::{Code, Failure};

/// From an accepted change to its end. Source: the SDKs' own pollers give up after 300 s.
pub(crate) const CHANGE_TIMEOUT: Duration = Duration::from_secs(300);

/// A fifth more each time: what has ended is seen within a sixth of the time that it took.
const FIRST_POLL: Duration = Duration::from_millis(10);
const LONGEST_POLL: Duration = Duration::from_millis(500);

/// Returns the runtime, or one version of it, once no change to it is under way.
pub(crate) async fn settled(
    client: &Client,
    id: &RuntimeId,
    version: Option<RuntimeVersion>,
    within: Duration,
) -> Result<GetAgentRuntimeResponse, Failure> {
    until(within, async || {
        let runtime = client.get_runtime(id, version).await?;
        if !runtime.status.in_progress() {
            return Ok(Look::Done(runtime));
        }
        let (name, version) = (&runtime.agent_runtime_name, &runtime.agent_runtime_version);
        Ok(still(format!("version {version} of {name}"), runtime.status, format!("innkeep status {name}")))
    })
    .await
}

/// Returns the endpoint once no change to it is under way.
///
/// # Errors
/// With the server's reason if the change failed.
pub(crate) async fn endpoint(
    client: &Client,
    runtime: &RuntimeId,
    name: &EndpointName,
) -> Result<AgentRuntimeEndpoint, Failure> {
    let ended = until(CHANGE_TIMEOUT, async || {
        let endpoint = client.get_endpoint(runtime, name).await?;
        if !endpoint.status.in_progress() {
            return Ok(Look::Done(endpoint));
        }
        let fix = format!("innkeep endpoints get {name} --runtime {runtime}");
        Ok(still(format!("endpoint {name}"), endpoint.status, fix))
    })
    .await?;
    match ended.status {
        RuntimeStatus::Ready => Ok(ended),
        status => {
            let message = format!("endpoint {name} is {}", status.as_str());
            let failure = Failure { cause: ended.failure_reason, ..Failure::new(Code::Failed, message) };
            Err(failure.with_fix(format!("innkeep versions ls --runtime {runtime}")))
        }
    }
}

/// Returns once `get` answers that there is no such thing any more; `get` returns its status, and why it failed.
///
/// # Errors
/// With the server's reason if the deletion failed.
pub(crate) async fn gone(
    what: &str,
    mut get: impl AsyncFnMut() -> Result<(RuntimeStatus, Option<String>), innkeep_sdk::Error>,
) -> Result<(), Failure> {
    until(CHANGE_TIMEOUT, async || match get().await.map_err(Failure::from) {
        Err(failure) if failure.code == Code::NotFound => Ok(Look::Done(())),
        Err(failure) => Err(failure),
        Ok((RuntimeStatus::DeleteFailed, cause)) => {
            Err(Failure { cause, ..Failure::new(Code::Failed, format!("{what} could not be deleted")) })
        }
        Ok((status, _)) => Ok(still(what.to_owned(), status, "wait, and look again".to_owned())),
    })
    .await
}

/// What one look saw.
enum Look<T> {
    Done(T),
    /// What it fails with if there is no more time.
    Still(Failure),
}

fn still<T>(what: String, status: RuntimeStatus, fix: String) -> Look<T> {
    Look::Still(Failure::new(Code::TimedOut, format!("{what} is still {}", status.as_str())).with_fix(fix))
}

async fn until<T>(within: Duration, mut look: impl AsyncFnMut() -> Result<Look<T>, Failure>) -> Result<T, Failure> {
    let deadline = Instant::now() + within;
    let mut pause = FIRST_POLL;
    loop {
        match look().await? {
            Look::Done(done) => return Ok(done),
            Look::Still(failure) if Instant::now() >= deadline => {
                return Err(Failure { cause: Some(format!("waited {} s", within.as_secs())), ..failure });
            }
            Look::Still(_) => {}
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 6 / 5).min(LONGEST_POLL);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_does_not_end_is_waited_for_so_long_and_no_longer() {
        let mut looks = 0;
        let waited = until(Duration::from_secs(10), async || {
            looks += 1;
            Ok::<Look<()>, Failure>(still("it".to_owned(), RuntimeStatus::Updating, "look".to_owned()))
        });
        let failure = waited.await.unwrap_err();
        assert_eq!((failure.code, failure.message.as_str()), (Code::TimedOut, "it is still UPDATING"));
        assert!((20..60).contains(&looks), "{looks} looks in 10 s");
    }

    #[tokio::test(start_paused = true)]
    async fn what_ends_is_returned() {
        let mut looks = 0;
        let done = until(Duration::from_secs(10), async || {
            looks += 1;
            Ok(if looks < 3 {
                still("it".to_owned(), RuntimeStatus::Deleting, String::new())
            } else {
                Look::Done(looks)
            })
        });
        assert_eq!(done.await.unwrap(), 3);
    }
}
