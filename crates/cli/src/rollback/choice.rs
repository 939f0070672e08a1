//! Which version to go back to.

use innkeep_protocol::operator::{EndpointView, RuntimeView};
use innkeep_sdk::Client;
use innkeep_types::{EndpointName, RuntimeStatus, RuntimeVersion};

use crate::failure::{Code, Failure};
use crate::{resolve, versions};

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
    serving: &EndpointView,
    asked: Option<RuntimeVersion>,
) -> Result<RuntimeVersion, Failure> {
    if asked.is_none() && !serving.split.is_empty() {
        let message = format!("endpoint {} of {} is split among versions", serving.name, runtime.name);
        return Err(Failure::new(Code::Failed, message).with_fix(format!(
            "name the one that is to serve alone: innkeep rollback {} VERSION --endpoint {}",
            runtime.name, serving.name
        )));
    }
    let list = format!("innkeep versions ls --runtime {}", runtime.name);
    let versions = versions::newest_first(client, runtime).await?;
    let Some(asked) = asked else {
        let before = versions::ready_before(&versions, serving.live_version);
        return before.ok_or_else(|| {
            let message = format!("{} has no READY version before the one that serves", runtime.name);
            Failure { cause: versions::deleted(&versions), ..Failure::new(Code::NotFound, message) }.with_fix(list)
        });
    };
    let found = versions.iter().find(|version| versions::number(version) == Some(asked));
    match found.map(|version| version.status) {
        Some(RuntimeStatus::Ready) => Ok(asked),
        None => {
            let message = format!("{} has no version {asked}", runtime.name);
            Err(Failure { cause: versions::deleted(&versions), ..Failure::new(Code::NotFound, message) }.with_fix(list))
        }
        Some(status) => {
            let message = format!("version {asked} of {} is {}", runtime.name, status.as_str());
            Err(Failure::new(Code::Failed, message).with_fix(format!("choose one that is READY: {list}")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
