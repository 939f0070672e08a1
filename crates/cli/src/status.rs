//! `innkeep status`: what is deployed, what serves, what failed last.

use clap::Args;
use innkeep_protocol::operator::pools::{PoolList, PoolView, ZygoteView};
use innkeep_protocol::operator::{EndpointView, RuntimeView};
use innkeep_sdk::{Client, SessionQuery};
use innkeep_types::RuntimeStatus;
use serde_json::json;

use crate::context::Context;
use crate::failure::Failure;
use crate::output::{Output, Style};
use crate::{resolve, sessions};

/// Show what is deployed, its endpoints and sessions, and the last errors
#[derive(Debug, Args)]
pub(crate) struct Status {
    /// One runtime in detail: name, id or ARN
    #[arg(value_name = "NAME")]
    runtime: Option<String>,
}

impl Status {
    pub(crate) async fn run(self, context: &Context) -> Result<(), Failure> {
        let client = context.client()?;
        match self.runtime {
            None => all(&client, context).await,
            Some(name) => one(&client, context.out, &name).await,
        }
    }
}

async fn all(client: &Client, context: &Context) -> Result<(), Failure> {
    let (out, dev_issuer) = (context.out, context.dev_issuer_at(&client.endpoint().url)?);
    let (list, pools) = (client.runtimes(None).await?, client.pools().await?);
    if out.json {
        let server = &client.endpoint().url;
        let PoolList { pools, zygotes } = pools;
        return out.json(&json!({
            "server": server, "devIssuer": dev_issuer, "runtimes": list.runtimes, "pools": pools, "zygotes": zygotes,
        }));
    }
    out.note(out.err(Style::Dim, &format!("server {}", client.endpoint().url)));
    if let Some(issuer) = dev_issuer {
        let warning = format!("dev issuer {issuer} is on: whoever can read the data directory can be anybody");
        out.note(out.err(Style::Yellow, &warning));
    }
    if list.runtimes.is_empty() {
        out.note("nothing is deployed yet: `innkeep deploy DIR`");
        return Ok(());
    }
    let rows: Vec<_> = list
        .runtimes
        .iter()
        .map(|runtime| {
            let RuntimeView { name, status, latest_version, live_sessions, last_updated_at, failure_reason, .. } =
                runtime;
            let reason = failure_reason.as_deref().and_then(|reason| reason.lines().next()).unwrap_or("-").to_owned();
            [
                name.to_string(),
                status.as_str().to_owned(),
                latest_version.to_string(),
                endpoints(runtime),
                live_sessions.to_string(),
                waiting(&pools, runtime),
                last_updated_at.clone(),
                reason,
            ]
        })
        .collect();
    out.table(["NAME", "STATUS", "VERSION", "SERVES", "SESSIONS", "POOL", "CHANGED", "LAST ERROR"], &rows)
}

async fn one(client: &Client, out: Output, name: &str) -> Result<(), Failure> {
    let runtime = resolve::runtime(client, name).await?;
    let failure = match runtime.status {
        RuntimeStatus::CreateFailed | RuntimeStatus::UpdateFailed => Some(client.failure(&runtime.id).await?),
        _ => None,
    };
    let query = SessionQuery { runtime: Some(runtime.id.clone()), all: true, ..SessionQuery::default() };
    let recent = client.sessions(&query).await?.sessions;
    let PoolList { mut pools, mut zygotes } = client.pools().await?;
    pools.retain(|pool| pool.runtime_id == runtime.id);
    zygotes.retain(|zygote| zygote.runtime_id == runtime.id);
    if out.json {
        let log_tail = failure.map(|failure| failure.log_tail);
        return out.json(&json!({
            "runtime": runtime, "logTail": log_tail, "pools": pools, "zygotes": zygotes, "sessions": recent,
        }));
    }
    let line = |name: &str, value: &str| out.data(format!("{}{value}", out.out(Style::Dim, &format!("{name:<10}"))));
    line("name", runtime.name.as_str())?;
    line("id", runtime.id.as_str())?;
    line("arn", &runtime.arn)?;
    line("status", &format!("{} (version {})", runtime.status.as_str(), runtime.latest_version))?;
    line("serves", &endpoints(&runtime))?;
    line("changed", &runtime.last_updated_at)?;
    if !runtime.ignored.is_empty() {
        line("ignored", &format!("{} (kept and shown; nothing acts on it)", runtime.ignored.join(", ")))?;
    }
    pools.iter().try_for_each(|pool| line("pool", &told(pool)))?;
    zygotes.iter().try_for_each(|zygote| line("zygote", &told_of_zygote(zygote)))?;
    if let Some(failure) = failure {
        line("failure", &out.out(Style::Red, failure.failure_reason.as_deref().unwrap_or("no reason was recorded")))?;
        failure
            .log_tail
            .iter()
            .try_for_each(|text| out.data(format!("{} {text}", out.out(Style::Dim, "          |"))))?;
    }
    if recent.is_empty() { line("sessions", "none yet") } else { sessions::list(out, &recent) }
}

