//! What became of a runtime's last requests, and which of their headers its agent did not get: `GET runtimes/{id}/requests`.

use http::Response;
use innkeep_gateway::RecentRequest;
use innkeep_protocol::operator::requests::{RecentList, RecentView};

use crate::operator::Operator;
use crate::respond::{self, Body, Refused};

impl Operator {
    pub(crate) async fn list_requests(&self, id: &str) -> Result<Response<Body>, Refused> {
        let runtime = self.newest_version(id).await?.runtime;
        let recent = self.gateway.recent_requests(&runtime);
        let requests = recent.requests.into_iter().map(view).collect();
        Ok(respond::json(200, &RecentList { requests, missed: recent.missed }))
    }
}

fn view(request: RecentRequest) -> RecentView {
    RecentView {
        request_id: request.id.to_string(),
        operation: request.operation.to_owned(),
        session_id: request.session.map(|session| session.to_string()),
        at: request.at.to_string(),
        answered_ms: u64::try_from(request.answered_after.as_millis()).unwrap_or(u64::MAX),
        status: request.status,
        dropped_headers: request.dropped.names.iter().map(ToString::to_string).collect(),
        more_dropped: u64::try_from(request.dropped.n_more).unwrap_or(u64::MAX),
    }
}
