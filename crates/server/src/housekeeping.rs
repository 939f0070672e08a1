//! What a server does for itself once an hour: removes the agents' output and the records of sessions
//! that are too old, and artifacts that nobody needs.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use innkeep_artifacts::Artifacts;
use innkeep_protocol::link::LOG_FILE;
use innkeep_sandbox::remove_tree;
use innkeep_sandbox::tasks::Tasks;
use innkeep_store::Store;
use innkeep_types::{Clock, UnixMillis};
use tracing::{info, warn};

/// How often.
const INTERVAL: Duration = Duration::from_secs(60 * 60);

/// For how long an artifact that no version names is kept: it may be about to be deployed.
const UNUSED_ARTIFACTS: Duration = Duration::from_secs(60 * 60);

/// What there is to keep in order.
#[derive(Debug)]
pub(crate) struct Housekeeping {
    pub(crate) logs: PathBuf,
    /// For how long an agent's output is kept.
    pub(crate) log_retention: Duration,
    /// For how long it is known of a session that has ended.
    pub(crate) session_retention: Duration,
    /// For how long the audit log is kept.
    pub(crate) audit_retention: Duration,
    pub(crate) store: Store,
    pub(crate) artifacts: Artifacts,
    pub(crate) clock: Arc<dyn Clock>,
}

impl Housekeeping {
    /// Runs until the tasks are told to end; the first time at once.
    pub(crate) async fn run(self, tasks: Tasks) {
        let mut interval = tokio::time::interval(INTERVAL);
        loop {
            tokio::select! {
                _ = interval.tick() => {}
                () = tasks.stopping().cancelled() => return,
            }
            let work = async {
                report("old logs", self.remove_logs().await);
                report("records of sessions that ended long ago", self.remove_sessions().await);
                report("old audit events", self.remove_audit().await);
                report("artifacts that nobody needs", self.remove_artifacts().await);
            };
            tokio::select! {
                () = work => {}
                () = tasks.stopping().cancelled() => return,
            }
        }
    }

    async fn remove_logs(&self) -> Result<usize, Error> {
        let (logs, retention, now) = (self.logs.clone(), self.log_retention, self.clock.now());
        let removed = tokio::task::spawn_blocking(move || remove_old(&logs, retention, now));
        let removed = removed.await.map_err(io::Error::other).flatten()?;
        self.store.forget_sandboxes(before(now, retention)).await?;
        Ok(removed)
    }

    async fn remove_sessions(&self) -> Result<usize, Error> {
        Ok(self.store.forget_sessions(before(self.clock.now(), self.session_retention)).await?)
    }

    async fn remove_audit(&self) -> Result<usize, Error> {
        Ok(self.store.forget_audit(before(self.clock.now(), self.audit_retention)).await?)
    }

    async fn remove_artifacts(&self) -> Result<usize, Error> {
        // Taken first: what is used from now on is younger.
        let used_since = before(self.clock.now(), UNUSED_ARTIFACTS);
        let deployed = self.store.deployed().await?;
        let in_use = deployed.into_iter().map(|version| (version.artifact, version.bundle)).collect();
        Ok(self.artifacts.retain(in_use, used_since).await?)
    }
}

