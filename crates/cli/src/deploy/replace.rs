//! An image that takes its runtime's name from the last word of its repository may meet a runtime that runs something else: two
//! `…/agent` are no versions of one another unless somebody says so.

use innkeep_sdk::Client;
use innkeep_types::RuntimeName;

use crate::failure::Failure;
use crate::publish::Base;
use crate::resolve;

/// Refuses `reference` for a runtime that runs something of another name. One that never ran is anybody's.
///
/// # Errors
/// That tell both ways to go on, by `--name`.
pub(super) async fn check(client: &Client, name: &RuntimeName, reference: &str) -> Result<(), Failure> {
    let Some(runtime) = resolve::by_name(client, name).await? else { return Ok(()) };
    let base = Base::find(client, &runtime).await?;
    if !base.is_ready {
        return Ok(());
    }
    let artifact = base.configuration.get("agentRuntimeArtifact");
    let uri = artifact.and_then(|artifact| artifact["containerConfiguration"]["containerUri"].as_str());
    let runs = match uri.map(repository) {
        Some(runs) if runs == repository(reference) => return Ok(()),
        Some(runs) => format!("the image {runs}"),
        None => "code".to_owned(),
    };
    let message = format!("there is a runtime {name} already, and it runs {runs}; this is {}", repository(reference));
    Err(Failure::usage(message)
        .with_fix(format!("beside it: --name OTHER; or in its place, as its next version: --name {name}")))
}

/// Returns the whole name of an image, without tag and digest: `docker.io/library/python` of `python:3.12`.
fn repository(reference: &str) -> String {
    let name = reference.split('@').next().unwrap_or_default();
    let tag = name.rfind(':').filter(|colon| !name[*colon..].contains('/'));
    let name = tag.map_or(name, |colon| &name[..colon]);
    // As Docker has it: what has no dot, no port and is not localhost is no host.
    let has_host = |host: &str| host.contains(['.', ':']) || host == "localhost";
    let (host, path) = match name.split_once('/') {
        Some((host, path)) if has_host(host) => (host, path),
        _ => ("docker.io", name),
    };
    let library = if host == "docker.io" && !path.contains('/') { "library/" } else { "" };
    format!("{host}/{library}{path}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_is_the_same_by_every_spelling_of_its_name() {
        for (reference, expect) in [
            ("python:3.12", "docker.io/library/python"),
            ("docker.io/python", "docker.io/library/python"),
            ("docker.io/library/python@sha256:00", "docker.io/library/python"),
            ("me/agent:v1@sha256:00", "docker.io/me/agent"),
            ("localhost:5000/a", "localhost:5000/a"),
            ("localhost/a/b:c", "localhost/a/b"),
            ("ghcr.io/me/agent", "ghcr.io/me/agent"),
        ] {
            assert_eq!(repository(reference), expect, "{reference}");
        }
    }
}
