//! The sidecar's executable, which `build.rs` made and this crate carries.

use std::fs::{self, File, Permissions};
use std::io::{self, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;

use rustix::fs::{MemfdFlags, SealFlags};
use tokio::process::Command;

/// Its content.
pub(crate) const SIDECAR: &[u8] = include_bytes!(env!("INNKEEP_SIDECAR_BIN"));

/// The sidecar as something that can be executed.
#[derive(Debug, Clone)]
pub(crate) struct Executable {
    path: PathBuf,
    /// What `path` names, if it is not in a file system.
    _memory: Option<Arc<OwnedFd>>,
}

impl Executable {
    /// Puts the sidecar into sealed memory: no mount option stands in the way, no process of our user can change it, and no
    /// older file can be taken for it. Where the kernel refuses to execute memory (`vm.memfd_noexec=2`) it goes into `bin`.
    pub(crate) fn new(bin: &Path) -> io::Result<Self> {
        match sealed_memory() {
            Ok(memory) => {
                let path = PathBuf::from(format!("/proc/self/fd/{}", memory.as_raw_fd()));
                Ok(Self { path, _memory: Some(Arc::new(memory)) })
            }
            Err(_) => Ok(Self { path: file(bin)?, _memory: None }),
        }
    }

    /// Returns the command that runs it in `mode`, which ends with its handle: told over its standard input, it answers on its output.
    pub(crate) fn command(&self, mode: &str) -> Command {
        let mut command = Command::new(&self.path);
        command.arg0("innkeep-sidecar").arg(mode).env_clear().current_dir("/");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).kill_on_drop(true);
        command
    }
}

fn sealed_memory() -> io::Result<OwnedFd> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let memory = match rustix::fs::memfd_create("innkeep-sidecar", flags | MemfdFlags::EXEC) {
        // Before Linux 6.3 there is no such flag, and memory is executable.
        Err(rustix::io::Errno::INVAL) => rustix::fs::memfd_create("innkeep-sidecar", flags)?,
        made => made?,
    };
    let mut memory = File::from(memory);
    memory.write_all(SIDECAR)?;
    let seals = SealFlags::SEAL | SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE;
    rustix::fs::fcntl_add_seals(&memory, seals)?;
    Ok(memory.into())
}

fn file(bin: &Path) -> io::Result<PathBuf> {
    let path = bin.join("innkeep-sidecar");
    if fs::read(&path).ok().as_deref() != Some(SIDECAR) {
        fs::create_dir_all(bin)?;
        let new = bin.join(format!("innkeep-sidecar.{}", std::process::id()));
        fs::write(&new, SIDECAR)?;
        fs::set_permissions(&new, Permissions::from_mode(0o555))?;
        fs::rename(&new, &path)?;
    }
    Ok(path)
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    /// Without a mode the sidecar exits with status 2.
    fn runs(path: &Path) -> bool {
        Command::new(path).status().unwrap().code() == Some(2)
    }

    #[test]
    fn the_sidecar_runs_from_memory_that_nobody_can_change() {
        let memory = sealed_memory().unwrap();
        let path = format!("/proc/self/fd/{}", memory.as_raw_fd());
        assert!(runs(Path::new(&path)));
        assert!(fs::write(&path, b"other").is_err());
    }

    #[test]
    fn the_file_is_replaced_when_it_is_not_ours() {
        let bin = tempfile::tempdir().unwrap();
        fs::write(bin.path().join("innkeep-sidecar"), b"older").unwrap();
        assert!(runs(&file(bin.path()).unwrap()));
    }

    #[test]
    #[expect(clippy::print_stdout, reason = "says why it is skipped")]
    fn the_sidecar_runs_in_an_empty_root() {
        if !rustix::process::geteuid().is_root() {
            println!("skipped: only root may chroot");
            return;
        }
        let root = tempfile::tempdir().unwrap();
        fs::copy(file(&root.path().join("bin")).unwrap(), root.path().join("sidecar")).unwrap();
        fs::remove_dir_all(root.path().join("bin")).unwrap();
        let status = Command::new("/usr/sbin/chroot").arg(root.path()).arg("/sidecar").status().unwrap();
        assert_eq!(status.code(), Some(2));
    }
}
