//! A project folder, watched: tells that something an agent is made of has changed, once things are quiet again.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::mpsc;

use crate::failure::Failure;
use crate::pack::Contents;

/// Quiet time after which a change is reported: editors write a file in several steps.
const QUIET: Duration = Duration::from_millis(50);

/// A watched folder.
#[derive(Debug)]
pub(crate) struct Watch {
    root: PathBuf,
    watcher: RecommendedWatcher,
    /// One folder each, because watching recursively would watch `.git`, `.venv` and `target` too.
    watched: HashSet<PathBuf>,
    changed_rx: mpsc::Receiver<()>,
}

impl Watch {
    pub(crate) fn new(root: &Path) -> Result<Self, Failure> {
        // One place: a change that finds it taken has been announced already.
        let (changed_tx, changed_rx) = mpsc::channel(1);
        let within = root.to_owned();
        let watcher = notify::recommended_watcher(move |event: notify::Result<Event>| {
            if event.map_or(true, |event| matters(&within, &event)) {
                let _ = changed_tx.try_send(());
            }
        });
        let watcher = watcher.map_err(|e| cannot_watch(root, &e))?;
        let mut watch = Self { root: root.to_owned(), watcher, watched: HashSet::new(), changed_rx };
        watch.refresh()?;
        Ok(watch)
    }

    /// Returns when something has changed since the last time, and nothing more has for [`QUIET`].
    ///
    /// # Cancel safety
    /// A change that was announced is not announced again when this is dropped and called once more.
    pub(crate) async fn changed(&mut self) -> Result<(), Failure> {
        if self.changed_rx.recv().await.is_none() {
            // The watcher's thread is gone; so are its news.
            std::future::pending::<()>().await;
        }
        while tokio::time::timeout(QUIET, self.changed_rx.recv()).await.is_ok_and(|more| more.is_some()) {}
        self.refresh()
    }

    /// Watches folders that are new, and forgets those that are gone.
    fn refresh(&mut self) -> Result<(), Failure> {
        let folders =
            Contents::Project.walk(&self.root).filter_map(Result::ok).filter(|entry| entry.file_type().is_dir());
        let now: HashSet<_> = folders.map(walkdir::DirEntry::into_path).chain([self.root.clone()]).collect();
        self.watched.retain(|folder| now.contains(folder));
        for folder in now {
            if !self.watched.contains(&folder) {
                match self.watcher.watch(&folder, RecursiveMode::NonRecursive) {
                    Ok(()) => _ = self.watched.insert(folder),
                    // Gone again since the walk.
                    Err(notify::Error { kind: notify::ErrorKind::PathNotFound, .. }) => {}
                    Err(error) => return Err(cannot_watch(&folder, &error)),
                }
            }
        }
        Ok(())
    }
}

/// Tells whether an event is about something that would be deployed.
fn matters(root: &Path, event: &Event) -> bool {
    let kept = |path: &PathBuf| {
        let inside = path.strip_prefix(root).unwrap_or(path);
        !inside.iter().any(|name| Contents::Project.skips(name))
    };
    !matches!(event.kind, EventKind::Access(_)) && (event.paths.is_empty() || event.paths.iter().any(kept))
}

fn cannot_watch(folder: &Path, error: &notify::Error) -> Failure {
    let failure = Failure::io(format!("cannot watch {}", folder.display()), &std::io::Error::other(error.to_string()));
    match error.kind {
        notify::ErrorKind::MaxFilesWatch => {
            failure.with_fix("raise the limit: sysctl fs.inotify.max_user_watches=524288")
        }
        _ => failure,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn announced(watch: &mut Watch) -> bool {
        tokio::time::timeout(Duration::from_millis(500), watch.changed()).await.is_ok()
    }

    #[tokio::test]
    async fn edits_are_announced_and_what_is_left_out_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str| std::fs::write(dir.path().join(name), "x").unwrap();
        std::fs::create_dir_all(dir.path().join(".venv/lib")).unwrap();
        let mut watch = Watch::new(dir.path()).unwrap();

        write("main.py");
        assert!(announced(&mut watch).await);
        write(".venv/lib/a.py");
        write("a.pyc");
        write(".env");
        std::fs::read(dir.path().join("main.py")).unwrap();
        assert!(!announced(&mut watch).await);

        std::fs::create_dir(dir.path().join("lib")).unwrap();
        assert!(announced(&mut watch).await);
        write("lib/new.py");
        assert!(announced(&mut watch).await, "a folder made later is watched too");
    }
}
