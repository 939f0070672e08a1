//! The operator API: artifacts, layers, runtimes as operators see them, sessions.

use std::fs::File;
use std::time::Duration;

use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Method, StatusCode};
use innkeep_protocol::operator::{RuntimeList, SessionList, StopSessions, StoppedSessions, UploadedArtifact};
use innkeep_types::{EndpointName, RuntimeId, RuntimeName, SessionId};
use serde::Deserialize;

use crate::body::Payload;
use crate::client::{Call, Client, encode, with_query};
use crate::error::Error;

/// Time for an upload: the server installs a project's dependencies before it answers. Source: our choice.
const UPLOAD_TIMEOUT: Duration = Duration::from_secs(15 * 60);

/// What an uploaded zip is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UploadKind {
    /// A finished code zip: dependencies are inside.
    Zip,
    /// A project folder, zipped: dependencies are installed by the server, unless a layer brings them.
    Project {
        /// Fingerprint of the layer.
        layer: Option<String>,
    },
}

/// Which sessions to list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SessionQuery {
    /// Of one runtime only.
    pub runtime: Option<RuntimeId>,
    /// Of one endpoint only.
    pub endpoint: Option<EndpointName>,
    /// One session id only; it may exist on several endpoints.
    pub session: Option<SessionId>,
    /// Of one state only: one of `protocol::operator::SESSION_STATES`.
    pub state: Option<&'static str>,
    /// Whether to list stopped ones too.
    pub all: bool,
    /// Whether to say what the agents' processes use.
    pub usage: bool,
}

/// Why a runtime's newest version failed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Failure {
    /// The reason that the API shows.
    pub failure_reason: Option<String>,
    /// The agent's last log lines, oldest first.
    pub log_tail: Vec<String>,
}

impl Client {
    /// Uploads a zip; returns what to put into `codeConfiguration`. A project's dependencies are installed meanwhile.
    pub async fn upload_artifact(&self, zip: File, kind: &UploadKind) -> Result<UploadedArtifact, Error> {
        let (kind, layer) = match kind {
            UploadKind::Zip => ("zip", None),
            UploadKind::Project { layer } => ("project", layer.as_deref()),
        };
        let target = with_query("/innkeep/v1/artifacts", &[("kind", Some(kind)), ("layer", layer)]);
        self.json(zip_call(Method::POST, target, zip)).await
    }

    /// Tells whether the server has the layer.
    pub async fn has_layer(&self, fingerprint: &str) -> Result<bool, Error> {
        match self.send(Call::new(Method::HEAD, layer_target(fingerprint))).await {
            Ok(_) => Ok(true),
            Err(Error::Service { status: StatusCode::NOT_FOUND, .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Uploads a layer: the contents of a `site-packages`, zipped.
    pub async fn upload_layer(&self, fingerprint: &str, zip: File) -> Result<(), Error> {
        self.send(zip_call(Method::PUT, layer_target(fingerprint), zip)).await.map(drop)
    }

    /// Returns all runtimes, or the one called `name`.
    pub async fn runtimes(&self, name: Option<&RuntimeName>) -> Result<RuntimeList, Error> {
        let target = with_query("/innkeep/v1/runtimes", &[("name", name.map(RuntimeName::as_str))]);
        self.json(Call::new(Method::GET, target)).await
    }

    /// Returns why the newest version of `runtime` failed.
    pub async fn failure(&self, runtime: &RuntimeId) -> Result<Failure, Error> {
        self.json(Call::new(Method::GET, format!("/innkeep/v1/runtimes/{}/failure", encode(runtime.as_str())))).await
    }

    /// Returns sessions, newest first. Looking never starts or extends one.
    pub async fn sessions(&self, query: &SessionQuery) -> Result<SessionList, Error> {
        let target = with_query(
            "/innkeep/v1/sessions",
            &[
                ("runtime", query.runtime.as_ref().map(RuntimeId::as_str)),
                ("endpoint", query.endpoint.as_ref().map(EndpointName::as_str)),
                ("session", query.session.as_ref().map(SessionId::as_str)),
                ("state", query.state),
                ("all", query.all.then_some("true")),
                ("usage", query.usage.then_some("true")),
            ],
        );
        self.json(Call::new(Method::GET, target)).await
    }

    /// Ends sessions; returns which ones were told to end.
    pub async fn stop_sessions(&self, which: &StopSessions) -> Result<StoppedSessions, Error> {
        self.json(Call::new(Method::POST, "/innkeep/v1/sessions/stop").json(which)?).await
    }
}

fn zip_call(method: Method, target: String, zip: File) -> Call {
    let mut call = Call::new(method, target);
    call.headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/zip"));
    call.payload = Payload::File(zip);
    call.timeout = UPLOAD_TIMEOUT;
    call
}

fn layer_target(fingerprint: &str) -> String {
    format!("/innkeep/v1/layers/{}", encode(fingerprint))
}
