//! The operator API: runtimes as operators see them, settings, splits, sessions. Artifacts: `artifacts.rs`; logs: `logs.rs`.

use http::Method;
use innkeep_protocol::control::AgentRuntimeAccepted;
use innkeep_protocol::operator::pools::{PoolList, Prewarm, Prewarmed};
use innkeep_protocol::operator::{
    EndpointView, ProgressView, Rollback, RuntimeList, SessionList, SplitEndpoint, StopSessions, StoppedSessions,
};
use innkeep_types::{EndpointName, RuntimeId, RuntimeName, RuntimeVersion, SessionId, Settings};
use serde::Deserialize;

use crate::client::{Call, Client, encode, with_query};
use crate::control::Document;
use crate::error::Error;

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
    /// Returns all runtimes, or the one called `name`.
    pub async fn runtimes(&self, name: Option<&RuntimeName>) -> Result<RuntimeList, Error> {
        let target = with_query("/innkeep/v1/runtimes", &[("name", name.map(RuntimeName::as_str))]);
        self.json(Call::new(Method::GET, target)).await
    }

    /// Returns why the newest version of `runtime` failed.
    pub async fn failure(&self, runtime: &RuntimeId) -> Result<Failure, Error> {
        self.json(Call::new(Method::GET, runtime_target(runtime, "failure"))).await
    }

    /// Returns Innkeep's own settings of one version, or of the newest.
    pub async fn settings(&self, runtime: &RuntimeId, version: Option<RuntimeVersion>) -> Result<Settings, Error> {
        let version = version.map(|version| version.to_string());
        let target = with_query(&runtime_target(runtime, "settings"), &[("version", version.as_deref())]);
        self.json(Call::new(Method::GET, target)).await
    }

    /// Shares an endpoint's new sessions out among versions; running sessions stay with theirs.
    pub async fn split_endpoint(
        &self,
        runtime: &RuntimeId,
        endpoint: &EndpointName,
        split: &SplitEndpoint,
    ) -> Result<EndpointView, Error> {
        let target = runtime_target(runtime, &format!("endpoints/{}/split", encode(endpoint.as_str())));
        self.json(Call::new(Method::PUT, target).json(split)?).await
    }

    /// Makes an older version serve as `DEFAULT` again: a copy of it becomes the newest. Returns what the server accepted.
    pub async fn rollback(
        &self,
        runtime: &RuntimeId,
        version: Option<RuntimeVersion>,
    ) -> Result<AgentRuntimeAccepted, Error> {
        let asked = Rollback { version, endpoint: None };
        self.json(Call::new(Method::POST, runtime_target(runtime, "rollback")).json(&asked)?).await
    }

    /// Moves a named endpoint back to an older version; returns what the server accepted.
    pub async fn rollback_endpoint(
        &self,
        runtime: &RuntimeId,
        endpoint: &EndpointName,
        version: Option<RuntimeVersion>,
    ) -> Result<Document, Error> {
        let asked = Rollback { version, endpoint: Some(endpoint.clone()) };
        self.json(Call::new(Method::POST, runtime_target(runtime, "rollback")).json(&asked)?).await
    }

    /// Returns the sandboxes that wait for sessions.
    pub async fn pools(&self) -> Result<PoolList, Error> {
        self.json(Call::new(Method::GET, "/innkeep/v1/pools")).await
    }

    /// Starts a session before its first request, or sandboxes that wait for sessions; returns before they are ready.
    pub async fn prewarm(&self, runtime: &RuntimeId, asked: &Prewarm) -> Result<Prewarmed, Error> {
        self.json(Call::new(Method::POST, runtime_target(runtime, "prewarm")).json(asked)?).await
    }

    /// Returns how far the pull of the newest version's image is.
    pub async fn progress(&self, runtime: &RuntimeId) -> Result<ProgressView, Error> {
        self.json(Call::new(Method::GET, runtime_target(runtime, "progress"))).await
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

fn runtime_target(runtime: &RuntimeId, what: &str) -> String {
    format!("/innkeep/v1/runtimes/{}/{what}", encode(runtime.as_str()))
}
