//! Splits of endpoints: `PUT runtimes/{id}/endpoints/{name}/split`.

use std::collections::BTreeMap;

use http::Response;
use innkeep_protocol::operator::{EndpointView, SplitEndpoint};
use innkeep_store::EndpointRecord;
use innkeep_types::limits::{MAX_SPLIT_VERSIONS, MAX_SPLIT_WEIGHT};
use innkeep_types::{EndpointName, ErrorKind, RuntimeId, RuntimeStatus, RuntimeVersion};

use crate::operator::{Operator, body};
use crate::respond::{self, Body, Refused};

impl Operator {
    /// Shares a named endpoint's new sessions out among versions.
    pub(crate) async fn split_endpoint(
        &self,
        runtime: &str,
        endpoint: &str,
        body: &[u8],
    ) -> Result<Response<Body>, Refused> {
        let runtime = RuntimeId::parse(runtime).map_err(|e| invalid(e.to_string()))?;
        let name = EndpointName::parse(endpoint).map_err(|e| invalid(e.to_string()))?;
        let weights = weights(body)?;
        self.make_present(&runtime, &weights).await?;
        let now = self.authenticator.signatures.clock.now();
        let split = self.store.split_endpoint(&runtime, &name, weights, now).await.map_err(refused)?;
        tracing::info!(runtime.id = %runtime, "endpoint {name} of {runtime} serves {}", shares(&split));
        Ok(respond::json(200, &view(split)))
    }

    /// Makes the bundles of what is to serve present on this host. What is not there or not READY is the store's to refuse.
    async fn make_present(&self, runtime: &RuntimeId, weights: &BTreeMap<RuntimeVersion, u32>) -> Result<(), Refused> {
        for (version, _) in weights.iter().filter(|(_, weight)| **weight > 0) {
            let found = self.store.get_version(runtime, Some(*version)).await.map_err(refused)?;
            let Some(found) = found.filter(|found| found.status == RuntimeStatus::Ready) else { continue };
            let Some(digest) = found.bundle.filter(|digest| self.artifacts.bundle(digest).is_err()) else { continue };
            self.artifacts.restore(&found.config.artifact, &digest).await.map_err(|error| {
                tracing::warn!(runtime.id = %runtime, error = &error as &dyn std::error::Error,
                    "version {version} of {runtime} cannot be run on this host");
                let message =
                    format!("version {version} of agent runtime {runtime} cannot be run on this host: {error}");
                Refused::new(ErrorKind::Conflict, message)
            })?;
        }
        Ok(())
    }
}

/// Shows an endpoint.
pub(super) fn view(endpoint: EndpointRecord) -> EndpointView {
    EndpointView {
        name: endpoint.name,
        live_version: endpoint.live,
        target_version: endpoint.target,
        split: endpoint.split,
        status: endpoint.status,
    }
}

fn weights(body: &[u8]) -> Result<BTreeMap<RuntimeVersion, u32>, Refused> {
    let SplitEndpoint { weights } = body::read(body)?;
    if weights.len() > MAX_SPLIT_VERSIONS {
        return Err(invalid(format!("weights: at most {MAX_SPLIT_VERSIONS} versions share an endpoint")));
    }
    if let Some((version, weight)) = weights.iter().find(|(_, weight)| **weight > MAX_SPLIT_WEIGHT) {
        return Err(invalid(format!("weights.{version}: {weight} is more than {MAX_SPLIT_WEIGHT}")));
    }
    Ok(weights)
}

/// Says for the log who serves: `7=90 8=10`, or `7`.
fn shares(endpoint: &EndpointRecord) -> String {
    match (endpoint.split.is_empty(), endpoint.live) {
        (true, Some(live)) => live.to_string(),
        _ => endpoint.split.iter().map(|(version, weight)| format!("{version}={weight}")).collect::<Vec<_>>().join(" "),
    }
}

fn invalid(message: String) -> Refused {
    Refused::new(ErrorKind::Validation, message)
}

fn refused(error: innkeep_store::Error) -> Refused {
    match error.kind() {
        ErrorKind::Internal | ErrorKind::Unavailable => Refused::internal(&error),
        kind => Refused::new(kind, error.to_string()),
    }
}
