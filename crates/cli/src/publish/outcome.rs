//! What became of a new version: it serves, or why it does not and what to do about that.

use std::time::Duration;

use innkeep_protocol::operator::RuntimeView;
use innkeep_sdk::Client;
use innkeep_types::{EndpointName, RuntimeId, RuntimeName, RuntimeStatus, RuntimeVersion};

use crate::failure::{Code, Failure};
use crate::wait;

/// Waits until `version`, the newest, is READY. `served` serves on if it fails.
///
/// # Errors
/// With [`Code::AgentFailed`], the reason and the agent's last log lines; with [`Code::Failed`] if there was no image to start.
pub(crate) async fn ready(
    client: &Client,
    name: &RuntimeName,
    id: &RuntimeId,
    version: RuntimeVersion,
    served: Option<RuntimeVersion>,
    within: Duration,
) -> Result<RuntimeStatus, Failure> {
    match wait::settled(client, id, Some(version), within).await?.status {
        RuntimeStatus::Ready => Ok(RuntimeStatus::Ready),
        _ => Err(did_not_start(client, name, id, version, served).await),
    }
}

/// Returns the version that DEFAULT serves.
pub(crate) fn serves(runtime: &RuntimeView) -> Option<RuntimeVersion> {
    let default = EndpointName::default_endpoint();
    runtime.endpoints.iter().find(|endpoint| endpoint.name == default)?.live_version
}

async fn did_not_start(
    client: &Client,
    name: &RuntimeName,
    id: &RuntimeId,
    version: RuntimeVersion,
    served: Option<RuntimeVersion>,
) -> Failure {
    // Without the reason it is still a failure, and a truer one than that of the question.
    let known = client.failure(id).await.unwrap_or_default();
    let image = image(client, id, version).await;
    let refused = image.as_deref().zip(known.failure_reason.as_deref()).filter(|(image, reason)| is_of(reason, image));
    let serves = served.map_or_else(String::new, |served| format!("; version {served} serves on"));
    let (code, message, fix) = match refused {
        None => {
            let message = format!("version {version} of {name} did not start");
            (Code::AgentFailed, message, "correct the agent and deploy again".to_owned())
        }
        Some((_, reason)) => {
            let again = match is_pull(reason) {
                true => "see to the reference, the registry and the credentials for it, and deploy again",
                false => "deploy an image without that fault",
            };
            // Of a slip in the first reference there should be nothing left.
            let rm = if version == RuntimeVersion::FIRST {
                format!(", or remove what was created: innkeep runtimes rm {name}")
            } else {
                String::new()
            };
            (Code::Failed, format!("version {version} of {name} has no image to start"), format!("{again}{rm}"))
        }
    };
    let failure = Failure { cause: known.failure_reason, log_tail: known.log_tail, ..Failure::new(code, message) };
    failure.with_fix(format!("{fix}{serves}"))
}

/// Returns the reference of the image that a version runs, if it runs one.
async fn image(client: &Client, id: &RuntimeId, version: RuntimeVersion) -> Option<String> {
    let document = client.runtime_document(id, Some(version)).await.ok()?;
    let artifact = document.get("agentRuntimeArtifact")?;
    Some(artifact["containerConfiguration"]["containerUri"].as_str()?.to_owned())
}

/// Tells whether the server's `reason` is about the image and not about the agent in it: then it is a sentence that begins with it.
fn is_of(reason: &str, image: &str) -> bool {
    reason.strip_prefix("image ").and_then(|rest| rest.strip_prefix(image)).is_some_and(|rest| rest.starts_with(' '))
}

/// Tells whether an image could not be had, as opposed to one that is wrong.
fn is_pull(reason: &str) -> bool {
    reason.contains(" could not be pulled")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_that_is_not_there_is_told_from_an_agent_that_does_not_start() {
        let image = "ghcr.io/me/agent:v1";
        let missing = "image ghcr.io/me/agent:v1 could not be pulled: ghcr.io does not have tag v1; check name and tag";
        assert!(is_of(missing, image) && is_pull(missing));
        let wrong = "image ghcr.io/me/agent:v1 does not run on linux/amd64: it is for linux/arm64";
        assert!(is_of(wrong, image) && !is_pull(wrong));
        for agent in ["agent exited with status 1", "image ghcr.io/me/agent:v10 could", "image not found", ""] {
            assert!(!is_of(agent, image), "{agent}");
        }
    }
}
