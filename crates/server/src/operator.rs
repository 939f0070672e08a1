//! `/innkeep/v1`: what the CLI uses beyond the AWS API. Every call is signed with a key that has operator rights.

mod artifacts;
mod logs;
mod query;
mod runtimes;
mod sessions;

use http::{Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use innkeep_artifacts::Artifacts;
use innkeep_sandbox::Registry;
use innkeep_sandbox::tasks::Tasks;
use innkeep_store::{AccessKey, Store};
use innkeep_types::{AccountId, ErrorKind, Region};
use std::path::PathBuf;
use std::sync::Arc;

use crate::authenticate::Authenticator;
use crate::operator::query::Query;
use crate::respond::{Body, Refused};

/// What the operator API works on.
#[derive(Debug)]
pub(crate) struct Operator {
    pub(crate) store: Store,
    pub(crate) artifacts: Artifacts,
    pub(crate) registry: Registry,
    pub(crate) region: Region,
    pub(crate) account: AccountId,
    /// Where the drivers keep the agents' output.
    pub(crate) logs_dir: PathBuf,
    pub(crate) authenticator: Arc<Authenticator>,
    pub(crate) tasks: Tasks,
}

/// The path that all of its routes begin with.
pub(crate) const PREFIX: &str = "/innkeep/v1/";

impl Operator {
    /// Answers one request below [`PREFIX`].
    pub(crate) async fn handle(&self, request: Request<Incoming>) -> Response<Body> {
        self.route(request).await.unwrap_or_else(Refused::into_response)
    }

    async fn route(&self, request: Request<Incoming>) -> Result<Response<Body>, Refused> {
        let (parts, body) = request.into_parts();
        let path = parts.uri.path().to_owned();
        let rest = path.strip_prefix(PREFIX).unwrap_or_default().trim_end_matches('/');
        let query = Query::parse(parts.uri.query().unwrap_or_default());
        let segments: Vec<&str> = rest.split('/').collect();
        match (&parts.method, segments.as_slice()) {
            (&Method::POST, ["artifacts"]) => return self.upload_artifact(&parts, body, &query).await,
            (&Method::PUT, ["layers", fingerprint]) => return self.upload_layer(&parts, body, fingerprint).await,
            _ => {}
        }
        let (key, body) = self.authenticator.small(&parts, body).await?;
        may_operate(&key)?;
        match (&parts.method, segments.as_slice()) {
            (&Method::HEAD, ["layers", fingerprint]) => Ok(self.has_layer(fingerprint)),
            (&Method::GET, ["runtimes"]) => self.list_runtimes(&query).await,
            (&Method::GET, ["runtimes", id, "failure"]) => self.runtime_failure(id).await,
            (&Method::GET, ["sessions"]) => self.list_sessions(&query).await,
            (&Method::POST, ["sessions", "stop"]) => self.stop_sessions(&body).await,
            (&Method::GET, ["logs"]) => self.logs(&query).await,
            _ => Err(Refused::new(ErrorKind::NotFound, format!("no such route: {} {path}", parts.method))),
        }
    }
}

fn may_operate(key: &AccessKey) -> Result<(), Refused> {
    if key.operator {
        Ok(())
    } else {
        Err(Refused::new(ErrorKind::AccessDenied, format!("access key {} has no operator rights", key.id)))
    }
}

fn no_content() -> Response<Body> {
    crate::respond::empty(StatusCode::NO_CONTENT)
}
