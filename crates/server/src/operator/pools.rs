//! Sandboxes that wait for sessions, and what agents are forked from: `GET pools`, `POST runtimes/{id}/prewarm`.

use http::Response;
use innkeep_protocol::operator::pools::{
    PoolFailure, PoolList, PoolMemberView, PoolView, Prewarm, Prewarmed, ZygoteView,
};
use innkeep_sandbox::PoolInfo;
use innkeep_sandbox::driver::ZygoteInfo;
use innkeep_types::{EndpointName, ErrorKind, RuntimeId, limits};

use crate::operator::{Operator, body};
use crate::respond::{self, Body, Refused};

impl Operator {
    pub(crate) fn list_pools(&self) -> Response<Body> {
        let pools = self.registry.pools().into_iter().map(view).collect();
        let zygotes = self.registry.zygotes().into_iter().map(zygote_view).collect();
        respond::json(200, &PoolList { pools, zygotes })
    }

    /// Starts a session, or sandboxes that wait for some, and returns before they are ready.
    pub(crate) async fn prewarm(&self, id: &str, body: &[u8]) -> Result<Response<Body>, Refused> {
        let invalid = |message: String| Refused::new(ErrorKind::Validation, message);
        let runtime = RuntimeId::parse(id).map_err(|e| invalid(e.to_string()))?;
        let asked: Prewarm = if body.is_empty() { Prewarm::default() } else { body::read(body)? };
        let Prewarm { endpoint, session_id, size } = asked;
        if session_id.is_some() && size.is_some() {
            return Err(invalid("sessionId and size exclude each other: a session has one sandbox".to_owned()));
        }
        let size = size.unwrap_or(1);
        if size == 0 || size > limits::MAX_POOL_SIZE {
            return Err(invalid(format!("size must be from 1 to {}, not {size}", limits::MAX_POOL_SIZE)));
        }
        let endpoint = endpoint.unwrap_or_else(EndpointName::default_endpoint);
        let served = self.gateway.served(runtime.clone(), endpoint.clone(), session_id.as_ref()).await;
        let served = served.map_err(|e| Refused::internal(e.as_ref()))?;
        if served.is_empty() {
            let message = format!("agent runtime {runtime} has no endpoint {endpoint} that serves");
            return Err(Refused::new(ErrorKind::NotFound, message));
        }
        for deployment in &served {
            let begun = match &session_id {
                Some(session) => self.registry.prewarm_session(session, deployment),
                None => self.registry.prewarm(deployment, size).await,
            };
            begun.map_err(|error| Refused::new(error.kind(), error.to_string()))?;
        }
        let versions = served.iter().map(|deployment| deployment.version).collect();
        Ok(respond::json(202, &Prewarmed { endpoint, versions }))
    }
}

fn zygote_view(zygote: ZygoteInfo) -> ZygoteView {
    ZygoteView {
        runtime_id: zygote.key.runtime,
        endpoint: zygote.key.endpoint,
        version: zygote.key.version,
        reason: zygote.state.why().map(str::to_owned),
        state: zygote.state.as_str().to_owned(),
        forks: zygote.forks,
    }
}

fn view(pool: PoolInfo) -> PoolView {
    PoolView {
        runtime_id: pool.key.runtime,
        endpoint: pool.key.endpoint,
        version: pool.key.version,
        size: pool.size,
        wanted: pool.wanted,
        starting: pool.starting,
        ready: pool
            .ready
            .into_iter()
            .map(|member| PoolMemberView {
                started_at: member.started_at.to_string(),
                agent_pid: member.agent_pid,
                memory_bytes: member.memory_bytes,
            })
            .collect(),
        hits: pool.hits,
        misses: pool.misses,
        wasted: pool.wasted,
        last_refill_ms: pool.last_refill.map(|took| u64::try_from(took.as_millis()).unwrap_or(u64::MAX)),
        last_failure: pool.last_failure.map(|(at, message)| PoolFailure { at: at.to_string(), message }),
        held: pool.held,
    }
}
