//! What changes endpoints: create, move, split, rm.

use clap::Args;
use innkeep_protocol::operator::{RuntimeView, SplitEndpoint};
use innkeep_sdk::Client;
use innkeep_types::{EndpointName, RuntimeVersion};
use serde_json::json;

use super::{show, unfit, weights, words};
use crate::failure::{Code, Failure};
use crate::output::{Output, Style};
use crate::resolve::{self, NamedEndpoint, OfRuntime};
use crate::runtimes::HowToRemove;
use crate::{versions, wait};

#[derive(Debug, Args)]
#[command(override_usage = "innkeep endpoints create [OPTIONS] [NAME] ENDPOINT")]
pub(super) struct Create {
    /// The new endpoint's name, after the runtime's if it is not the one that the current folder is deployed as
    #[arg(value_name = "ENDPOINT", num_args = 1..=2, required = true)]
    words: Vec<String>,
    /// The version to serve [default: the newest READY one]
    #[arg(long, value_parser = resolve::version)]
    version: Option<RuntimeVersion>,
    /// Words for people
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
    /// Return once the change is accepted
    #[arg(long)]
    no_wait: bool,
    #[command(flatten)]
    of: OfRuntime,
}

#[derive(Debug, Args)]
#[command(override_usage = "innkeep endpoints move [OPTIONS] [NAME] ENDPOINT VERSION
       innkeep endpoints move [NAME] ENDPOINT --description TEXT")]
pub(super) struct Move {
    /// The endpoint, by name or ARN, after the runtime's name if it is not the one that the current folder is deployed as; and the
    /// version to serve, by which a split ends
    #[arg(value_name = "ENDPOINT VERSION", num_args = 1..=3, required = true)]
    words: Vec<String>,
    /// Other words for people
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
    /// Return once the change is accepted
    #[arg(long)]
    no_wait: bool,
    #[command(flatten)]
    of: OfRuntime,
}

#[derive(Debug, Args)]
#[command(override_usage = "innkeep endpoints split [OPTIONS] [NAME] ENDPOINT VERSION=WEIGHT...")]
pub(super) struct Split {
    /// The endpoint, by name or ARN, after the runtime's name if it is not the one that the current folder is deployed as; and
    /// versions with their weights, 0 to 1000: with one version the endpoint is not split any more
    #[arg(value_name = "ENDPOINT VERSION=WEIGHT", num_args = 2.., required = true)]
    words: Vec<String>,
    #[command(flatten)]
    of: OfRuntime,
}

#[derive(Debug, Args)]
pub(super) struct Remove {
    /// The endpoints: names or ARNs
    #[arg(value_name = "ENDPOINT", required = true, value_parser = resolve::endpoint)]
    endpoints: Vec<NamedEndpoint>,
    #[command(flatten)]
    of: OfRuntime,
    #[command(flatten)]
    how: HowToRemove,
}

impl Create {
    pub(super) async fn run(self, client: &Client, out: Output) -> Result<(), Failure> {
        let Self { words, version, description, no_wait, of } = self;
        let (of, [name]) = words::take(words, of)?;
        let name = words::new_endpoint(&name)?;
        let runtime = of.resolve(client).await?;
        let version = match version {
            Some(version) => version,
            None => newest_ready(client, &runtime).await?,
        };
        client.create_endpoint(&runtime.id, &name, Some(version), description.as_deref()).await?;
        if !no_wait {
            wait::endpoint(client, &runtime.id, &name).await?;
        }
        show(client, out, &runtime, &name.into()).await
    }
}

impl Move {
    pub(super) async fn run(self, client: &Client, out: Output) -> Result<(), Failure> {
        let Self { words, description, no_wait, of } = self;
        let (of, endpoint, version) = words::moved(words, of, description.is_some())?;
        let runtime = of.resolve_with(client, &endpoint).await?;
        let name = &endpoint.name;
        if *name == EndpointName::default_endpoint() {
            let fix = version.map_or_else(String::new, |version| format!(" {version}"));
            let fix = format!("innkeep rollback {}{fix}: publishes a copy of an older version", runtime.name);
            return Err(Failure::usage("DEFAULT cannot be moved: it follows the newest READY version").with_fix(fix));
        }
        let accepted = client.update_endpoint(&runtime.id, name, version, description.as_deref()).await;
        accepted.map_err(|error| unfit(error, &runtime))?;
        if !no_wait {
            wait::endpoint(client, &runtime.id, name).await?;
        }
        // Asked again: a move ends a split, which is part of what is shown.
        let runtime = resolve::runtime(client, runtime.id.as_str()).await?;
        show(client, out, &runtime, &endpoint).await
    }
}

impl Split {
    pub(super) async fn run(self, client: &Client, out: Output) -> Result<(), Failure> {
        let Self { words, of } = self;
        let (of, endpoint, weights_given) = words::shared_out(words, of)?;
        let split = SplitEndpoint { weights: weights_given };
        let runtime = of.resolve_with(client, &endpoint).await?;
        let view = client.split_endpoint(&runtime.id, &endpoint.name, &split).await;
        let view = view.map_err(|error| unfit(error, &runtime))?;
        if out.json {
            return out.json(&view);
        }
        let shares = match (view.split.is_empty(), view.live_version) {
            (true, Some(version)) => format!("version {version}"),
            _ => weights(&view.split),
        };
        out.data(format!("{}  {shares}", out.out(Style::Bold, view.name.as_str())))
    }
}

impl Remove {
    pub(super) async fn run(self, client: &Client, out: Output) -> Result<(), Failure> {
        let Self { endpoints, of, how } = self;
        let mut targets = Vec::new();
        for endpoint in endpoints {
            targets.push((of.resolve_with(client, &endpoint).await?, endpoint.name));
        }
        let what: Vec<_> =
            targets.iter().map(|(runtime, name)| format!("endpoint {name} of {}", runtime.name)).collect();
        how.confirm(out, &format!("delete {}?", what.join(" and ")))?;
        let mut deleted = Vec::new();
        for (runtime, name) in targets {
            let accepted = client.delete_endpoint(&runtime.id, &name).await;
            accepted.map_err(|error| unfit(error, &runtime))?;
            if !how.no_wait {
                wait::gone(&format!("endpoint {name} of {}", runtime.name), async || {
                    let endpoint = client.get_endpoint(&runtime.id, &name).await?;
                    Ok((endpoint.status, endpoint.failure_reason))
                })
                .await?;
            }
            if !out.json {
                out.data(name.as_str())?;
            }
            deleted.push(json!({"runtime": runtime.name, "name": name}));
        }
        if out.json { out.json(&json!({"deleted": deleted})) } else { Ok(()) }
    }
}

/// Returns the version that an endpoint serves unless another is named: one that can be served.
async fn newest_ready(client: &Client, runtime: &RuntimeView) -> Result<RuntimeVersion, Failure> {
    let newest = versions::ready_before(&client.list_versions(&runtime.id).await?, None);
    newest.ok_or_else(|| {
        Failure::new(
            Code::Failed,
            format!("no version of {} is READY, and an endpoint serves one that is", runtime.name),
        )
        .with_fix(format!("innkeep status {}", runtime.name))
    })
}
