//! Sessions: `GET sessions`, `POST sessions/stop`. Reading one never starts or extends it.

use std::collections::HashMap;
use std::time::Duration;

use http::Response;
use innkeep_protocol::operator::{SESSION_STATES, SessionList, SessionView, StartView, StopSessions, StoppedSessions};
use innkeep_sandbox::{Phase, SessionInfo, StartPhases};
use innkeep_store::SessionRecord;
use innkeep_types::{AgentExit, EndpointName, ErrorKind, RuntimeId, SessionId, SessionKey, StopReason, limits};

use crate::audit::Subject;
use crate::operator::query::Query;
use crate::operator::usage::{self, Usage};
use crate::operator::{Operator, body};
use crate::respond::{self, Body, Refused};

/// Sessions listed at most; newest first.
const MAX_LISTED: u32 = 1000;

impl Operator {
    pub(crate) async fn list_sessions(&self, query: &Query) -> Result<Response<Body>, Refused> {
        let runtime = query.parsed::<RuntimeId>("runtime")?;
        let endpoint = query.parsed::<EndpointName>("endpoint")?;
        let session = query.parsed::<SessionId>("session")?;
        let state = query.get("state").map(state).transpose()?;
        let wanted = |key: &SessionKey| {
            runtime.as_ref().is_none_or(|r| *r == key.runtime)
                && endpoint.as_ref().is_none_or(|e| *e == key.endpoint)
                && session.as_ref().is_none_or(|s| *s == key.session)
        };
        let live: HashMap<SessionKey, SessionInfo> =
            self.registry.list().into_iter().filter(|s| wanted(&s.key)).map(|s| (s.key.clone(), s)).collect();
        let mut sessions = Vec::new();
        if query.flag("all") || session.is_some() || state == Some("Stopped") {
            let most = if session.is_some() { u32::MAX } else { MAX_LISTED };
            let records = self.store.list_sessions(runtime.as_ref(), false, most).await;
            for record in records.map_err(|e| Refused::internal(&e))? {
                if wanted(&record.key) && !live.contains_key(&record.key) && record.stopped.is_some() {
                    sessions.push(stopped(record));
                }
            }
        }
        let live = Vec::from_iter(live.into_values());
        let (live, used) = if query.flag("usage") {
            let looked = tokio::task::spawn_blocking(move || {
                let used = usage::of_all(&live);
                (live, used)
            });
            looked.await.map_err(|e| Refused::internal(&e))?
        } else {
            let unasked = vec![None; live.len()];
            (live, unasked)
        };
        let caveats = &self.registry.capabilities().caveats;
        sessions.extend(live.into_iter().zip(used).map(|(info, used)| running(info, used, caveats)));
        sessions.retain(|session: &SessionView| state.is_none_or(|state| state == session.state));
        sessions.sort_by(|a, b| b.started_at.cmp(&a.started_at));
        Ok(respond::json(200, &SessionList { sessions }))
    }

    pub(crate) async fn stop_sessions(&self, body: &[u8]) -> Result<Response<Body>, Refused> {
        let request: StopSessions = body::read(body)?;
        let reason = if request.reload { StopReason::Reloaded } else { StopReason::StoppedByCaller };
        let grace = if request.kill { Duration::ZERO } else { limits::STOP_GRACE };
        let chosen = self.registry.list().into_iter().filter(|s| {
            s.key.runtime == request.runtime_id
                && request.endpoint.as_ref().is_none_or(|e| *e == s.key.endpoint)
                && request.session_id.as_ref().is_none_or(|id| *id == s.key.session)
                && request.keep_version != Some(s.version)
        });
        let (mut stopped, mut busy) = (Vec::new(), None);
        for session in chosen {
            let done = if request.only_idle {
                self.registry.stop_if_unused(&session.key, reason.clone()).await
            } else {
                self.registry.stop(&session.key, reason.clone(), grace).await.map(|()| true)
            };
            match done {
                Ok(true) => stopped.push(session.key.session),
                Err(innkeep_sandbox::Error::Busy) => busy = Some(session.state),
                // In use, or gone meanwhile.
                Ok(false) | Err(_) => {}
            }
        }
        match (&request.session_id, busy) {
            (Some(id), Some("Provisioning")) => Err(Refused::new(
                ErrorKind::RetryableConflict,
                format!("session {id} is starting; `innkeep sessions kill` ends it at once"),
            )),
            (Some(id), Some(_)) => {
                let message = format!("session {id} is ending already; `innkeep sessions kill` cuts its grace short");
                Err(Refused::new(ErrorKind::RetryableConflict, message))
            }
            (Some(id), None) if stopped.is_empty() && !request.only_idle => {
                Err(Refused::new(ErrorKind::NotFound, format!("session {id} has no sandbox")))
            }
            _ => {
                let about = subject(&request.runtime_id, &stopped);
                let mut answer = respond::json(200, &StoppedSessions { stopped });
                answer.extensions_mut().insert(about);
                Ok(answer)
            }
        }
    }
}

