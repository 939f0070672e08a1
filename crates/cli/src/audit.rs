//! `innkeep audit`: who did what.

use std::time::Duration;

use clap::Args;
use innkeep_protocol::operator::audit::AuditEntry;
use innkeep_sdk::AuditQuery;
use innkeep_types::{AuditOutcome, UnixMillis};

use crate::context::Context;
use crate::failure::Failure;
use crate::logs;
use crate::output::Style;

/// How often it is asked for new events.
const EVERY: Duration = Duration::from_secs(1);

/// Show who did what: refusals, changes, and who started and stopped sessions
#[derive(Debug, Args)]
pub(crate) struct Audit {
    /// Not older than this: 10m, or 2026-11-20T10:00:00Z
    #[arg(long, value_parser = logs::since, default_value = "24h")]
    since: UnixMillis,
    /// Only of this principal (its ARN, or ISSUER#DIGEST), or with this access key
    #[arg(long, value_name = "ARN|KEY")]
    principal: Option<String>,
    /// Only of this name, such as InvokeAgentRuntime or CreateKey
    #[arg(long)]
    action: Option<String>,
    /// Only with this outcome: allowed, denied or failed
    #[arg(long)]
    outcome: Option<AuditOutcome>,
    /// Go on with new events as they are written
    #[arg(short, long)]
    follow: bool,
}

impl Audit {
    pub(crate) async fn run(self, context: &Context) -> Result<(), Failure> {
        let client = context.client()?;
        let Self { since, principal, action, outcome, follow } = self;
        let query = AuditQuery { since: Some(since), principal, action, outcome };
        let (mut after, mut any) = (None, follow);
        loop {
            let page = client.audit(&query, after.as_deref()).await?;
            any |= !page.events.is_empty();
            for entry in &page.events {
                if context.out.json {
                    context.out.json(entry)?;
                } else {
                    context.out.data(line(entry, |style, text| context.out.out(style, text)))?;
                }
            }
            match (page.next_token, follow) {
                (Some(token), _) => after = Some(token),
                (None, true) => tokio::time::sleep(EVERY).await,
                (None, false) => break,
            }
        }
        if !any {
            context.out.note("no such events");
        }
        Ok(())
    }
}

/// Returns an event as people read it: when, what became of it, who, what, on which.
fn line(entry: &AuditEntry, paint: impl Fn(Style, &str) -> String) -> String {
    let style = match entry.outcome {
        AuditOutcome::Allowed => Style::Green,
        AuditOutcome::Denied => Style::Red,
        AuditOutcome::Failed | AuditOutcome::Abandoned => Style::Yellow,
    };
    let who = match (&entry.principal, &entry.access_key_id) {
        (Some(principal), _) => principal.clone(),
        (None, Some(key)) => format!("unproven {key}"),
        (None, None) => "unknown".to_owned(),
    };
    let outcome = paint(style, entry.outcome.as_str());
    let mut line = format!("{} {outcome} {who} {}", paint(Style::Dim, &entry.time), entry.action);
    let more = [
        ("on", &entry.resource),
        ("session", &entry.session_id),
        ("error", &entry.error),
        ("by", &entry.statement),
        ("from", &entry.source),
    ];
    for (name, value) in more.into_iter().filter_map(|(name, value)| Some((name, value.as_ref()?))) {
        line.push_str(&format!(" {} {}", paint(Style::Dim, name), shown(value)));
    }
    if entry.count > 1 {
        line.push_str(&format!(" ×{}", entry.count));
    }
    line
}

/// Callers make up parts of it: nothing in it may speak to a terminal.
fn shown(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_who_what_and_on_which_and_is_harmless() {
        let entry = AuditEntry {
            time: "2026-11-20T10:00:00.000Z".to_owned(),
            principal: None,
            access_key_id: Some("AKIA1".to_owned()),
            action: "InvokeAgentRuntime".to_owned(),
            resource: Some("a\u{1b}[2J".to_owned()),
            session_id: None,
            outcome: AuditOutcome::Denied,
            error: Some("AccessDeniedException".to_owned()),
            statement: Some("NotOnSundays".to_owned()),
            request_id: Some("r".to_owned()),
            source: Some("127.0.0.1".to_owned()),
            count: 2,
        };
        assert_eq!(
            line(&entry, |_, text| text.to_owned()),
            "2026-11-20T10:00:00.000Z denied unproven AKIA1 InvokeAgentRuntime on a?[2J error AccessDeniedException by NotOnSundays \
             from 127.0.0.1 ×2"
        );
    }
}
