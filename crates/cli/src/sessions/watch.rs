//! `sessions ls --watch`: on a terminal the list, redrawn; elsewhere a line for each change.

use std::collections::HashMap;
use std::io::{IsTerminal, stdout};
use std::time::Duration;

use innkeep_protocol::operator::SessionView;
use innkeep_sdk::{Client, SessionQuery};
use innkeep_types::{Clock, EndpointName, RuntimeId, SessionId, SystemClock};

use super::{list, reason};
use crate::failure::Failure;
use crate::output::Output;
use crate::resolve;

/// Between two looks. A session that comes and goes in between is seen once it is stopped.
const INTERVAL: Duration = Duration::from_secs(1);

/// Cursor to the top left corner, and everything below it gone.
const CLEAR: &[u8] = b"\x1b[H\x1b[J";

/// Looks until interrupted.
pub(super) async fn watch(client: &Client, out: Output, query: SessionQuery) -> Result<(), Failure> {
    if stdout().is_terminal() && !out.json {
        loop {
            let sessions = client.sessions(&query).await?.sessions;
            out.bytes(CLEAR)?;
            list(out, &sessions)?;
            tokio::time::sleep(INTERVAL).await;
        }
    }
    // What stops is told too, so it is asked for; what had stopped before is only listed if it was wanted.
    let wide = SessionQuery { state: None, all: true, ..query.clone() };
    let listed = client.sessions(&wide).await?.sessions;
    let had_stopped = !query.all && query.state != Some("Stopped");
    let mut seen: Seen = listed.iter().filter(|s| had_stopped && s.state == "Stopped").map(known).collect();
    let mut sessions = listed;
    loop {
        for session in changed(&mut seen, sessions) {
            if query.state.is_none_or(|state| state == session.state) {
                tell(out, &session)?;
            }
        }
        tokio::time::sleep(INTERVAL).await;
        sessions = client.sessions(&wide).await?.sessions;
    }
}

type Key = (RuntimeId, EndpointName, SessionId);

/// State and start of each session when it was last seen.
type Seen = HashMap<Key, (String, String)>;

fn known(session: &SessionView) -> (Key, (String, String)) {
    let key = (session.runtime_id.clone(), session.endpoint.clone(), session.session_id.clone());
    (key, (session.state.clone(), session.started_at.clone()))
}

/// Returns the sessions that are new or not as they were, oldest first, and notes how they are.
fn changed(seen: &mut Seen, sessions: Vec<SessionView>) -> Vec<SessionView> {
    let now: Seen = sessions.iter().map(known).collect();
    let is_new = |session: &SessionView| {
        let (key, state) = known(session);
        seen.get(&key) != Some(&state)
    };
    let changed = sessions.into_iter().rev().filter(is_new).collect();
    *seen = now;
    changed
}

fn tell(out: Output, session: &SessionView) -> Result<(), Failure> {
    if out.json {
        return out.json(session);
    }
    let SessionView { runtime_id, version, state, .. } = session;
    let time = SystemClock.now().to_string();
    let why = session.stop.as_ref().map(|stop| format!(" ({})", reason(stop))).unwrap_or_default();
    out.data(format!("{time} {} {runtime_id} v{version} {state}{why}", resolve::short(&session.session_id)))
}

#[cfg(test)]
mod tests {
    use innkeep_types::{RuntimeVersion, Tier};

    use super::*;

    fn session(name: &str, state: &str, started_at: &str) -> SessionView {
        SessionView {
            runtime_id: RuntimeId::parse("hello-Ab3dE6gH9j").unwrap(),
            endpoint: EndpointName::default_endpoint(),
            session_id: SessionId::from_short(name).unwrap(),
            version: RuntimeVersion::FIRST,
            state: state.to_owned(),
            tier: Tier::Process,
            caveats: Vec::new(),
            started_at: started_at.to_owned(),
            started_by: None,
            ready_ms: None,
            start: None,
            stopped_at: None,
            open_requests: 0,
            idle_left_ms: None,
            lifetime_left_ms: None,
            agent_pid: None,
            memory_bytes: None,
            cpu_ms: None,
            stop: None,
            exit: None,
        }
    }

    #[test]
    fn a_change_of_state_and_a_new_start_are_told_once() {
        let mut seen = Seen::new();
        let mut told = |sessions: &[SessionView]| -> Vec<String> {
            let changed = changed(&mut seen, sessions.to_vec());
            changed.iter().map(|s| format!("{} {}", resolve::short(&s.session_id), s.state)).collect()
        };
        let (alice, bob) = (session("alice", "Idle", "1"), session("bob", "Active", "2"));
        assert_eq!(told(&[bob.clone(), alice.clone()]), ["alice Idle", "bob Active"]);
        assert!(told(&[bob.clone(), alice.clone()]).is_empty());
        let bob = session("bob", "Stopped", "2");
        assert_eq!(told(&[bob.clone(), alice]), ["bob Stopped"]);
        assert_eq!(told(&[bob, session("alice", "Idle", "3")]), ["alice Idle"], "started again between two looks");
    }
}
