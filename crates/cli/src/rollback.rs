//! `innkeep rollback`: an older version serves again. DEFAULT follows the newest version, so a copy of the old one becomes the newest;
//! a named endpoint is moved.

use clap::Args;
use innkeep_protocol::operator::{EndpointView, RuntimeView};
use innkeep_sdk::Client;
use innkeep_types::{EndpointName, RuntimeStatus, RuntimeVersion, Settings};
use serde_json::json;

use crate::context::Context;
use crate::diff::{self, Change};
use crate::failure::{Code, Failure};
use crate::output::{Output, Style};
use crate::publish::{self, Steps};
use crate::{document, resolve, versions, wait};

/// Make an older version serve again
///
/// Of DEFAULT, publishes a copy of the old version with its environment and settings, boots it once, and serves it if its first
/// health check is good. With --endpoint, moves that endpoint. Running sessions keep their version.
#[derive(Debug, Args)]
pub(crate) struct Rollback {
    /// The runtime: name, id or ARN [default: the one that the current folder is deployed as, else the only one]
    #[arg(value_name = "NAME")]
    runtime: Option<String>,
    /// The version to go back to [default: the newest READY one before the one that serves]
    version: Option<String>,
    /// The endpoint to move
    #[arg(long, default_value = "DEFAULT")]
    endpoint: EndpointName,
    /// Show what would be different, and change nothing
    #[arg(long)]
    dry_run: bool,
    /// Show the values of environment variables too
    #[arg(long)]
    show_values: bool,
    /// Return once the change is accepted
    #[arg(long)]
    no_wait: bool,
}

/// What is to be done.
struct Turn<'a> {
    runtime: &'a RuntimeView,
    /// The version that serves.
    from: Option<RuntimeVersion>,
    to: RuntimeVersion,
    changes: Vec<Change>,
}

impl Rollback {
    pub(crate) async fn run(self, context: &Context) -> Result<(), Failure> {
        let (named, version) = arguments(self.runtime.as_deref(), self.version.as_deref())?;
        let (client, out) = (context.client()?, context.out);
        let mut runtime = resolve::named_or_meant(&client, named).await?;
        wait::settled(&client, &runtime.id, None, wait::CHANGE_TIMEOUT).await?;
        runtime = resolve::runtime(&client, runtime.id.as_str()).await?;
        let from = serving(&runtime, &self.endpoint)?.live_version;
        let to = choose(&client, &runtime, from, version).await?;
        let after = versions::configuration(&client, &runtime, to).await?;
        let changes = match from {
            Some(from) => {
                diff::diff(&versions::configuration(&client, &runtime, from).await?, &after, self.show_values)
            }
            None => Vec::new(),
        };
        let turn = Turn { runtime: &runtime, from, to, changes };
        turn.tell(out, &self.endpoint)?;
        if self.dry_run || from == Some(to) {
            return turn.report(out, &self.endpoint, None, RuntimeStatus::Ready);
        }
        if self.endpoint != EndpointName::default_endpoint() {
            client.update_endpoint(&runtime.id, &self.endpoint, Some(to), None).await?;
            let status = match self.no_wait {
                true => RuntimeStatus::Updating,
                false => wait::endpoint(&client, &runtime.id, &self.endpoint).await?.status,
            };
            return turn.report(out, &self.endpoint, Some(to), status);
        }
        let mut steps = Steps::new(out);
        let settings: Settings = serde_json::from_value(versions::settings(&after))
            .map_err(|e| Failure::new(Code::Failed, format!("the settings of version {to} cannot be read: {e}")))?;
        let request = document::configuration(after);
        let accepted = client.update_runtime(&runtime.id, &request, Some(&settings)).await?;
        let version = publish::version_of(&accepted)?;
        steps.done("updated", format!("{} version {version}, a copy of {to}", runtime.name));
        let mut status = accepted.status;
        if !self.no_wait {
            let within = wait::CHANGE_TIMEOUT;
            status = publish::ready(&client, &runtime.name, &runtime.id, version, from, within).await?;
            steps.done("started", "the agent answers its health check".to_owned());
        }
        turn.report(out, &self.endpoint, Some(version), status)
    }
}

impl Turn<'_> {
    /// Shows what changes before it does.
    fn tell(&self, out: Output, endpoint: &EndpointName) -> Result<(), Failure> {
        if out.json {
            return Ok(());
        }
        let name = &self.runtime.name;
        match self.from {
            Some(from) if from == self.to => out.note(format!("version {from} of {name} serves {endpoint} already")),
            Some(from) => {
                out.note(out.err(Style::Dim, &format!("{name} {endpoint}: version {from} → version {}", self.to)));
                diff::show(out, &self.changes)?;
            }
            None => out.note(format!("nothing serves {endpoint} of {name}; version {} will", self.to)),
        }
        Ok(())
    }

    /// Tells what serves now; `version` is absent if nothing was done.
    fn report(
        &self,
        out: Output,
        endpoint: &EndpointName,
        version: Option<RuntimeVersion>,
        status: RuntimeStatus,
    ) -> Result<(), Failure> {
        let Self { runtime: RuntimeView { name, id, .. }, from, to, changes } = self;
        if out.json {
            return out.json(&json!({
                "name": name, "id": id, "endpoint": endpoint, "from": from, "to": to, "version": version,
                "status": version.map(|_| status), "changes": changes,
            }));
        }
        let Some(version) = version else { return Ok(()) };
        let copy = if version == *to { String::new() } else { format!(", a copy of {to}") };
        out.data(format!("{} {endpoint}: version {version}{copy} ({})", name, status.as_str()))
    }
}

/// Tells a version from a name, which begins with a letter.
fn arguments<'a>(
    first: Option<&'a str>,
    second: Option<&str>,
) -> Result<(Option<&'a str>, Option<RuntimeVersion>), Failure> {
    let version = |given: &str| resolve::version(given).map_err(|e| Failure::usage(format!("VERSION {given}: {e}")));
    match (first, second) {
        (Some(only), None) if only.starts_with(|c: char| c.is_ascii_digit()) => Ok((None, Some(version(only)?))),
        (name, second) => Ok((name, second.map(version).transpose()?)),
    }
}

fn serving<'a>(runtime: &'a RuntimeView, endpoint: &EndpointName) -> Result<&'a EndpointView, Failure> {
    let found = runtime.endpoints.iter().find(|view| view.name == *endpoint);
    found.ok_or_else(|| {
        Failure::new(Code::NotFound, format!("{} has no endpoint {endpoint}", runtime.name))
            .with_fix(format!("innkeep endpoints ls --runtime {}", runtime.name))
    })
}

/// Returns the version to go back to, which must be one that was READY.
async fn choose(
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
