//! `innkeep versions`: the immutable configurations that a runtime has had.

use clap::{Args, Subcommand};
use innkeep_protocol::control::AgentRuntime;
use innkeep_protocol::diff::configuration as configuration_of;
use innkeep_protocol::operator::RuntimeView;
use innkeep_sdk::{Client, Document};
use innkeep_types::{EndpointName, ErrorKind, RuntimeName, RuntimeStatus, RuntimeVersion};
use serde_json::json;

use crate::context::Context;
use crate::failure::{Code, Failure};
use crate::output::{Output, Style};
use crate::resolve::OfRuntime;
use crate::runtimes::HowToRemove;
use crate::{diff, document, resolve, wait};

/// List, show, compare and delete a runtime's versions
#[derive(Debug, Args)]
pub(crate) struct Versions {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// List versions, newest first
    Ls(resolve::List),
    /// Show all that is known of a version
    Get(Get),
    /// Delete versions that nothing serves
    Rm(Remove),
    /// Show how versions differ, in configuration and settings
    Diff(Diff),
}

#[derive(Debug, Args)]
#[command(override_usage = "innkeep versions get [OPTIONS] [NAME] VERSION")]
struct Get {
    /// The version's number, after the runtime's name if it is not the one that the current folder is deployed as
    #[arg(value_name = "VERSION", num_args = 1..=2, required = true)]
    words: Vec<String>,
    /// Show the values of environment variables too; with --json they always are
    #[arg(long)]
    show_values: bool,
    #[command(flatten)]
    of: OfRuntime,
}

#[derive(Debug, Args)]
#[command(override_usage = "innkeep versions rm [OPTIONS] [NAME] VERSION...")]
struct Remove {
    /// The versions' numbers, after the runtime's name if it is not the one that the current folder is deployed as
    #[arg(value_name = "VERSION", required = true)]
    words: Vec<String>,
    #[command(flatten)]
    of: OfRuntime,
    #[command(flatten)]
    how: HowToRemove,
}

#[derive(Debug, Args)]
#[command(override_usage = "innkeep versions diff [OPTIONS] [NAME] [A] [B]")]
struct Diff {
    /// The older version and the newer one [default: the newest, and the one before], after the runtime's name if it is not the one
    /// that the current folder is deployed as
    #[arg(value_name = "VERSION", num_args = 0..=3)]
    words: Vec<String>,
    /// Show the values of environment variables too
    #[arg(long)]
    show_values: bool,
    #[command(flatten)]
    of: OfRuntime,
}

impl Versions {
    pub(crate) async fn run(self, context: &Context) -> Result<(), Failure> {
        let client = context.client()?;
        match self.action {
            Action::Ls(of) => {
                let runtime = of.resolve(&client).await?;
                list(context.out, &runtime, newest_first(&client, &runtime).await?)
            }
            Action::Get(Get { words, show_values, of }) => {
                let (of, versions) = resolve::versions(words, of, 1)?;
                let version = *versions.first().ok_or_else(which)?;
                let runtime = of.resolve(&client).await?;
                let described = described(&client, &runtime, version).await?;
                if context.out.json {
                    return context.out.json(&described);
                }
                document::show(context.out, &described, show_values)
            }
            Action::Rm(which) => remove(&client, context.out, which).await,
            Action::Diff(which) => compare(&client, context.out, which).await,
        }
    }
}

/// Returns all versions of a runtime, newest first.
pub(crate) async fn newest_first(client: &Client, runtime: &RuntimeView) -> Result<Vec<AgentRuntime>, Failure> {
    let mut versions = client.list_versions(&runtime.id).await?;
    versions.sort_by_key(|version| std::cmp::Reverse(number(version)));
    Ok(versions)
}

/// Returns a version's number; what the server numbers otherwise than the API says comes last.
pub(crate) fn number(version: &AgentRuntime) -> Option<RuntimeVersion> {
    RuntimeVersion::parse(&version.agent_runtime_version).ok()
}