/// Why something could not be removed; the next hour tries again.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("the log directory could not be read")]
    Logs(#[from] io::Error),
    #[error("the store could not be asked")]
    Store(#[from] innkeep_store::Error),
    #[error("the artifact store could not be tidied")]
    Artifacts(#[from] innkeep_artifacts::Error),
}

fn report(what: &str, removed: Result<usize, Error>) {
    match removed {
        Ok(0) => {}
        Ok(removed) => info!("removed {removed} {what}"),
        Err(error) => warn!(error = &error as &dyn std::error::Error, "{what} could not be removed"),
    }
}

fn before(now: UnixMillis, age: Duration) -> UnixMillis {
    UnixMillis(now.0.saturating_sub(i64::try_from(age.as_millis()).unwrap_or(i64::MAX)))
}

/// Removes the output of sandboxes whose last line is older than `retention`. Returns of how many.
fn remove_old(logs: &Path, retention: Duration, now: UnixMillis) -> io::Result<usize> {
    let mut removed = 0;
    for entry in std::fs::read_dir(logs)? {
        let entry = entry?;
        // A sandbox that never said anything has a directory only. The sandbox's ids own it: no link in it is followed.
        let last = std::fs::symlink_metadata(entry.path().join(LOG_FILE)).or_else(|_| entry.metadata())?;
        let written = last.modified()?.duration_since(UNIX_EPOCH).unwrap_or_default();
        let written = UnixMillis(i64::try_from(written.as_millis()).unwrap_or(i64::MAX));
        if now.since(written) > retention && remove_tree(&entry.path()).is_ok() {
            removed += 1;
        }
    }
    Ok(removed)
}

#[cfg(test)]
mod tests {
    use innkeep_artifacts::Kind;
    use innkeep_types::SystemClock;

    use super::*;

    #[test]
    fn only_old_logs_are_removed() {
        let dir = tempfile::tempdir().unwrap();
        let day = Duration::from_secs(24 * 60 * 60);
        let now = UnixMillis(1_795_168_800_000);
        for (name, days_ago) in [("old", 8), ("new", 6)] {
            std::fs::create_dir(dir.path().join(name)).unwrap();
            let file = std::fs::File::create(dir.path().join(name).join(LOG_FILE)).unwrap();
            let at = UNIX_EPOCH + Duration::from_millis(now.0.unsigned_abs()) - day * days_ago;
            file.set_modified(at).unwrap();
        }
        assert_eq!(remove_old(dir.path(), day * 7, now).unwrap(), 1);
        assert!(dir.path().join("new").exists() && !dir.path().join("old").exists());
    }

    #[test]
    fn a_link_in_place_of_a_log_keeps_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let (logs, young) = (dir.path().join("logs"), dir.path().join("young"));
        std::fs::create_dir_all(logs.join("linked")).unwrap();
        std::os::unix::fs::symlink(&young, logs.join("linked").join(LOG_FILE)).unwrap();
        let day = Duration::from_secs(24 * 60 * 60);
        let now = SystemClock.now().plus(day * 8);
        let at = UNIX_EPOCH + Duration::from_millis(now.0.unsigned_abs());
        std::fs::File::create(&young).unwrap().set_modified(at).unwrap();
        assert_eq!(remove_old(&logs, day * 7, now).unwrap(), 1);
        assert!(young.exists() && !logs.join("linked").exists());
    }

    /// A clock that is ahead of the time that files get.
    #[derive(Debug)]
    struct Ahead(Duration);

    impl Clock for Ahead {
        fn now(&self) -> UnixMillis {
            SystemClock.now().plus(self.0)
        }
    }

    #[tokio::test]
    async fn an_upload_that_no_version_names_goes_after_an_hour() {
        let dir = tempfile::tempdir().unwrap();
        let artifacts = Artifacts::open(dir.path(), innkeep_artifacts::Options::default()).unwrap();
        let upload = artifacts.upload_file().unwrap();
        // The least that is a zip: one without files.
        std::fs::write(upload.path(), [b"PK\x05\x06".as_slice(), &[0; 18]].concat()).unwrap();
        artifacts.add(upload, Kind::Zip).await.unwrap();
        let store = Store::open(dir.path()).await.unwrap();
        let removed = async |ahead| {
            let housekeeping = Housekeeping {
                logs: dir.path().join("logs"),
                log_retention: Duration::ZERO,
                session_retention: Duration::ZERO,
                audit_retention: Duration::ZERO,
                store: store.clone(),
                artifacts: artifacts.clone(),
                clock: Arc::new(Ahead(Duration::from_secs(ahead))),
            };
            housekeeping.remove_artifacts().await.unwrap()
        };
        assert_eq!((removed(59 * 60).await, removed(61 * 60).await), (0, 2));
    }
}