/// Returns how many sandboxes wait for sessions of the runtime, of how many that are to, and what agents are forked from: `2/3, zygote`.
fn waiting(list: &PoolList, runtime: &RuntimeView) -> String {
    let pools: Vec<_> = list.pools.iter().filter(|pool| pool.runtime_id == runtime.id).collect();
    let (ready, wanted): (usize, usize) =
        (pools.iter().map(|pool| pool.ready.len()).sum(), pools.iter().map(|pool| pool.wanted).sum());
    let zygotes: Vec<_> = list.zygotes.iter().filter(|zygote| zygote.runtime_id == runtime.id).collect();
    let pool = (!pools.is_empty()).then(|| format!("{ready}/{wanted}"));
    let zygote = (!zygotes.is_empty())
        .then(|| if zygotes.iter().any(|zygote| zygote.reason.is_some()) { "no zygote" } else { "zygote" }.to_owned());
    let parts: Vec<_> = pool.into_iter().chain(zygote).collect();
    if parts.is_empty() { "-".to_owned() } else { parts.join(", ") }
}

/// Returns a zygote in one line: `DEFAULT v3: ready; 12 forks`, or why there is none.
fn told_of_zygote(zygote: &ZygoteView) -> String {
    let ZygoteView { endpoint, version, state, reason, forks, .. } = zygote;
    match reason {
        Some(reason) => format!("{endpoint} v{version}: {state}; agents start from their program: {reason}"),
        None => format!("{endpoint} v{version}: {state}; {forks} forks"),
    }
}

/// Returns a pool in one line: `DEFAULT v3: 2 of 3 wait, 1 start; hits 12, misses 1, wasted 0; last start 240 ms`.
fn told(pool: &PoolView) -> String {
    let PoolView { endpoint, version, wanted, ready, starting, hits, misses, wasted, .. } = pool;
    let mut text = format!(
        "{endpoint} v{version}: {} of {wanted} wait, {starting} start; hits {hits}, misses {misses}, wasted {wasted}",
        ready.len()
    );
    if let Some(ms) = pool.last_refill_ms {
        text.push_str(&format!("; last start {ms} ms"));
    }
    if let Some(held) = &pool.held {
        text.push_str(&format!("; none are started: {held}"));
    }
    if let Some(failure) = &pool.last_failure {
        text.push_str(&format!("; last failure at {}: {}", failure.at, failure.message));
    }
    text
}

/// Returns which version each endpoint serves, and where it moves to: `DEFAULT v3, prod v7=90 v8=10, canary v8→v9`.
fn endpoints(runtime: &RuntimeView) -> String {
    runtime.endpoints.iter().map(endpoint).collect::<Vec<_>>().join(", ")
}

fn endpoint(endpoint: &EndpointView) -> String {
    let EndpointView { name, live_version, target_version, split, status } = endpoint;
    match (live_version, split.is_empty()) {
        (_, false) => {
            let shares: Vec<_> = split.iter().map(|(version, weight)| format!("v{version}={weight}")).collect();
            format!("{name} {}", shares.join(" "))
        }
        (Some(live), true) if status.in_progress() && live != target_version => {
            format!("{name} v{live}→v{target_version}")
        }
        (Some(live), true) => format!("{name} v{live}"),
        (None, true) => format!("{name} {}", status.as_str()),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use innkeep_types::RuntimeVersion;

    use super::*;

    fn check(live: Option<u32>, target: u32, split: &[(u32, u32)], status: RuntimeStatus, expect: &str) {
        let version = |n| RuntimeVersion::new(n).unwrap();
        let split: BTreeMap<_, _> = split.iter().map(|(n, weight)| (version(*n), *weight)).collect();
        let name = "prod".parse().unwrap();
        let (live_version, target_version) = (live.map(version), version(target));
        assert_eq!(endpoint(&EndpointView { name, live_version, target_version, split, status }), expect);
    }

    #[test]
    fn an_endpoint_shows_what_it_serves_and_where_it_goes() {
        check(Some(7), 7, &[], RuntimeStatus::Ready, "prod v7");
        check(Some(7), 8, &[], RuntimeStatus::Updating, "prod v7→v8");
        check(Some(7), 8, &[], RuntimeStatus::UpdateFailed, "prod v7");
        check(None, 1, &[], RuntimeStatus::Creating, "prod CREATING");
        check(Some(8), 8, &[(7, 90), (8, 10)], RuntimeStatus::Ready, "prod v7=90 v8=10");
    }

    #[test]
    fn a_zygote_shows_what_it_did_or_why_there_is_none() {
        let version = RuntimeVersion::new(3).unwrap();
        let (runtime_id, endpoint) = ("hello-Ab3dE6gH9j".parse().unwrap(), "DEFAULT".parse().unwrap());
        let ready = ZygoteView { runtime_id, endpoint, version, state: "ready".to_owned(), reason: None, forks: 12 };
        assert_eq!(told_of_zygote(&ready), "DEFAULT v3: ready; 12 forks");
        let resting = ZygoteView { state: "resting".to_owned(), reason: Some("threads run".to_owned()), ..ready };
        let expected = "DEFAULT v3: resting; agents start from their program: threads run";
        assert_eq!(told_of_zygote(&resting), expected);
    }
}
