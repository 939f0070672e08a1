//! `GET invocations`: those whose callers do not wait. One of them, its answer included, is the gateway's: it is for its caller too.

use http::Response;
use innkeep_gateway::InvocationView as Found;
use innkeep_protocol::operator::invocations::{InvocationList, InvocationView};
use innkeep_types::{ErrorKind, InvocationState, RuntimeId, SessionKey};

use crate::operator::Operator;
use crate::operator::query::Query;
use crate::respond::{self, Body, Refused};

/// Listed at most; newest first.
const MAX_LISTED: usize = 1000;

impl Operator {
    pub(crate) fn list_invocations(&self, query: &Query) -> Result<Response<Body>, Refused> {
        let runtime = query.parsed::<RuntimeId>("runtime")?;
        let state = query.get("state").map(state).transpose()?;
        let is_wanted = |found: &Found| {
            runtime.as_ref().is_none_or(|runtime| *runtime == found.session.runtime)
                && state.is_none_or(|state| state == found.state)
        };
        let found = self.gateway.invocations().into_iter().filter(is_wanted).take(MAX_LISTED);
        Ok(respond::json(200, &InvocationList { invocations: found.map(view).collect() }))
    }
}

fn state(word: &str) -> Result<InvocationState, Refused> {
    let found = InvocationState::ALL.into_iter().find(|state| state.as_str() == word);
    let words = InvocationState::ALL.map(InvocationState::as_str).join(", ");
    found
        .ok_or_else(|| Refused::new(ErrorKind::Validation, format!("bad value for state: {word:?} is none of {words}")))
}

fn view(found: Found) -> InvocationView {
    let SessionKey { runtime, endpoint, session } = found.session;
    InvocationView {
        invocation_id: found.id,
        state: found.state,
        runtime_id: runtime,
        endpoint,
        session_id: session,
        created_at: found.created_at.to_string(),
        ended_at: found.ended_at.map(|at| at.to_string()),
        status: found.status,
        bytes: found.bytes,
        reason: found.reason,
    }
}
