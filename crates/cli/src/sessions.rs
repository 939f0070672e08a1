//! `innkeep sessions`: what is running, why it ended, and how to end it. Looking never starts or extends a session.

mod watch;

use std::time::Duration;

use clap::{Args, Subcommand};
use innkeep_protocol::operator::{SESSION_STATES, SessionView, StopSessions};
use innkeep_sdk::{Client, SessionQuery};
use innkeep_types::{Clock, EndpointName, SessionId, StopReason, SystemClock, UnixMillis};
use serde_json::json;

use crate::context::Context;
use crate::failure::{Code, Failure};
use crate::output::{Output, Style, human_bytes, human_duration};
use crate::{args, phases, resolve};

/// List, inspect and end sessions
#[derive(Debug, Args)]
pub(crate) struct Sessions {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// List sessions, newest first; looking never extends one
    Ls(List),
    /// Show all that is known of a session
    Inspect(Named),
    /// End sessions: SIGTERM, up to 15 s, SIGKILL; their ids stay usable
    Stop(Stop),
    /// End sessions at once, also those that are starting, or are ending already and take their time
    Kill(Stop),
}

#[derive(Debug, Args)]
struct List {
    /// Only of this runtime: name, id or ARN
    #[arg(value_name = "NAME")]
    runtime: Option<String>,
    /// Only of this endpoint
    #[arg(long)]
    endpoint: Option<EndpointName>,
    /// Only in this state: Provisioning, Active, Idle, Stopping or Stopped
    #[arg(long, value_parser = state)]
    state: Option<&'static str>,
    /// Stopped ones too
    #[arg(long, short)]
    all: bool,
    /// Go on: redraw the list every second, or, where standard output is no terminal, print what changes
    #[arg(long, short)]
    watch: bool,
}

#[derive(Debug, Args)]
struct Named {
    /// The session's id or short name
    #[arg(value_parser = resolve::session)]
    session: SessionId,
    #[command(flatten)]
    of: Of,
}

#[derive(Debug, Args)]
struct Stop {
    /// Ids or short names
    #[arg(
        value_name = "SESSION", value_parser = resolve::session,
        required_unless_present = "all", conflicts_with = "all"
    )]
    sessions: Vec<SessionId>,
    /// Every session
    #[arg(long)]
    all: bool,
    /// With --all: only those that were started longer ago than this, such as 10m
    #[arg(long, requires = "all", value_parser = args::duration)]
    older: Option<Duration>,
    #[command(flatten)]
    of: Of,
}

#[derive(Debug, Args)]
struct Of {
    /// Only of this runtime: name, id or ARN
    #[arg(long, value_name = "NAME")]
    runtime: Option<String>,
    /// Only of this endpoint
    #[arg(long)]
    endpoint: Option<EndpointName>,
}

impl Sessions {
    pub(crate) async fn run(self, context: &Context) -> Result<(), Failure> {
        let client = context.client()?;
        match self.action {
            Action::Ls(List { runtime, endpoint, state, all, watch }) => {
                let query = SessionQuery { state, all, ..query(&client, Of { runtime, endpoint }).await? };
                if watch {
                    return watch::watch(&client, context.out, query).await;
                }
                list(context.out, &client.sessions(&query).await?.sessions)
            }
            Action::Inspect(Named { session, of }) => {
                let query = SessionQuery { session: Some(session.clone()), usage: true, ..query(&client, of).await? };
                let sessions = client.sessions(&query).await?.sessions;
                if sessions.is_empty() {
                    return Err(unknown(&session));
                }
                sessions.iter().try_for_each(|session| inspect(context.out, session))
            }
            Action::Stop(which) => stop(&client, context.out, which, false).await,
            Action::Kill(which) => stop(&client, context.out, which, true).await,
        }
    }
}

async fn query(client: &Client, of: Of) -> Result<SessionQuery, Failure> {
    let runtime = match of.runtime {
        Some(runtime) => Some(resolve::runtime(client, &runtime).await?.id),
        None => None,
    };
    Ok(SessionQuery { runtime, endpoint: of.endpoint, ..SessionQuery::default() })
}

/// Prints sessions as a table, or as JSON.
pub(crate) fn list(out: Output, sessions: &[SessionView]) -> Result<(), Failure> {
    if out.json {
        return out.json(&json!({"sessions": sessions}));
    }
    if sessions.is_empty() {
        out.note("no sessions");
        return Ok(());
    }
    let now = SystemClock.now();
    let ms = |ms: Option<u64>| ms.map_or_else(|| "-".to_owned(), |ms| human_duration(Duration::from_millis(ms)));
    let rows: Vec<_> = sessions
        .iter()
        .map(|s| {
            let ended = s.stop.as_ref().map_or_else(|| "-".to_owned(), |stop| stop.as_str().to_owned());
            let age = age(s, now).map_or_else(|| "-".to_owned(), human_duration);
            let (id, runtime) = (resolve::short(&s.session_id).to_owned(), s.runtime_id.to_string());
            let state = s.state.clone();
            [
                id,
                runtime,
                format!("v{}", s.version),
                state,
                age,
                ms(s.ready_ms),
                ms(s.idle_left_ms),
                s.open_requests.to_string(),
                ended,
            ]
        })
        .collect();
    out.table(["SESSION", "RUNTIME", "VERSION", "STATE", "AGE", "START", "IDLE LEFT", "OPEN", "ENDED"], &rows)
}

