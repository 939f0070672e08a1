//! The data directory: found, created, locked; and the two small files in it that commands read.
//!
//! ```text
//! innkeep.db, secret.key     the store's
//! artifacts/                 the artifact store's
//! sandboxes/, logs/          the driver's
//! credentials                the server's own access key, AWS shared-credentials format, 0600
//! operator-token             the operator's bearer token, 0600
//! ca.key, ca.pem             the certificate authority of `tls = "auto"`, 0600
//! dev-issuer.json            the dev issuer's key, if there was one, 0600
//! server.json                where the running server listens
//! lock                       held by the running server; holds its pid
//! ```

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use innkeep_auth::{DevIssuer, OperatorToken};
use innkeep_protocol::operator::ServerFile;
use rustix::fs::{FlockOperation, flock};
use rustix::process::{Pid, test_kill_process};

/// Why the data directory could not be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file system refused something.
    #[error("could not {what} {path}")]
    Io {
        /// `create`, `lock`, …
        what: &'static str,
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The operator's token cannot be used.
    #[error("{0} holds no token of 64 hexadecimal digits; remove it, and the next start makes a new one")]
    Token(PathBuf),
    /// The dev issuer's key cannot be used.
    #[error("{0} holds no key of a dev issuer; remove it, and the next start makes a new one")]
    DevIssuer(PathBuf),
    /// Another server holds the lock.
    #[error("another server (pid {pid}) is using {path}; stop it, or give this one its own --data-dir")]
    InUse {
        /// The directory.
        path: PathBuf,
        /// The other server.
        pid: String,
    },
}

/// Where the operator's token is.
const TOKEN: &str = "operator-token";

/// Where the dev issuer's key is.
pub const DEV_ISSUER: &str = "dev-issuer.json";

/// How long a server that was killed may still seem to hold the lock: what it was about to start has it until it is the other program.
/// Source: our choice; measured: milliseconds.
const RELEASE: Duration = Duration::from_secs(5);

/// The kernel does not tell when a lock of a process that ended is free.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// The locked data directory of a running server. Dropping it removes `server.json` and gives up the lock.
#[derive(Debug)]
pub(crate) struct DataDir {
    path: PathBuf,
    _lock: File,
}

impl DataDir {
    /// Creates the directory (0700) if need be and locks it. Blocks for a moment if the server before it was killed just now.
    pub(crate) fn lock(path: &Path) -> Result<Self, Error> {
        let failed = |what, path: &Path| {
            let path = path.to_owned();
            move |source| Error::Io { what, path, source }
        };
        fs::DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(failed("create", path))?;
        let path = path.canonicalize().map_err(failed("find", path))?;
        let lock_path = path.join("lock");
        let mut lock = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&lock_path)
            .map_err(failed("open", &lock_path))?;
        let mut waited = Duration::ZERO;
        while flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err() {
            let mut pid = String::new();
            let _ = lock.rewind().and_then(|()| lock.read_to_string(&mut pid));
            if is_alive(pid.trim()) || waited >= RELEASE {
                return Err(Error::InUse { path, pid: pid.trim().to_owned() });
            }
            thread::sleep(LOOK_AGAIN);
            waited += LOOK_AGAIN;
        }
        let write_pid = |lock: &mut File| -> io::Result<()> {
            lock.set_len(0)?;
            lock.rewind()?;
            writeln!(lock, "{}", std::process::id())
        };
        write_pid(&mut lock).map_err(failed("write", &lock_path))?;
        Ok(Self { path, _lock: lock })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Writes `server.json`, so that commands find this server.
    pub(crate) fn write_server_file(&self, file: &ServerFile) -> Result<(), Error> {
        let json = serde_json::to_vec(file).expect("a struct of strings and numbers is always JSON");
        write_private(&self.path, "server.json", &json)
    }

    /// Returns the operator's bearer token, made at the first start.
    pub(crate) fn operator_token(&self) -> Result<OperatorToken, Error> {
        let path = self.path.join(TOKEN);
        match fs::read_to_string(&path) {
            Ok(text) => OperatorToken::parse(text.trim()).ok_or(Error::Token(path)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let mut random = [0_u8; 32];
                getrandom::fill(&mut random).map_err(|e| Error::Io {
                    what: "make",
                    path,
                    source: io::Error::other(e),
                })?;
                let token = OperatorToken::new(random);
                write_private(&self.path, TOKEN, format!("{}\n", token.reveal()).as_bytes())?;
                Ok(token)
            }
            Err(source) => Err(Error::Io { what: "read", path, source }),
        }
    }

