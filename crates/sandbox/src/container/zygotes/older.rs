//! Zygotes of a server before this one: they fork no more, and are kept for as long as their sessions live.
//!
//! What makes a sandbox one of them is where its directory is, which nobody inside has a say in.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use innkeep_protocol::link::{STATE_FILE, SandboxFacts};
use innkeep_types::SandboxId;
use tokio::sync::watch;
use tracing::{debug, warn};

use super::Zygotes;
use super::keeper::{Workshop, forget, stop};
use crate::link::Link;
use crate::local::{Ground, Process, read_facts, remove_tree};
use crate::tasks::Kind;

/// Returns where the directories of zygotes are.
pub(super) fn place(data_dir: &Path) -> PathBuf {
    data_dir.join("zygotes")
}

/// Returns the zygotes that have a directory.
pub(in crate::container) fn found(data_dir: &Path) -> Vec<SandboxId> {
    let entries = fs::read_dir(place(data_dir)).into_iter().flatten().flatten();
    entries.filter_map(|entry| SandboxId::parse(entry.file_name().to_str()?).ok()).collect()
}

/// Removes the directory of a zygote, if `id` is one.
pub(in crate::container) async fn remove(data_dir: &Path, id: &SandboxId) {
    remove_directory(place(data_dir).join(id.as_str())).await;
}

/// Removes a zygote's directory. One that cannot be removed is named in the log, and tried again by the next server.
pub(super) async fn remove_directory(directory: PathBuf) {
    let path = directory.clone();
    let removed = tokio::task::spawn_blocking(move || remove_tree(&path)).await.map_err(io::Error::other).flatten();
    if let Err(error) = removed {
        warn!("directory {} could not be removed: {error}", directory.display());
    }
}

/// Ends the interpreters, removes what is dead, and follows the rest to its end.
pub(in crate::container) async fn retire_older(workshop: &Workshop, zygotes: &Zygotes, data_dir: &Path) {
    for id in found(data_dir) {
        let directory = zygotes.directory.join(id.as_str());
        // One that cannot be understood is dead.
        let facts = read_facts::<SandboxFacts>(&directory, STATE_FILE).ok().flatten();
        let keeper = facts.and_then(|facts| Process::find_sidecar(&facts, &directory).ok().flatten());
        let Some(keeper) = keeper else {
            forget(workshop, &id, &directory).await;
            continue;
        };
        workshop.ground.adopted(&id, &directory);
        let workshop = workshop.clone();
        zygotes.tasks.spawn(Kind::Zygote, async move {
            match Link::connect(&directory, &id).await {
                Ok((link, _, state)) => stop(&link, &watch::Sender::new(state)).await,
                // Its interpreter has ended, and it waits for others.
                Err(error) => debug!(sandbox.id = %id, "zygote {id} from before forks no more: {error}"),
            }
            workshop.outlast(&keeper, &id, &directory).await;
        });
    }
}
