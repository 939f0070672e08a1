//! What is deployed: `GET runtimes`, `GET runtimes/{id}/failure?endpoint=`.

use http::Response;
use innkeep_protocol::operator::{ProgressView, PullView, RuntimeList, RuntimeView};
use innkeep_store::VersionRecord;
use innkeep_types::{EndpointName, ErrorKind, RuntimeArn, RuntimeId, RuntimeName};
use serde_json::json;

use crate::operator::query::Query;
use crate::operator::{Operator, endpoints};
use crate::respond::{self, Body, Refused};

/// Runtimes read from the store at a time.
const PAGE: u32 = 100;

impl Operator {
    pub(crate) async fn list_runtimes(&self, query: &Query) -> Result<Response<Body>, Refused> {
        let failed = |e: innkeep_store::Error| Refused::internal(&e);
        let versions = match query.parsed::<RuntimeName>("name")? {
            Some(name) => match self.store.find_runtime(&name).await.map_err(failed)? {
                Some(runtime) => self.store.get_version(&runtime.id, None).await.map_err(failed)?.into_iter().collect(),
                None => Vec::new(),
            },
            None => self.every_runtime().await?,
        };
        let mut runtimes = Vec::with_capacity(versions.len());
        for version in versions {
            runtimes.push(self.runtime_view(version).await?);
        }
        runtimes.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(respond::json(200, &RuntimeList { runtimes }))
    }

    /// Why the newest version failed, or the last move of a named endpoint, with the agent's last log lines.
    pub(crate) async fn runtime_failure(&self, id: &str, query: &Query) -> Result<Response<Body>, Refused> {
        let version = self.newest_version(id).await?;
        let (reason, log) = match query.parsed::<EndpointName>("endpoint")? {
            Some(name) if !name.is_default() => {
                let found =
                    self.store.get_endpoint(&version.runtime, &name).await.map_err(|e| Refused::internal(&e))?;
                let missing = || innkeep_store::Error::NoEndpoint(version.runtime.clone(), name.clone()).to_string();
                let found = found.ok_or_else(|| Refused::new(ErrorKind::NotFound, missing()))?;
                (found.failure_reason, found.failure_log)
            }
            _ => (version.failure_reason, version.failure_log),
        };
        Ok(respond::json(200, &json!({"failureReason": reason, "logTail": log})))
    }

    /// How far the pull of the newest version's image is.
    pub(crate) async fn runtime_progress(&self, id: &str) -> Result<Response<Body>, Refused> {
        let version = self.newest_version(id).await?;
        let pull = self.artifacts.progress(&version.config.artifact).map(|progress| PullView {
            layers: progress.layers,
            layers_done: progress.layers_done,
            bytes: progress.bytes,
            bytes_done: progress.bytes_done,
        });
        Ok(respond::json(200, &ProgressView { pull }))
    }

    pub(super) async fn newest_version(&self, id: &str) -> Result<VersionRecord, Refused> {
        let id = RuntimeId::parse(id).map_err(|e| Refused::new(ErrorKind::Validation, e.to_string()))?;
        let version = self.store.get_version(&id, None).await.map_err(|e| Refused::internal(&e))?;
        let missing = || Refused::new(ErrorKind::NotFound, format!("agent runtime {id} does not exist"));
        version.ok_or_else(missing)
    }

    async fn every_runtime(&self) -> Result<Vec<VersionRecord>, Refused> {
        let (mut all, mut after) = (Vec::new(), None);
        loop {
            let page = self.store.list_runtimes(after.take(), PAGE).await.map_err(|e| Refused::internal(&e))?;
            after = page.last().map(|v| (v.created_at, v.runtime.clone()));
            let last = page.len() < PAGE as usize;
            all.extend(page);
            if last {
                return Ok(all);
            }
        }
    }

    async fn runtime_view(&self, version: VersionRecord) -> Result<RuntimeView, Refused> {
        let endpoints = self.store.list_endpoints(&version.runtime).await.map_err(|e| Refused::internal(&e))?;
        let live = self.registry.list().iter().filter(|s| s.key.runtime == version.runtime).count();
        let arn = RuntimeArn::new(self.region.clone(), self.account.clone(), version.runtime.clone());
        Ok(RuntimeView {
            name: version.name,
            id: version.runtime,
            arn: arn.to_string(),
            status: version.status,
            latest_version: version.version,
            failure_reason: version.failure_reason,
            ignored: version.config.ignored().into_iter().map(str::to_owned).collect(),
            settings: version.settings,
            endpoints: endpoints.into_iter().map(endpoints::view).collect(),
            live_sessions: u32::try_from(live).unwrap_or(u32::MAX),
            last_updated_at: version.updated_at.to_string(),
        })
    }
}
