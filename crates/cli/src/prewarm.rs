//! `innkeep prewarm`: starts what the next request would wait for.

use clap::Args;
use innkeep_protocol::operator::pools::Prewarm as Asked;
use innkeep_types::{EndpointName, SessionId};
use serde_json::json;

use crate::context::Context;
use crate::failure::Failure;
use crate::resolve;

/// Start sandboxes before they are asked for: one for a session, or some for whichever sessions come
///
/// Returns before they are ready: `innkeep status NAME` shows how many wait. Those that no session took end after 10 minutes; the
/// setting `pool` keeps some for good.
#[derive(Debug, Args)]
pub(crate) struct Prewarm {
    /// The runtime: name, id or ARN
    #[arg(value_name = "NAME")]
    runtime: String,
    /// A session, by id or short name: its next request finds it running
    #[arg(long, short, value_parser = resolve::session, conflicts_with = "size")]
    session: Option<SessionId>,
    /// The endpoint whose sessions come [default: DEFAULT]
    #[arg(long)]
    endpoint: Option<EndpointName>,
    /// How many sandboxes are to wait [default: 1]
    #[arg(long, value_name = "N")]
    size: Option<u32>,
}

impl Prewarm {
    pub(crate) async fn run(self, context: &Context) -> Result<(), Failure> {
        let client = context.client()?;
        let named = resolve::arn(&self.runtime).and_then(|(_, endpoint)| endpoint);
        let runtime = resolve::runtime(&client, &self.runtime).await?;
        let asked = Asked { endpoint: self.endpoint.or(named), session_id: self.session, size: self.size };
        let begun = client.prewarm(&runtime.id, &asked).await?;
        if context.out.json {
            let (endpoint, versions) = (begun.endpoint, begun.versions);
            return context.out.json(&json!({"runtimeId": runtime.id, "endpoint": endpoint, "versions": versions}));
        }
        let what = match &asked.session_id {
            Some(session) => format!("session {} is started", resolve::short(session)),
            None => format!("up to {} will wait", sandboxes(asked.size.unwrap_or(1))),
        };
        let versions: Vec<_> = begun.versions.iter().map(|version| format!("v{version}")).collect();
        context.out.note(format!("{what}: {} {} {}", runtime.name, begun.endpoint, versions.join(", ")));
        Ok(())
    }
}

fn sandboxes(n: u32) -> String {
    if n == 1 { "1 sandbox".to_owned() } else { format!("{n} sandboxes") }
}
