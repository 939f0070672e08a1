//! `innkeep runtimes`: what is deployed, by its records in the control plane.

use clap::{Args, Subcommand};
use innkeep_protocol::operator::RuntimeView;
use innkeep_sdk::Client;
use serde_json::{Value, json};

use crate::context::Context;
use crate::failure::Failure;
use crate::output::Output;
use crate::{document, resolve, wait};

/// List, show and delete runtimes
#[derive(Debug, Args)]
pub(crate) struct Runtimes {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// List runtimes, each as its newest version
    Ls,
    /// Show all that is known of a runtime's newest version
    Get(Get),
    /// Delete runtimes with all their versions, endpoints and sessions
    Rm(Remove),
}

#[derive(Debug, Args)]
struct Get {
    /// The runtime: name, id or ARN
    #[arg(value_name = "NAME")]
    runtime: String,
    /// Show the values of environment variables too; with --json they always are
    #[arg(long)]
    show_values: bool,
}

#[derive(Debug, Args)]
struct Remove {
    /// The runtimes: names, ids or ARNs
    #[arg(value_name = "NAME", required = true)]
    runtimes: Vec<String>,
    #[command(flatten)]
    how: HowToRemove,
}

/// The options of every `rm`.
#[derive(Debug, Args)]
pub(crate) struct HowToRemove {
    /// Do not ask; where standard input or standard error is no terminal, nobody is asked
    #[arg(long, short)]
    pub(crate) yes: bool,
    /// Return once the deletion is accepted
    #[arg(long)]
    pub(crate) no_wait: bool,
}

impl HowToRemove {
    /// Asks whether to go on, unless the answer is known.
    pub(crate) fn confirm(&self, out: Output, question: &str) -> Result<(), Failure> {
        if self.yes { Ok(()) } else { out.confirm(question) }
    }
}

impl Runtimes {
    pub(crate) async fn run(self, context: &Context) -> Result<(), Failure> {
        let client = context.client()?;
        match self.action {
            Action::Ls => list(&client, context.out).await,
            Action::Get(Get { runtime, show_values }) => {
                let runtime = resolve::runtime(&client, &runtime).await?;
                let mut described = client.runtime_document(&runtime.id, None).await?;
                described.insert("settings".to_owned(), serde_json::to_value(&runtime.settings).unwrap_or_default());
                if !runtime.ignored.is_empty() {
                    described.insert("ignored".to_owned(), runtime.ignored.into());
                }
                if context.out.json {
                    return context.out.json(&described);
                }
                document::show(context.out, &described, show_values)
            }
            Action::Rm(which) => remove(&client, context.out, which).await,
        }
    }
}

async fn list(client: &Client, out: Output) -> Result<(), Failure> {
    let mut runtimes = client.list_runtimes().await?;
    runtimes.sort_by(|a, b| a.agent_runtime_name.cmp(&b.agent_runtime_name));
    if out.json {
        return out.json(&json!({"runtimes": runtimes}));
    }
    if runtimes.is_empty() {
        out.note("nothing is deployed yet: `innkeep deploy DIR`");
        return Ok(());
    }
    let rows: Vec<_> = runtimes
        .into_iter()
        .map(|runtime| {
            [
                runtime.agent_runtime_name.to_string(),
                runtime.agent_runtime_id.to_string(),
                runtime.agent_runtime_version,
                runtime.status.as_str().to_owned(),
                runtime.last_updated_at,
                document::line(&runtime.description),
            ]
        })
        .collect();
    out.table(["NAME", "ID", "VERSION", "STATUS", "CHANGED", "DESCRIPTION"], &rows)
}

async fn remove(client: &Client, out: Output, Remove { runtimes: named, how }: Remove) -> Result<(), Failure> {
    let mut runtimes: Vec<RuntimeView> = Vec::new();
    for name in &named {
        let runtime = resolve::runtime(client, name).await?;
        if !runtimes.iter().any(|other| other.id == runtime.id) {
            runtimes.push(runtime);
        }
    }
    let what: Vec<_> = runtimes.iter().map(told).collect();
    how.confirm(out, &format!("delete {} with all versions and endpoints?", what.join(" and ")))?;
    let mut deleted: Vec<Value> = Vec::new();
    for RuntimeView { id, name, .. } in &runtimes {
        client.delete_runtime(id, None).await?;
        if !how.no_wait {
            wait::gone(&format!("runtime {name}"), async || {
                client.get_runtime(id, None).await.map(|runtime| (runtime.status, runtime.failure_reason))
            })
            .await?;
        }
        deleted.push(json!({"name": name, "id": id}));
        if !out.json {
            out.data(name.as_str())?;
        }
    }
    if out.json { out.json(&json!({"deleted": deleted})) } else { Ok(()) }
}

/// Returns a runtime as a question names it.
fn told(runtime: &RuntimeView) -> String {
    match runtime.live_sessions {
        0 => format!("runtime {}", runtime.name),
        1 => format!("runtime {} (1 session runs)", runtime.name),
        n => format!("runtime {} ({n} sessions run)", runtime.name),
    }
}
