//! Blocks of host user and group ids, one per sandbox: what breaks out of one is still nobody to all others.
//!
//! The record of what is taken is the sandbox's directory: it belongs to the sidecar's id of its block.

use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::os::unix::fs::{MetadataExt, chown};
use std::path::Path;

use innkeep_protocol::walls::{IDS, SIDECAR_ID};
use parking_lot::Mutex;

/// The first id of the first block. Source: beyond what systemd gives to containers (524288 to 1879048191) and to users.
const FIRST: u32 = 0x7000_0000;

/// How many blocks there are, up to what systemd keeps for foreign file systems (2147352576), which is just below the largest id that
/// every program takes for positive.
const BLOCKS: u32 = (0x7FFE_0000 - FIRST) / IDS;

/// All ids of all blocks, from the first to before the last.
pub(super) const ALL: (u32, u32) = (FIRST, FIRST + BLOCKS * IDS);

/// The blocks that are in use.
#[derive(Debug, Default)]
pub(super) struct Ids {
    taken: Mutex<HashSet<u32>>,
}

impl Ids {
    /// Takes a block at random, because other servers on this host take from the same ones; none if all are taken.
    pub(super) fn take(&self) -> Option<u32> {
        let mut taken = self.taken.lock();
        // What the standard library seeds its hashes with.
        let random = RandomState::new().hash_one(()) % u64::from(BLOCKS);
        let start = u32::try_from(random).unwrap_or(0);
        let mut blocks = (0..BLOCKS).map(|n| FIRST + (start + n) % BLOCKS * IDS);
        blocks.find(|&first| taken.insert(first))
    }

    /// Gives `path` to the sidecar of the block that begins with `first`.
    pub(super) fn own(path: &Path, first: u32) -> io::Result<()> {
        chown(path, Some(first + SIDECAR_ID), Some(first + SIDECAR_ID))
    }

    /// Takes note of the block that a sandbox's directory belongs to.
    pub(super) fn note(&self, directory: &Path) {
        self.taken.lock().extend(block(directory));
    }

    /// Gives the block back that begins with `first`.
    pub(super) fn put_back(&self, first: u32) {
        self.taken.lock().remove(&first);
    }

    /// Gives the block back that a sandbox's directory belongs to.
    pub(super) fn give_back(&self, directory: &Path) {
        if let Some(first) = block(directory) {
            self.put_back(first);
        }
    }
}

/// Returns the first id of the block that a sandbox's directory belongs to.
fn block(directory: &Path) -> Option<u32> {
    directory.metadata().ok().and_then(|found| first_of(found.uid()))
}

fn first_of(id: u32) -> Option<u32> {
    id.checked_sub(FIRST).map(|above| FIRST + above / IDS * IDS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_block_is_taken_twice_until_all_are() {
        let ids = Ids::default();
        let taken: HashSet<u32> = std::iter::from_fn(|| ids.take()).collect();
        assert_eq!(taken.len(), usize::try_from(BLOCKS).unwrap());
        assert!(taken.iter().all(|&first| first >= FIRST && first.checked_add(IDS).is_some()));
        assert!(taken.iter().all(|&first| i32::try_from(first + IDS - 1).is_ok()));
    }

    #[test]
    fn every_id_of_a_block_names_it() {
        for id in [FIRST, FIRST + 1, FIRST + SIDECAR_ID] {
            assert_eq!(first_of(id), Some(FIRST));
        }
        assert_eq!(first_of(FIRST + IDS), Some(FIRST + IDS));
        assert_eq!((first_of(0), first_of(FIRST - 1)), (None, None));
    }
}
