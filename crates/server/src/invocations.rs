//! Invocations whose callers do not wait: how many there may be, as settings have it, and the task that forgets what is too old.

use std::sync::Arc;
use std::time::Duration;

use innkeep_gateway::{AsyncLimits, Gateway};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::config::Config;

/// How often it is looked for those that are too old. Source: our choice: a minute more, of an hour.
const INTERVAL: Duration = Duration::from_secs(60);

/// Returns the limits that the settings ask for.
pub(crate) fn limits(config: &Config) -> AsyncLimits {
    AsyncLimits {
        timeout: Duration::from_secs(config.async_timeout_secs),
        retention: Duration::from_secs(config.async_retention_secs),
        max_bytes: config.async_max_bytes,
        total_bytes: config.async_total_bytes,
        max_running: config.max_async_running,
        max_kept: config.max_async_kept,
    }
}

/// Forgets what is too old, until the server ends.
pub(crate) async fn keep(gateway: Arc<Gateway>, stopping: CancellationToken) {
    let mut interval = tokio::time::interval(INTERVAL);
    loop {
        tokio::select! {
            _ = interval.tick() => {}
            () = stopping.cancelled() => return,
        }
        if let Err(error) = gateway.sweep_invocations().await {
            warn!(
                error = &*error as &dyn std::error::Error,
                "invocations that are too old could not be removed: {error}"
            );
        }
    }
}