fn inspect(out: Output, session: &SessionView) -> Result<(), Failure> {
    if out.json {
        return out.json(session);
    }
    let now = SystemClock.now();
    let ms = |ms: u64| human_duration(Duration::from_millis(ms));
    let rows = [
        ("session", Some(session.session_id.to_string())),
        ("runtime", Some(format!("{} ({}, version {})", session.runtime_id, session.endpoint, session.version))),
        ("state", Some(session.state.clone())),
        ("isolation", Some(session.tier.as_str().to_owned())),
        ("started", Some(session.started_at.clone())),
        ("started by", session.started_by.as_ref().map(|request| format!("request {request}"))),
        ("age", age(session, now).map(human_duration)),
        ("ready after", session.ready_ms.map(ms)),
        ("start", session.start.as_ref().map(|start| format!("{} ms", phases::words(&phases::of_view(start))))),
        ("open requests", Some(session.open_requests.to_string())),
        ("idle time left", session.idle_left_ms.map(ms)),
        ("lifetime left", session.lifetime_left_ms.map(ms)),
        ("agent process", session.agent_pid.map(|pid| pid.to_string())),
        ("memory", session.memory_bytes.map(human_bytes)),
        ("processor time", session.cpu_ms.map(ms)),
        ("stopped", session.stopped_at.clone()),
        ("reason", session.stop.as_ref().map(reason)),
        ("agent ended", session.exit.map(|exit| exit.to_string())),
    ];
    let line = |name: &str, value: &str| out.data(format!("{}{value}", out.out(Style::Dim, &format!("{name:<16}"))));
    for (name, value) in rows {
        value.map_or(Ok(()), |value| line(name, &value))?;
    }
    session.caveats.iter().try_for_each(|caveat| line("weaker", caveat))
}

async fn stop(client: &Client, out: Output, which: Stop, kill: bool) -> Result<(), Failure> {
    let Stop { sessions: named, all: _, older, of } = which;
    let live = client.sessions(&query(client, of).await?).await?.sessions;
    if let Some(absent) = named.iter().find(|id| !live.iter().any(|session| session.session_id == **id)) {
        return Err(unknown(absent));
    }
    let now = SystemClock.now();
    let old_enough = |s: &SessionView| older.is_none_or(|older| age(s, now).is_some_and(|age| age >= older));
    // `stop --all` has nothing to ask of one that is ending already; a kill cuts its grace short.
    let to_be_asked =
        |s: &SessionView| if named.is_empty() { kill || s.state != "Stopping" } else { named.contains(&s.session_id) };
    let chosen = live.iter().filter(|s| to_be_asked(s) && old_enough(s));
    let (mut stopped, mut failure) = (Vec::new(), None);
    for session in chosen {
        let request = StopSessions {
            runtime_id: session.runtime_id.clone(),
            endpoint: Some(session.endpoint.clone()),
            session_id: Some(session.session_id.clone()),
            only_idle: false,
            keep_version: None,
            kill,
            reload: false,
        };
        match client.stop_sessions(&request).await.map_err(Failure::from) {
            Ok(done) => stopped.extend(done.stopped),
            // It ended by itself meanwhile.
            Err(gone) if gone.code == Code::NotFound => {}
            // One that cannot be ended now does not save the others.
            Err(refused) => failure = failure.or(Some(refused)),
        }
    }
    match failure {
        Some(failure) if out.json => return Err(failure),
        None if out.json => return out.json(&json!({"stopped": stopped})),
        None if stopped.is_empty() => out.note("no session was to be ended"),
        _ => {}
    }
    stopped.iter().try_for_each(|session| out.data(session.as_str()))?;
    failure.map_or(Ok(()), Err)
}

/// Returns why a sandbox ended, with what is known beside the agent's exit.
fn reason(stop: &StopReason) -> String {
    match stop {
        StopReason::Unhealthy { detail } | StopReason::StartFailed { detail } => format!("{}: {detail}", stop.as_str()),
        other => other.as_str().to_owned(),
    }
}

fn state(given: &str) -> Result<&'static str, String> {
    let known = SESSION_STATES.into_iter().find(|state| state.eq_ignore_ascii_case(given));
    known.ok_or_else(|| format!("expected one of {}", SESSION_STATES.join(", ")))
}

fn unknown(session: &SessionId) -> Failure {
    Failure::new(Code::NotFound, format!("there is no session {session}")).with_fix("innkeep sessions ls --all")
}

/// Returns how long ago the session was started, or for how long it ran.
fn age(session: &SessionView, now: UnixMillis) -> Option<Duration> {
    let at = |time: &str| time.parse::<jiff::Timestamp>().ok().map(|t| UnixMillis(t.as_millisecond()));
    let end = session.stopped_at.as_deref().and_then(at).unwrap_or(now);
    Some(end.since(at(&session.started_at)?))
}
