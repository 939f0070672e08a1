//! `innkeep rollback`: an older version serves again. DEFAULT follows the newest version, so a copy of the old one becomes the newest;
//! a named endpoint is moved.

mod choice;

use clap::Args;
use innkeep_protocol::operator::RuntimeView;
use innkeep_sdk::Client;
use innkeep_types::{EndpointName, RuntimeStatus, RuntimeVersion};
use serde_json::json;

use crate::context::Context;
use crate::diff::{self, Change};
use crate::failure::Failure;
use crate::output::{Output, Style};
use crate::publish::{self, Steps};
use crate::{resolve, versions, wait};

/// Make an older version serve again
///
/// Of DEFAULT, publishes a copy of the old version with its environment, settings and the very code or image it ran, boots it once, and serves it if its first
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
        let (named, version) = choice::arguments(self.runtime.as_deref(), self.version.as_deref())?;
        let (client, out) = (context.client()?, context.out);
        let meant = resolve::named_or_meant(&client, named).await?;
        wait::settled(&client, &meant.id, None, wait::CHANGE_TIMEOUT).await?;
        let runtime = resolve::runtime(&client, meant.id.as_str()).await?;
        let serving = choice::serving(&runtime, &self.endpoint)?;
        let from = serving.live_version;
        let to = choice::choose(&client, &runtime, serving, version).await?;
        let publishes = self.endpoint == EndpointName::default_endpoint();
        let changes = match from {
            Some(from) => {
                let before = versions::configuration(&client, &runtime, from).await?;
                let after = versions::configuration(&client, &runtime, to).await?;
                diff::diff(&before, &after, self.show_values)
            }
            None => Vec::new(),
        };
        let turn = Turn { runtime: &runtime, from, to, changes };
        turn.tell(out, &self.endpoint)?;
        let done = match (self.dry_run || from == Some(to), publishes) {
            (true, _) => None,
            (false, true) => Some(turn.publish(&client, out, !self.no_wait).await?),
            (false, false) => Some(turn.point(&client, &self.endpoint, !self.no_wait).await?),
        };
        turn.report(out, &self.endpoint, done)
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

    /// Makes a copy of the old version the newest.
    async fn publish(
        &self,
        client: &Client,
        out: Output,
        wait: bool,
    ) -> Result<(RuntimeVersion, RuntimeStatus), Failure> {
        let Self { runtime: RuntimeView { name, id, .. }, from, to, .. } = self;
        let mut steps = Steps::new(out);
        let accepted = client.rollback(id, Some(*to)).await?;
        let version = publish::version_of(&accepted)?;
        steps.done("updated", format!("{name} version {version}, a copy of {to}"));
        if !wait {
            return Ok((version, accepted.status));
        }
        let status = publish::ready(client, name, id, version, *from, wait::CHANGE_TIMEOUT).await?;
        steps.done("started", "the agent answers its health check".to_owned());
        Ok((version, status))
    }

    /// Moves a named endpoint to the old version itself.
    async fn point(
        &self,
        client: &Client,
        endpoint: &EndpointName,
        wait: bool,
    ) -> Result<(RuntimeVersion, RuntimeStatus), Failure> {
        let id = &self.runtime.id;
        client.rollback_endpoint(id, endpoint, Some(self.to)).await?;
        let moved =
            if wait { wait::endpoint(client, id, endpoint).await? } else { client.get_endpoint(id, endpoint).await? };
        Ok((self.to, moved.status))
    }

    /// Tells what serves now; nothing, if nothing was done.
    fn report(
        &self,
        out: Output,
        endpoint: &EndpointName,
        done: Option<(RuntimeVersion, RuntimeStatus)>,
    ) -> Result<(), Failure> {
        let Self { runtime: RuntimeView { name, id, .. }, from, to, changes } = self;
        if out.json {
            return out.json(&json!({
                "name": name, "id": id, "endpoint": endpoint, "from": from, "to": to,
                "version": done.map(|(version, _)| version), "status": done.map(|(_, status)| status), "changes": changes,
            }));
        }
        let Some((version, status)) = done else { return Ok(()) };
        let copy = if version == *to { String::new() } else { format!(", a copy of {to}") };
        out.data(format!("{} {endpoint}: version {version}{copy} ({})", name, status.as_str()))
    }
}
