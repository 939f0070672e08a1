//! The audit log as a file of JSON lines, for what ships logs elsewhere. Opened anew for each batch, so that it may be moved away.

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use innkeep_protocol::operator::audit::AuditEntry;
use innkeep_types::AuditEvent;

/// A file that lines are appended to.
#[derive(Debug)]
pub(super) struct File(PathBuf);

impl File {
    /// Returns the file, which is made for its owner only if it is not there.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        append(path).map(|_| Self(path.to_owned()))
    }

    /// Appends a line for each event.
    pub(super) async fn append(&self, events: Vec<AuditEvent>) -> io::Result<()> {
        let path = self.0.clone();
        let write = move || {
            let mut lines = Vec::new();
            for event in events {
                serde_json::to_writer(&mut lines, &AuditEntry::from(event))?;
                lines.push(b'\n');
            }
            append(&path)?.write_all(&lines)
        };
        tokio::task::spawn_blocking(write).await.map_err(io::Error::other)?
    }
}

fn append(path: &Path) -> io::Result<fs::File> {
    fs::OpenOptions::new().append(true).create(true).mode(0o600).open(path)
}
