//! What a server does for itself once an hour: removes the agents' output that is too old.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use innkeep_sandbox::tasks::Tasks;
use innkeep_types::{Clock, UnixMillis};
use tracing::{info, warn};

/// How often.
const INTERVAL: Duration = Duration::from_secs(60 * 60);

/// Runs until the tasks are told to end; the first time at once.
pub(crate) async fn run(logs: PathBuf, retention: Duration, clock: Arc<dyn Clock>, tasks: Tasks) {
    let mut interval = tokio::time::interval(INTERVAL);
    loop {
        tokio::select! {
            _ = interval.tick() => {}
            () = tasks.stopping().cancelled() => return,
        }
        let (logs, now) = (logs.clone(), clock.now());
        let removed = tokio::task::spawn_blocking(move || remove_old(&logs, retention, now)).await;
        match removed {
            Ok(Ok(0)) => {}
            Ok(Ok(removed)) => info!("removed {removed} old logs"),
            Ok(Err(error)) => warn!(%error, "old logs could not be removed"),
            Err(error) => warn!(%error, "old logs could not be removed"),
        }
    }
}

/// Removes the files whose last line is older than `retention`. Returns how many.
fn remove_old(logs: &Path, retention: Duration, now: UnixMillis) -> std::io::Result<usize> {
    let mut removed = 0;
    for entry in std::fs::read_dir(logs)? {
        let entry = entry?;
        let written = entry.metadata()?.modified()?.duration_since(UNIX_EPOCH).unwrap_or_default();
        let written = UnixMillis(i64::try_from(written.as_millis()).unwrap_or(i64::MAX));
        if now.since(written) > retention && std::fs::remove_file(entry.path()).is_ok() {
            removed += 1;
        }
    }
    Ok(removed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_old_logs_are_removed() {
        let dir = tempfile::tempdir().unwrap();
        let day = Duration::from_secs(24 * 60 * 60);
        let now = UnixMillis(1_795_168_800_000);
        for (name, days_ago) in [("old.log", 8), ("new.log", 6)] {
            let file = std::fs::File::create(dir.path().join(name)).unwrap();
            let at = UNIX_EPOCH + Duration::from_millis(now.0.unsigned_abs()) - day * days_ago;
            file.set_modified(at).unwrap();
        }
        assert_eq!(remove_old(dir.path(), day * 7, now).unwrap(), 1);
        assert!(dir.path().join("new.log").exists());
    }
}
