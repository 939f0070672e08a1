//! The agent under development: deployed when its content has changed, asked, and rid of the versions it leaves behind.

use std::time::Duration;

use http::HeaderValue;
use innkeep_protocol::operator::{SessionView, StopSessions};
use innkeep_sdk::{Client, Invocation, SessionQuery};
use innkeep_types::{EndpointName, RuntimeId, RuntimeName, RuntimeVersion, SessionId, limits};

use crate::failure::{Code, Failure};
use crate::invoke;
use crate::output::Output;
use crate::publish::{self, Plan, Published, Steps};
use crate::source::{Package, Source};

use super::access::Access;

/// The session that PROMPT is asked in.
const SESSION: &str = "dev";

/// Between attempts to end sessions that were busy when their version was replaced.
const FIRST_RETRY: Duration = Duration::from_millis(50);
const LONGEST_RETRY: Duration = Duration::from_secs(1);

/// The agent under development.
#[derive(Debug)]
pub(super) struct Agent {
    pub(super) client: Client,
    pub(super) access: Access,
    out: Output,
    source: Source,
    plan: Plan,
    /// What serves.
    current: Option<(RuntimeId, RuntimeVersion)>,
    /// The content that was deployed last, well or not.
    seen: Option<Content>,
    /// Versions of this run that no longer serve and may still have sessions.
    superseded: Vec<RuntimeVersion>,
}

/// The digests of a project and of its packages.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Content {
    project: [u8; 32],
    layer: Option<String>,
}

impl Agent {
    pub(super) fn new(client: Client, access: Access, out: Output, source: Source, name: RuntimeName) -> Self {
        let plan = Plan { authorizer: access.authorizer.clone(), ..Plan::new(name) };
        Self { client, access, out, source, plan, current: None, seen: None, superseded: Vec::new() }
    }

    /// Has it spoken to in this protocol; none: as before.
    pub(super) fn speaking(mut self, protocol: Option<String>) -> Self {
        self.plan.protocol = protocol;
        self
    }

    /// Deploys what the folder holds; `None` if that is what was deployed last.
    pub(super) async fn deploy(&mut self) -> Result<Option<Published>, Failure> {
        let steps = Steps::new(self.out);
        let package = self.source.package().await?;
        if let Package::Project { packed, layer } = &package {
            let fingerprint = layer.as_ref().map(|layer| layer.fingerprint.clone());
            let content = Content { project: packed.digest, layer: fingerprint };
            if self.seen.as_ref() == Some(&content) {
                return Ok(None);
            }
            self.seen = Some(content);
        }
        let mut published = publish::publish(&self.client, package, &self.plan, steps).await?;
        if let Some((_, before)) = self.current.replace((published.id.clone(), published.version)) {
            // Those in between failed.
            let older = std::iter::successors(Some(before), |version| version.next());
            self.superseded.extend(older.take_while(|version| *version < published.version));
        }
        published.notes.extend(self.access.note());
        Ok(Some(published))
    }

    pub(super) async fn ask(&self, prompt: &str) -> Result<(), Failure> {
        let Some((runtime, _)) = &self.current else { return Ok(()) };
        let session = SessionId::from_short(SESSION).ok_or_else(|| Failure::new(Code::Failed, "no session name"))?;
        let invocation = Invocation {
            runtime: runtime.clone(),
            endpoint: EndpointName::default_endpoint(),
            session,
            content_type: HeaderValue::from_static("application/json"),
            headers: self.access.headers()?,
            payload: invoke::prompt_payload(prompt),
            timeout: limits::SYNC_REQUEST_TIMEOUT,
        };
        invoke::invoke(&self.client, self.out, invocation, false).await
    }

    /// Ends the sessions of versions that no longer serve, as they fall idle, and deletes those versions of this run that
    /// nothing uses any more. Returns when no such session is left.
    ///
    /// # Cancel safety
    /// What is left undone is done by the next call.
    pub(super) async fn retire(&mut self) -> Result<(), Failure> {
        let Some((runtime, version)) = self.current.clone() else { return Ok(()) };
        let older = StopSessions {
            runtime_id: runtime.clone(),
            // The only endpoint that follows: sessions of the others keep what was promised to them.
            endpoint: Some(EndpointName::default_endpoint()),
            session_id: None,
            only_idle: true,
            keep_version: Some(version),
            kill: false,
            reload: true,
        };
        let query = SessionQuery { runtime: Some(runtime.clone()), ..SessionQuery::default() };
        let mut pause = FIRST_RETRY;
        loop {
            self.client.stop_sessions(&older).await?;
            let live = self.client.sessions(&query).await?.sessions;
            let mut i = 0;
            while let Some(old) = self.superseded.get(i).copied() {
                let in_use = live.iter().any(|session| session.version == old);
                if in_use || self.client.delete_runtime(&runtime, Some(old)).await.is_err() {
                    i += 1;
                } else {
                    self.superseded.remove(i);
                }
            }
            let follows = |session: &SessionView| session.endpoint.is_default();
            if live.iter().all(|session| session.version == version || !follows(session)) {
                return Ok(());
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_RETRY);
        }
    }
}