/// Returns one version's configuration and settings, as two of them are compared.
pub(crate) async fn configuration(
    client: &Client,
    runtime: &RuntimeView,
    version: RuntimeVersion,
) -> Result<Document, Failure> {
    let described = described(client, runtime, version).await?;
    let settings = described.get("settings").cloned().unwrap_or_default();
    let mut configuration = configuration_of(described);
    configuration.insert("settings".to_owned(), settings);
    Ok(configuration)
}

async fn described(client: &Client, runtime: &RuntimeView, version: RuntimeVersion) -> Result<Document, Failure> {
    let list = |error: innkeep_sdk::Error| {
        let failure = Failure::from(error);
        let fix = format!("innkeep versions ls --runtime {}", runtime.name);
        if failure.code == Code::NotFound { failure.with_fix(fix) } else { failure }
    };
    let mut described = client.runtime_document(&runtime.id, Some(version)).await.map_err(list)?;
    let settings = client.settings(&runtime.id, Some(version)).await.map_err(list)?;
    described.insert("settings".to_owned(), serde_json::to_value(settings).unwrap_or_default());
    Ok(described)
}

fn list(out: Output, runtime: &RuntimeView, versions: Vec<AgentRuntime>) -> Result<(), Failure> {
    if out.json {
        let versions: Vec<_> = versions
            .iter()
            .map(|version| {
                let mut item = serde_json::to_value(version).unwrap_or_default();
                item["servedBy"] = json!(served_by(runtime, number(version)));
                item
            })
            .collect();
        return out.json(&json!({"runtime": runtime.name, "versions": versions}));
    }
    out.note(out.err(Style::Dim, &format!("runtime {}", runtime.name)));
    let rows: Vec<_> = versions
        .into_iter()
        .map(|version| {
            let served_by: Vec<_> = served_by(runtime, number(&version)).iter().map(ToString::to_string).collect();
            let served_by = if served_by.is_empty() { "-".to_owned() } else { served_by.join(", ") };
            let AgentRuntime { agent_runtime_version, status, last_updated_at, description, .. } = version;
            let status = status.as_str().to_owned();
            [agent_runtime_version, status, served_by, last_updated_at, document::line(&description)]
        })
        .collect();
    out.table(["VERSION", "STATUS", "SERVED BY", "CHANGED", "DESCRIPTION"], &rows)
}

/// Returns the endpoints whose new sessions may get `version`.
fn served_by(runtime: &RuntimeView, version: Option<RuntimeVersion>) -> Vec<&EndpointName> {
    let Some(version) = version else { return Vec::new() };
    let serves = runtime.endpoints.iter().filter(|endpoint| match endpoint.split.is_empty() {
        true => endpoint.live_version == Some(version),
        false => endpoint.split.get(&version).is_some_and(|weight| *weight > 0),
    });
    serves.map(|endpoint| &endpoint.name).collect()
}

async fn remove(client: &Client, out: Output, Remove { words, of, how }: Remove) -> Result<(), Failure> {
    let (of, versions) = resolve::versions(words, of, usize::MAX)?;
    if versions.is_empty() {
        return Err(which());
    }
    let RuntimeView { id, name, .. } = of.resolve(client).await?;
    let numbers: Vec<_> = versions.iter().map(ToString::to_string).collect();
    how.confirm(out, &format!("delete version {} of {name}?", numbers.join(" and ")))?;
    for version in &versions {
        client.delete_runtime(&id, Some(*version)).await.map_err(|error| kept(error, &name))?;
        if !how.no_wait {
            wait::gone(&format!("version {version} of {name}"), async || {
                client.get_runtime(&id, Some(*version)).await.map(|runtime| (runtime.status, runtime.failure_reason))
            })
            .await?;
        }
        if !out.json {
            out.data(version.to_string())?;
        }
    }
    if out.json { out.json(&json!({"runtime": name, "deleted": versions})) } else { Ok(()) }
}

