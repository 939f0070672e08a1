//! `innkeep endpoints`: a runtime's named pointers to its versions.

mod change;
mod words;

use std::collections::BTreeMap;

use clap::{Args, Subcommand};
use innkeep_protocol::operator::{EndpointView, RuntimeView};
use innkeep_sdk::{Client, Document};
use innkeep_types::{ErrorKind, RuntimeVersion};
use serde_json::{Value, json};

use self::change::{Create, Move, Remove, Split};
use crate::context::Context;
use crate::document;
use crate::failure::Failure;
use crate::output::{Output, Style};
use crate::resolve::{self, NamedEndpoint, OfRuntime};

/// List, show, create, move, split and delete a runtime's endpoints
///
/// An endpoint serves one version's code to new sessions, or shares them out among several; running sessions keep their version.
/// DEFAULT, which every runtime has, follows the newest READY version.
#[derive(Debug, Args)]
pub(crate) struct Endpoints {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// List a runtime's endpoints
    Ls(resolve::List),
    /// Show all that is known of an endpoint
    Get(Get),
    /// Create an endpoint
    Create(Create),
    /// Make an endpoint serve another version
    #[command(alias = "update")]
    Move(Move),
    /// Share an endpoint's new sessions out among versions: `split prod 7=90 8=10`; a session stays with its version
    Split(Split),
    /// Delete endpoints
    Rm(Remove),
}

#[derive(Debug, Args)]
#[command(override_usage = "innkeep endpoints get [OPTIONS] [NAME] ENDPOINT")]
struct Get {
    /// The endpoint, by name or ARN, after the runtime's name if it is not the one that the current folder is deployed as
    #[arg(value_name = "ENDPOINT", num_args = 1..=2, required = true)]
    words: Vec<String>,
    #[command(flatten)]
    of: OfRuntime,
}

impl Endpoints {
    pub(crate) async fn run(self, context: &Context) -> Result<(), Failure> {
        let (client, out) = (context.client()?, context.out);
        match self.action {
            Action::Ls(of) => list(&client, out, &of.resolve(&client).await?).await,
            Action::Get(Get { words, of }) => {
                let (of, [endpoint]) = words::take(words, of)?;
                let endpoint = words::endpoint(&endpoint)?;
                let runtime = of.resolve_with(&client, &endpoint).await?;
                show(&client, out, &runtime, &endpoint).await
            }
            Action::Create(which) => which.run(&client, out).await,
            Action::Move(which) => which.run(&client, out).await,
            Action::Split(which) => which.run(&client, out).await,
            Action::Rm(which) => which.run(&client, out).await,
        }
    }
}

async fn list(client: &Client, out: Output, runtime: &RuntimeView) -> Result<(), Failure> {
    let mut endpoints = client.endpoints(&runtime.id).await?;
    endpoints.iter_mut().for_each(|endpoint| with_split(endpoint, &runtime.endpoints));
    if out.json {
        return out.json(&json!({"runtime": runtime.name, "endpoints": endpoints}));
    }
    out.note(out.err(Style::Dim, &format!("runtime {}", runtime.name)));
    let rows: Vec<_> = endpoints
        .iter()
        .map(|endpoint| {
            let text = |member: &str| endpoint.get(member).map_or_else(|| "-".to_owned(), document::text);
            let name = text("name");
            let split =
                runtime.endpoints.iter().find(|view| view.name.as_str() == name).map(|view| weights(&view.split));
            [
                name,
                text("liveVersion"),
                text("targetVersion"),
                split.unwrap_or_else(|| "-".to_owned()),
                text("status"),
                text("lastUpdatedAt"),
                document::line(&text("description")),
            ]
        })
        .collect();
    out.table(["NAME", "LIVE", "TARGET", "SPLIT", "STATUS", "CHANGED", "DESCRIPTION"], &rows)
}

async fn show(client: &Client, out: Output, runtime: &RuntimeView, endpoint: &NamedEndpoint) -> Result<(), Failure> {
    let described = client.endpoint_document(&runtime.id, &endpoint.name).await;
    let mut described = described.map_err(|error| unfit(error, runtime))?;
    with_split(&mut described, &runtime.endpoints);
    if out.json { out.json(&described) } else { document::show(out, &described, false) }
}

/// Adds what the API has no member for.
fn with_split(endpoint: &mut Document, views: &[EndpointView]) {
    let name = endpoint.get("name").and_then(Value::as_str).unwrap_or_default();
    if let Some(view) = views.iter().find(|view| view.name.as_str() == name && !view.split.is_empty()) {
        endpoint.insert("split".to_owned(), json!(view.split));
    }
}

/// Returns a split as the command takes it: `7=90 8=10`.
pub(crate) fn weights(split: &BTreeMap<RuntimeVersion, u32>) -> String {
    if split.is_empty() {
        return "-".to_owned();
    }
    split.iter().map(|(version, weight)| format!("{version}={weight}")).collect::<Vec<_>>().join(" ")
}

/// Says where to look, if there is no such endpoint, or it cannot be changed like that.
fn unfit(error: innkeep_sdk::Error, runtime: &RuntimeView) -> Failure {
    match error.kind() {
        ErrorKind::NotFound | ErrorKind::Conflict => {
            Failure::from(error).with_fix(format!("innkeep endpoints ls --runtime {}", runtime.name))
        }
        _ => error.into(),
    }
}
