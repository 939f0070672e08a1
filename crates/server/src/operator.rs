//! `/innkeep/v1`: what the CLI uses beyond the AWS API. Every call is signed with a key that has operator rights, or shows the
//! operator's token.

mod artifacts;
mod audit;
mod body;
mod endpoints;
mod invocations;
mod keys;
mod logs;
mod pools;
mod query;
mod requests;
mod routes;
mod runtimes;
mod sessions;
mod settings;
mod usage;
mod versions;

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderValue, Response, StatusCode, header};
use innkeep_artifacts::Artifacts;
use innkeep_control::Control;
use innkeep_gateway::{Gateway, Inbound};
use innkeep_sandbox::Registry;
use innkeep_sandbox::tasks::Tasks;
use innkeep_store::Store;
use innkeep_types::{AccountId, ErrorKind, Region};
use std::path::PathBuf;
use std::sync::Arc;

use crate::audit::Who;
use crate::authenticate::Authenticator;
use crate::keys::Keys;
use crate::metrics;
use crate::operator::query::Query;
use crate::operator::routes::Operation;
use crate::rates::ControlRates;
use crate::respond::{self, Body, Refused};

/// What the operator API works on.
#[derive(Debug)]
pub(crate) struct Operator {
    pub(crate) store: Store,
    pub(crate) control: Control,
    pub(crate) gateway: Arc<Gateway>,
    pub(crate) artifacts: Artifacts,
    pub(crate) registry: Registry,
    pub(crate) keys: Keys,
    pub(crate) region: Region,
    pub(crate) account: AccountId,
    /// Where the drivers keep the agents' output.
    pub(crate) logs_dir: PathBuf,
    pub(crate) authenticator: Arc<Authenticator>,
    pub(crate) tasks: Tasks,
    pub(crate) rates: Arc<ControlRates>,
}

/// An operator who was let in.
#[derive(Debug)]
pub(crate) struct Admitted {
    pub(crate) who: Who,
    /// None: an upload, which is still to be received.
    pub(crate) body: Option<Bytes>,
}

/// The path that all of its routes begin with.
pub(crate) const PREFIX: &str = "/innkeep/v1/";

/// What describes them, as OpenAPI 3.1.
const OPENAPI: &str = include_str!("operator/openapi.json");

impl Operator {
    /// Lets an operator in, and reads what he sends, unless it is large.
    ///
    /// # Errors
    /// Whoever is none.
    pub(crate) async fn admit(&self, parts: &Parts, body: &mut Inbound) -> Result<Admitted, Refused> {
        match find(parts) {
            Some((Operation::UploadArtifact | Operation::UploadLayer, _)) => {
                let claim = self.authenticator.upload_head(parts)?;
                Ok(Admitted { who: claim.who(), body: None })
            }
            _ => {
                let (claim, body) = self.authenticator.small_operator(parts, body).await?;
                Ok(Admitted { who: claim.who(), body: Some(body) })
            }
        }
    }

    /// Answers what an operator asks for in a small body.
    ///
    /// # Cancel safety
    /// Not safe: a change may be left half done.
    pub(crate) async fn perform(&self, parts: &Parts, body: &Bytes) -> Response<Body> {
        self.route(parts, body).await.unwrap_or_else(Refused::into_response)
    }

    /// Answers an upload, which is read to where it goes.
    ///
    /// # Cancel safety
    /// Safe: what is not received whole is removed.
    pub(crate) async fn receive_upload(&self, parts: &Parts, body: &mut Inbound) -> Response<Body> {
        let query = Query::parse(parts.uri.query().unwrap_or_default());
        let received = match find(parts) {
            Some((Operation::UploadLayer, values)) => self.upload_layer(parts, body, first(&values)).await,
            _ => self.upload_artifact(parts, body, &query).await,
        };
        received.unwrap_or_else(Refused::into_response)
    }

    /// Answers `GET /metrics`.
    pub(crate) async fn metrics(&self, parts: &Parts, body: &mut Inbound) -> Response<Body> {
        let asked = self.authenticator.small_operator(parts, body).await;
        asked.map_or_else(Refused::into_response, |_| metrics::answer(&self.registry, &self.gateway, &self.rates))
    }

    async fn route(&self, parts: &Parts, body: &Bytes) -> Result<Response<Body>, Refused> {
        let query = Query::parse(parts.uri.query().unwrap_or_default());
        let no_route =
            || Refused::new(ErrorKind::NotFound, format!("no such route: {} {}", parts.method, parts.uri.path()));
        let (operation, values) = find(parts).ok_or_else(no_route)?;
        let value = first(&values);
        match operation {
            Operation::ListArtifacts => self.list_artifacts().await,
            Operation::RemoveArtifact => self.remove_artifact(value).await,
            Operation::HasLayer => Ok(self.has_layer(value)),
            Operation::ListRuntimes => self.list_runtimes(&query).await,
            Operation::ExplainFailure => self.runtime_failure(value, &query).await,
            Operation::ShowProgress => self.runtime_progress(value).await,
            Operation::ListRequests => self.list_requests(value).await,
            Operation::SplitEndpoint => self.split_endpoint(value, last(&values), body).await,
            Operation::Rollback => self.rollback(value, body).await,
            Operation::DiffVersions => self.diff_versions(value, &query).await,
            Operation::GetSettings => self.get_settings(value, &query).await,
            Operation::PutSettings => Ok(self.put_settings(value, body).await),
            Operation::ListKeys => Ok(self.list_keys()),
            Operation::GetKey => self.get_key(value),
            Operation::CreateKey => self.create_key(body).await,
            Operation::ChangeKey => self.change_key(value, body).await,
            Operation::RotateKey => self.rotate_key(value, body).await,
            Operation::RemoveKey => self.remove_key(value).await,
            Operation::MakeTemporaryKey => self.make_temporary_key(body),
            Operation::Prewarm => self.prewarm(value, body).await,
            Operation::ListPools => Ok(self.list_pools()),
            Operation::ListInvocations => self.list_invocations(&query),
            Operation::ListSessions => self.list_sessions(&query).await,
            Operation::StopSessions => self.stop_sessions(body).await,
            Operation::ReadLogs => self.logs(&query).await,
            Operation::ReadAudit => self.read_audit(&query).await,
            Operation::Describe => Ok(describe()),
            Operation::UploadArtifact | Operation::UploadLayer => Err(no_route()),
            // The gateway's, which answers them before it comes to this.
            Operation::GetInvocation | Operation::CancelInvocation => Err(no_route()),
        }
    }
}

/// Returns the name of what a request below [`PREFIX`] asks for.
pub(crate) fn action(parts: &Parts) -> String {
    find(parts).map_or_else(|| "UnknownOperation".to_owned(), |(operation, _)| format!("{operation:?}"))
}

/// Returns what a request below [`PREFIX`] asks for, and what stands for the segments in braces.
fn find(parts: &Parts) -> Option<(Operation, Vec<&str>)> {
    let path = parts.uri.path().strip_prefix(PREFIX).unwrap_or_default().trim_end_matches('/');
    routes::find(&parts.method, path)
}

/// Returns what stands for the first segment in braces.
fn first<'a>(values: &[&'a str]) -> &'a str {
    values.first().copied().unwrap_or_default()
}

/// Returns what stands for the last one.
fn last<'a>(values: &[&'a str]) -> &'a str {
    values.last().copied().unwrap_or_default()
}

fn describe() -> Response<Body> {
    let mut response = Response::new(respond::full(OPENAPI));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

fn no_content() -> Response<Body> {
    respond::empty(StatusCode::NO_CONTENT)
}
