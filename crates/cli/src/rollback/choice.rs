//! Which version to go back to, and what exactly it ran.

use innkeep_protocol::operator::{ArtifactView, EndpointView, RuntimeView};
use innkeep_sdk::{Client, Document};
use innkeep_types::{EndpointName, RuntimeName, RuntimeStatus, RuntimeVersion};

use crate::failure::{Code, Failure};
use crate::{publish, resolve, versions};

/// Tells a version from a name, which begins with a letter.
pub(super) fn arguments<'a>(
    first: Option<&'a str>,
    second: Option<&str>,
) -> Result<(Option<&'a str>, Option<RuntimeVersion>), Failure> {
    let version = |given: &str| resolve::version(given).map_err(|e| Failure::usage(format!("VERSION {given}: {e}")));
    match (first, second) {
        (Some(only), None) if only.starts_with(|c: char| c.is_ascii_digit()) => Ok((None, Some(version(only)?))),
        (name, second) => Ok((name, second.map(version).transpose()?)),
    }
}

/// Has a configuration name the very image that its version runs: a tag may name another by now.
pub(super) async fn pin(
    client: &Client,
    name: &RuntimeName,
    version: RuntimeVersion,
    configuration: &mut Document,
) -> Result<(), Failure> {
    let Some(uri) = container_uri(configuration).filter(|uri| !uri.contains('@')) else { return Ok(()) };
    let Some(pinned) = pinned(uri, name, version, &client.artifacts().await?.artifacts) else {
        return Err(unknown_image(uri, version));
    };
    configuration.insert("agentRuntimeArtifact".to_owned(), publish::container(&pinned));
    Ok(())
}

fn container_uri(configuration: &Document) -> Option<&str> {
    configuration.get("agentRuntimeArtifact")?.get("containerConfiguration")?.get("containerUri")?.as_str()
}

/// Returns the reference of the very image that a version runs.
fn pinned(uri: &str, name: &RuntimeName, version: RuntimeVersion, artifacts: &[ArtifactView]) -> Option<String> {
    let needs = |artifact: &&ArtifactView| {
        artifact.kind == "image" && artifact.used_by.iter().any(|by| by.runtime == *name && by.version == version)
    };
    artifacts.iter().find(needs).map(|artifact| format!("{uri}@sha256:{}", artifact.digest))
}

fn unknown_image(uri: &str, version: RuntimeVersion) -> Failure {
    let message =
        format!("the server does not have the image of version {version} any more; {uri} may be another by now");
    Failure::new(Code::Failed, message).with_fix(format!("to take what it names now: innkeep deploy {uri}"))
}

/// Returns the endpoint that is to serve something else.
pub(super) fn serving<'a>(runtime: &'a RuntimeView, endpoint: &EndpointName) -> Result<&'a EndpointView, Failure> {
    let found = runtime.endpoints.iter().find(|view| view.name == *endpoint);
    found.ok_or_else(|| {
        Failure::new(Code::NotFound, format!("{} has no endpoint {endpoint}", runtime.name))
            .with_fix(format!("innkeep endpoints ls --runtime {}", runtime.name))
    })
}

/// Returns the version to go back to, which must be one that was READY.
pub(super) async fn choose(
    client: &Client,
    runtime: &RuntimeView,
    from: Option<RuntimeVersion>,
    asked: Option<RuntimeVersion>,
) -> Result<RuntimeVersion, Failure> {
    let list = format!("innkeep versions ls --runtime {}", runtime.name);
    let versions = versions::newest_first(client, runtime).await?;
    let Some(asked) = asked else {
        let before = versions::ready_before(&versions, from);
        return before.ok_or_else(|| {
            let message = format!("{} has no READY version before the one that serves", runtime.name);
            Failure::new(Code::NotFound, message).with_fix(list)
        });
    };
    let found = versions.iter().find(|version| versions::number(version) == Some(asked));
    match found.map(|version| version.status) {
        Some(RuntimeStatus::Ready) => Ok(asked),
        None => {
            let message = format!("{} has no version {asked}", runtime.name);
            Err(Failure::new(Code::NotFound, message).with_fix(list))
        }
        Some(status) => {
            let message = format!("version {asked} of {} is {}", runtime.name, status.as_str());
            Err(Failure::new(Code::Failed, message).with_fix(format!("choose one that is READY: {list}")))
        }
    }
}

#[cfg(test)]
mod tests {
    use innkeep_protocol::operator::ArtifactUse;
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn a_copy_runs_the_image_that_the_old_version_ran() {
        let name: RuntimeName = "hello".parse().unwrap();
        let version = |n| RuntimeVersion::new(n).unwrap();
        let artifact = |digest: &str, n| ArtifactView {
            digest: digest.to_owned(),
            kind: "image".to_owned(),
            reference: Some("ghcr.io/me/agent:v1".to_owned()),
            bytes: 1,
            used_by: vec![ArtifactUse { runtime: name.clone(), version: version(n) }],
            last_used_at: String::new(),
        };
        let artifacts = [artifact("bb", 2), artifact("aa", 1)];
        let pinned = |n| pinned("ghcr.io/me/agent:v1", &name, version(n), &artifacts);
        assert_eq!(pinned(1).as_deref(), Some("ghcr.io/me/agent:v1@sha256:aa"));
        assert_eq!(pinned(3), None);
        let Value::Object(configuration) = json!({"agentRuntimeArtifact": publish::container("a/b:c")}) else {
            unreachable!()
        };
        assert_eq!(container_uri(&configuration), Some("a/b:c"));
    }

    #[test]
    fn a_version_alone_is_no_name() {
        let version = |n| RuntimeVersion::new(n);
        assert_eq!(arguments(None, None).unwrap(), (None, None));
        assert_eq!(arguments(Some("7"), None).unwrap(), (None, version(7)));
        assert_eq!(arguments(Some("hello"), None).unwrap(), (Some("hello"), None));
        // What begins with a letter may be a name: `v7` too.
        assert_eq!(arguments(Some("v7"), None).unwrap(), (Some("v7"), None));
        assert_eq!(arguments(Some("hello"), Some("v7")).unwrap(), (Some("hello"), version(7)));
        assert_eq!(arguments(Some("hello"), Some("old")).unwrap_err().code, Code::Usage);
        assert_eq!(arguments(Some("007"), None).unwrap_err().code, Code::Usage);
    }
}