    /// Returns the dev issuer of the server at `url`; its key is made at the first start that has one. Commands sign with it.
    pub(crate) fn dev_issuer(&self, url: &str) -> Result<DevIssuer, Error> {
        let path = self.path.join(DEV_ISSUER);
        let issuer = match fs::read_to_string(&path) {
            Ok(text) => DevIssuer::parse(&text).map_err(|_| Error::DevIssuer(path))?.at(url),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let random = |error| Error::Io { what: "make", path, source: io::Error::other(error) };
                DevIssuer::generate(url).map_err(random)?
            }
            Err(source) => return Err(Error::Io { what: "read", path, source }),
        };
        write_private(&self.path, DEV_ISSUER, issuer.to_text().as_bytes())?;
        Ok(issuer)
    }
}

/// Whether there is a process of this number; also if that cannot be told.
fn is_alive(pid: &str) -> bool {
    let Some(pid) = pid.parse().ok().and_then(Pid::from_raw) else { return true };
    test_kill_process(pid) != Err(rustix::io::Errno::SRCH)
}

/// Replaces a file of mode 0600 in one step.
pub(crate) fn write_private(directory: &Path, name: &str, content: &[u8]) -> Result<(), Error> {
    let (path, temporary) = (directory.join(name), directory.join(format!(".{name}.new")));
    let write = || -> io::Result<()> {
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
        file.write_all(content)?;
        file.sync_all()?;
        fs::rename(&temporary, &path)
    };
    write().map_err(|source| Error::Io { what: "write", path: path.clone(), source })
}

impl Drop for DataDir {
    fn drop(&mut self) {
        let _ = fs::remove_file(self.path.join("server.json"));
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::process::Command;

    use super::*;

    #[test]
    fn a_second_server_on_the_directory_is_told_the_first_ones_pid() {
        let dir = tempfile::tempdir().unwrap();
        let first = DataDir::lock(dir.path()).unwrap();
        let refused = DataDir::lock(dir.path()).unwrap_err().to_string();
        assert!(refused.contains(&format!("pid {}", std::process::id())), "{refused}");
        drop(first);
        DataDir::lock(dir.path()).unwrap();
    }

    #[test]
    fn a_child_that_a_killed_server_was_about_to_start_is_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let mut gone = Command::new("true").spawn().unwrap();
        gone.wait().unwrap();
        let mut lock = File::create(dir.path().join("lock")).unwrap();
        writeln!(lock, "{}", gone.id()).unwrap();
        flock(&lock, FlockOperation::NonBlockingLockExclusive).unwrap();
        let mut child = Command::new("sleep").arg("0.2").stdin(lock).spawn().unwrap();
        DataDir::lock(dir.path()).unwrap();
        child.wait().unwrap();
    }

    #[test]
    fn the_operators_token_is_made_once_and_is_its_owners_only() {
        let dir = tempfile::tempdir().unwrap();
        let data = DataDir::lock(dir.path()).unwrap();
        let path = data.path().join(TOKEN);
        let first = data.operator_token().unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(data.operator_token().unwrap().reveal(), first.reveal());
        assert_eq!(fs::read_to_string(&path).unwrap(), format!("{}\n", first.reveal()));
        fs::write(&path, "guess me").unwrap();
        assert!(matches!(data.operator_token(), Err(Error::Token(_))));
    }

    #[test]
    fn the_dev_issuers_key_is_made_once_is_its_owners_only_and_follows_the_server() {
        let dir = tempfile::tempdir().unwrap();
        let data = DataDir::lock(dir.path()).unwrap();
        let first = data.dev_issuer("http://127.0.0.1:1").unwrap();
        let path = data.path().join(DEV_ISSUER);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        let second = data.dev_issuer("http://127.0.0.1:2").unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(first.key_set(), second.key_set());
        let kept = DevIssuer::parse(&fs::read_to_string(&path).unwrap()).unwrap();
        assert_eq!(kept.issuer(), "http://127.0.0.1:2/innkeep/dev-issuer");
        fs::write(&path, "guess me").unwrap();
        assert!(matches!(data.dev_issuer("http://127.0.0.1:2"), Err(Error::DevIssuer(_))));
    }
}