/// Says where to look: at what serves the version, or at those that there are.
fn kept(error: innkeep_sdk::Error, name: &RuntimeName) -> Failure {
    let list = match error.kind() {
        ErrorKind::Conflict => "endpoints",
        ErrorKind::NotFound => "versions",
        _ => return error.into(),
    };
    Failure::from(error).with_fix(format!("innkeep {list} ls --runtime {name}"))
}

fn which() -> Failure {
    Failure::usage("which version is meant?").with_fix("give its number: innkeep versions ls [NAME] shows them")
}

async fn compare(client: &Client, out: Output, Diff { words, show_values, of }: Diff) -> Result<(), Failure> {
    let (of, versions) = resolve::versions(words, of, 2)?;
    let runtime = of.resolve(client).await?;
    let to = versions.get(1).copied().unwrap_or(runtime.latest_version);
    let from = match versions.first().copied() {
        Some(from) => from,
        None => {
            let versions = newest_first(client, &runtime).await?;
            let before = versions.iter().filter_map(number).find(|version| *version < to);
            before.ok_or_else(|| {
                let failure = Failure::new(Code::NotFound, format!("{} has no version before {to}", runtime.name));
                Failure { cause: deleted(&versions), ..failure }
                    .with_fix(format!("innkeep versions get {to} --runtime {}", runtime.name))
            })?
        }
    };
    let before = configuration(client, &runtime, from).await?;
    let after = configuration(client, &runtime, to).await?;
    let changes = diff::diff(&before, &after, show_values);
    if out.json {
        return out.json(&json!({"runtime": runtime.name, "from": from, "to": to, "changes": changes}));
    }
    out.note(out.err(Style::Dim, &format!("{}: version {from} → version {to}", runtime.name)));
    diff::show(out, &changes)
}

/// Says where versions went of which there are fewer than there were.
pub(crate) fn deleted(versions: &[AgentRuntime]) -> Option<String> {
    let newest = versions.iter().filter_map(number).max()?;
    let made = usize::try_from(newest.get()).unwrap_or(usize::MAX);
    let words = "older versions were deleted: `innkeep dev` keeps what serves alone; `innkeep deploy` keeps them all";
    (versions.len() < made).then(|| words.to_owned())
}

/// Returns the newest READY version of `versions` that is older than `than`.
pub(crate) fn ready_before(versions: &[AgentRuntime], than: Option<RuntimeVersion>) -> Option<RuntimeVersion> {
    let ready = versions.iter().filter(|version| version.status == RuntimeStatus::Ready).filter_map(number);
    ready.filter(|version| than.is_none_or(|than| *version < than)).max()
}

#[cfg(test)]
mod tests {
    use innkeep_types::RuntimeStatus::{CreateFailed, Ready, UpdateFailed};

    use super::*;

    fn version(number: &str, status: RuntimeStatus) -> AgentRuntime {
        AgentRuntime {
            agent_runtime_arn: String::new(),
            agent_runtime_id: "hello-Ab3dE6gH9j".parse().unwrap(),
            agent_runtime_version: number.to_owned(),
            agent_runtime_name: "hello".parse().unwrap(),
            description: String::new(),
            last_updated_at: String::new(),
            status,
        }
    }

    #[test]
    fn a_rollback_goes_to_the_newest_ready_version_before() {
        let versions = [("11", UpdateFailed), ("10", Ready), ("9", UpdateFailed), ("2", Ready), ("1", CreateFailed)]
            .map(|(number, status)| version(number, status));
        let before = |than| ready_before(&versions, RuntimeVersion::new(than)).map(RuntimeVersion::get);
        assert_eq!([11, 10, 9, 2, 1].map(before), [Some(10), Some(2), Some(2), None, None]);
        assert_eq!(ready_before(&versions, None).map(RuntimeVersion::get), Some(10));
        assert!(deleted(&versions).is_some());
        assert_eq!(deleted(&[version("2", Ready), version("1", Ready)]), None);
    }
}
