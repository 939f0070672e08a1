//! What changes endpoints: create, move, split, rm.

use std::collections::BTreeMap;

use clap::Args;
use innkeep_protocol::operator::SplitEndpoint;
use innkeep_sdk::Client;
use innkeep_types::{EndpointName, RuntimeVersion};
use serde_json::json;

use super::{show, unfit, weights};
use crate::failure::Failure;
use crate::output::{Output, Style};
use crate::resolve::{self, NamedEndpoint, OfRuntime};
use crate::runtimes::HowToRemove;
use crate::wait;

#[derive(Debug, Args)]
pub(super) struct Create {
    /// The new endpoint's name
    endpoint: EndpointName,
    /// The version to serve [default: the newest]
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
pub(super) struct Move {
    /// The endpoint: name or ARN
    #[arg(value_parser = resolve::endpoint)]
    endpoint: NamedEndpoint,
    /// The version to serve; a split ends
    #[arg(value_parser = resolve::version, required_unless_present = "description")]
    version: Option<RuntimeVersion>,
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
pub(super) struct Split {
    /// The endpoint: name or ARN
    #[arg(value_parser = resolve::endpoint)]
    endpoint: NamedEndpoint,
    /// Versions and their weights, 0 to 1000; with one version the endpoint is not split any more
    #[arg(value_name = "VERSION=WEIGHT", required = true, value_parser = weight)]
    weights: Vec<(RuntimeVersion, u32)>,
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
        let Self { endpoint: name, version, description, no_wait, of } = self;
        let runtime = of.resolve(client).await?;
        client.create_endpoint(&runtime.id, &name, version, description.as_deref()).await?;
        if !no_wait {
            wait::endpoint(client, &runtime.id, &name).await?;
        }
        show(client, out, &runtime, &name.into()).await
    }
}

impl Move {
    pub(super) async fn run(self, client: &Client, out: Output) -> Result<(), Failure> {
        let Self { endpoint, version, description, no_wait, of } = self;
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
        let Self { endpoint, weights: given, of } = self;
        let split = SplitEndpoint { weights: distinct(given)? };
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

fn weight(given: &str) -> Result<(RuntimeVersion, u32), String> {
    let expected = || "expected VERSION=WEIGHT, such as 7=90".to_owned();
    let (version, weight) = given.split_once('=').ok_or_else(expected)?;
    let weight = weight.parse().ok().filter(|weight| *weight <= 1000).ok_or("a weight is 0 to 1000")?;
    Ok((resolve::version(version)?, weight))
}

fn distinct(given: Vec<(RuntimeVersion, u32)>) -> Result<BTreeMap<RuntimeVersion, u32>, Failure> {
    let mut weights = BTreeMap::new();
    for (version, weight) in given {
        if weights.insert(version, weight).is_some() {
            return Err(Failure::usage(format!("version {version} is named twice")));
        }
    }
    Ok(weights)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::Code;

    #[test]
    fn a_split_is_read_and_shown_in_one_notation() {
        let read: Vec<_> = ["v8=10", "7=90"].iter().map(|given| weight(given).unwrap()).collect();
        assert_eq!(weights(&distinct(read.clone()).unwrap()), "7=90 8=10");
        assert_eq!(weights(&BTreeMap::new()), "-");
        assert_eq!(distinct([read.clone(), read].concat()).unwrap_err().code, Code::Usage);
        for bad in ["7", "7=", "=9", "7=-1", "7=1001", "x=1", "7=9=9"] {
            assert!(weight(bad).is_err(), "{bad}");
        }
    }
}
