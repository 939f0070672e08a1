//! Room on the file system of the data directory: what images take leaves some for the database, logs and sessions.

use std::io;
use std::os::fd::AsFd;

/// What is left free, bytes. Source: our choice: a database and its backups for a while, and more than what
/// [`crate::store::UNPACKERS`] can write between two looks.
const RESERVE_BYTES: u64 = 256 << 20;

/// How much is written between two looks, bytes.
const STEP_BYTES: u64 = 16 << 20;

/// Counts what is written, and looks now and then whether there is room for it.
#[derive(Debug, Default)]
pub(crate) struct Room {
    unseen: Option<u64>,
}

impl Room {
    /// Counts `bytes` that are about to be written where `file` lies.
    pub(crate) fn take(&mut self, file: impl AsFd, bytes: u64) -> io::Result<()> {
        match &mut self.unseen {
            Some(unseen) if unseen.saturating_add(bytes) < STEP_BYTES => *unseen += bytes,
            unseen => {
                check(file, bytes)?;
                *unseen = Some(0);
            }
        }
        Ok(())
    }
}

/// Fails if `bytes` more, where `file` lies, would leave too little.
pub(crate) fn check(file: impl AsFd, bytes: u64) -> io::Result<()> {
    let found = rustix::fs::fstatvfs(file)?;
    if found.f_bavail.saturating_mul(found.f_frsize) >= RESERVE_BYTES.saturating_add(bytes) {
        return Ok(());
    }
    let text = format!(
        "the file system of the data directory is full, but for {} MiB that are kept free",
        RESERVE_BYTES >> 20
    );
    Err(io::Error::new(io::ErrorKind::StorageFull, text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;

    #[test]
    fn a_full_disk_is_noticed_before_it_is_written_to_and_while() {
        // It has room for nothing.
        let (full, free) = (File::open("/proc").unwrap(), File::open(std::env::temp_dir()).unwrap());
        assert_eq!(Room::default().take(&full, 0).unwrap_err().kind(), io::ErrorKind::StorageFull);
        assert!(check(&free, 1).is_ok() && check(&free, u64::MAX).is_err());
        let mut room = Room::default();
        room.take(&free, 1).unwrap();
        room.take(&full, STEP_BYTES - 1).unwrap();
        assert!(room.take(&full, 1).is_err());
    }
}