fn state(given: &str) -> Result<&'static str, Refused> {
    let known = SESSION_STATES.into_iter().find(|state| *state == given);
    let unknown = || format!("unknown state {given:?}: {}", SESSION_STATES.join(", "));
    known.ok_or_else(|| Refused::new(ErrorKind::Validation, unknown()))
}

fn ms(d: Duration) -> u64 {
    u64::try_from(d.as_millis()).unwrap_or(u64::MAX)
}

fn running(info: SessionInfo, used: Option<Usage>, caveats: &[String]) -> SessionView {
    let (memory_bytes, cpu_ms) = used.map(|used| (used.memory_bytes, used.cpu_ms)).unzip();
    SessionView {
        runtime_id: info.key.runtime,
        endpoint: info.key.endpoint,
        session_id: info.key.session,
        version: info.version,
        state: info.state.to_owned(),
        tier: info.tier,
        caveats: caveats.to_vec(),
        started_at: info.origin.at.to_string(),
        started_by: info.origin.request,
        ready_ms: info.ready.map(ms),
        start: info.phases.as_ref().map(start),
        stopped_at: None,
        open_requests: info.open_requests,
        idle_left_ms: info.idle_left.map(ms),
        lifetime_left_ms: info.lifetime_left.map(ms),
        agent_pid: info.agent_pid,
        memory_bytes,
        cpu_ms,
        stop: None,
        exit: None,
    }
}

fn start(measured: &StartPhases) -> StartView {
    // To a tenth: a sandbox from a pool takes a few milliseconds in all.
    let ms = |phase| measured.times.get(&phase).map(|time| (time.as_secs_f64() * 10_000.0).round() / 10.0);
    StartView {
        way: measured.way.as_str().to_owned(),
        queue_ms: ms(Phase::Queue),
        pool_ms: ms(Phase::Pool),
        launch_ms: ms(Phase::Launch),
        agent_ms: ms(Phase::Agent),
        ping_ms: ms(Phase::Ping),
        first_byte_ms: ms(Phase::FirstByte),
    }
}

fn stopped(record: SessionRecord) -> SessionView {
    let (at, reason) = record.stopped.map_or((None, None), |(at, reason)| (Some(at.to_string()), Some(reason)));
    let exit = reason.as_ref().and_then(exit_of);
    SessionView {
        runtime_id: record.key.runtime,
        endpoint: record.key.endpoint,
        session_id: record.key.session,
        version: record.version,
        state: "Stopped".to_owned(),
        tier: record.tier,
        caveats: Vec::new(),
        started_at: record.started_at.to_string(),
        started_by: record.started_by,
        ready_ms: None,
        start: None,
        stopped_at: at,
        open_requests: 0,
        idle_left_ms: None,
        lifetime_left_ms: None,
        agent_pid: None,
        memory_bytes: None,
        cpu_ms: None,
        stop: reason,
        exit,
    }
}

fn exit_of(reason: &StopReason) -> Option<AgentExit> {
    match reason {
        StopReason::AgentExited { exit } => Some(*exit),
        StopReason::HostLost { exit } => *exit,
        _ => None,
    }
}

/// Returns what the audit log has of it: the sessions by name, as far as that is a line.
fn subject(runtime: &RuntimeId, stopped: &[SessionId]) -> Subject {
    const NAMED: usize = 8;
    let names: Vec<_> = stopped.iter().take(NAMED).map(SessionId::as_str).collect();
    let more = stopped.len().saturating_sub(NAMED);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    Subject(format!("{runtime}: {}{more}", names.join(", ")))
}
