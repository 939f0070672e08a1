//! The sealing key's file: `secret.key` in the data directory, 64 hexadecimal digits and a newline, 0600.
//!
//! Knows nothing of the database.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ring::rand::{SecureRandom as _, SystemRandom};

/// Bytes of a key.
pub(crate) const KEY_BYTES: usize = 32;

const FILE: &str = "secret.key";

/// Why the sealing key cannot be used.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// The database holds sealed values, and the key that opens them is gone.
    #[error("secret key {} is missing, and the database holds values sealed with it: restore it from a backup", .0.display())]
    Missing(PathBuf),
    /// Others may read the key.
    #[error("secret key {} can be read by others (mode {mode:04o}): run `chmod 600 {}`", path.display(), path.display())]
    Exposed {
        /// The key's file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The file is not a key.
    #[error("secret key {} is damaged (expected 64 hexadecimal digits): restore it from a backup", .0.display())]
    Malformed(PathBuf),
    /// The key is not the one that sealed the database's values.
    #[error("secret key {} is not the one that this database was sealed with: restore the two together", .0.display())]
    Wrong(PathBuf),
    /// The file system refused.
    #[error("cannot {doing} secret key {}", path.display())]
    Io {
        /// What was attempted: `create` or `read`.
        doing: &'static str,
        /// The key's file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: Arc<io::Error>,
    },
}

/// Returns the path of the key in `data_dir`.
pub(crate) fn path(data_dir: &Path) -> PathBuf {
    data_dir.join(FILE)
}

/// Returns the key in `data_dir`.
pub(crate) fn load(data_dir: &Path) -> Result<[u8; KEY_BYTES], Error> {
    let path = path(data_dir);
    let io = |source: io::Error| match source.kind() {
        io::ErrorKind::NotFound => Error::Missing(path.clone()),
        _ => Error::Io { doing: "read", path: path.clone(), source: Arc::new(source) },
    };
    let file = File::open(&path).map_err(io)?;
    let mode = file.metadata().map_err(io)?.permissions().mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(Error::Exposed { path, mode });
    }
    let mut text = Vec::new();
    file.take(1024).read_to_end(&mut text).map_err(io)?;
    parse(text.trim_ascii()).ok_or(Error::Malformed(path))
}

/// Returns the key in `data_dir`, a fresh one if there is none.
pub(crate) fn load_or_create(data_dir: &Path) -> Result<[u8; KEY_BYTES], Error> {
    match load(data_dir) {
        Err(Error::Missing(path)) => {
            create(data_dir).map_err(|source| Error::Io { doing: "create", path, source: Arc::new(source) })?;
            load(data_dir)
        }
        result => result,
    }
}

/// Writes a fresh key under another name and links it into place: a crash leaves a whole key or none, and of two
/// programs that create one at the same time both use the one that was first.
fn create(data_dir: &Path) -> io::Result<()> {
    let draft = data_dir.join(format!("{FILE}.{}", hex(&random::<8>()?)));
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft)?;
    file.write_all(format!("{}\n", hex(&random::<KEY_BYTES>()?)).as_bytes())?;
    file.sync_all()?;
    let linked = fs::hard_link(&draft, path(data_dir));
    fs::remove_file(&draft)?;
    match linked {
        Err(e) if e.kind() != io::ErrorKind::AlreadyExists => Err(e),
        _ => File::open(data_dir)?.sync_all(),
    }
}

fn random<const N: usize>() -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    SystemRandom::new().fill(&mut bytes).map_err(|_| io::Error::other("the system has no random numbers"))?;
    Ok(bytes)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

fn parse(text: &[u8]) -> Option<[u8; KEY_BYTES]> {
    let mut key = [0; KEY_BYTES];
    if text.len() != 2 * KEY_BYTES {
        return None;
    }
    for (byte, digits) in key.iter_mut().zip(text.chunks_exact(2)) {
        let digit = |d: u8| char::from(d).to_digit(16).and_then(|d| u8::try_from(d).ok());
        *byte = match digits {
            [high, low] => digit(*high)? << 4 | digit(*low)?,
            _ => return None,
        };
    }
    Some(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_created_once_and_only_for_its_owner() {
        let dir = tempfile::tempdir().unwrap();
        let key = load_or_create(dir.path()).unwrap();
        assert_eq!(load_or_create(dir.path()).unwrap(), key);
        assert_eq!(fs::metadata(path(dir.path())).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "no draft is left");
    }

    #[test]
    fn of_two_creations_the_first_counts() {
        let dir = tempfile::tempdir().unwrap();
        let key = load_or_create(dir.path()).unwrap();
        create(dir.path()).unwrap();
        assert_eq!(load(dir.path()).unwrap(), key);
    }

    #[test]
    fn an_exposed_key_is_refused_with_the_command_that_helps() {
        let dir = tempfile::tempdir().unwrap();
        load_or_create(dir.path()).unwrap();
        for mode in [0o640, 0o604, 0o660, 0o610] {
            fs::set_permissions(path(dir.path()), fs::Permissions::from_mode(mode)).unwrap();
            let message = load_or_create(dir.path()).unwrap_err().to_string();
            assert!(message.contains(&format!("{mode:04o}")) && message.contains("chmod 600 "), "{message}");
        }
    }

    #[test]
    fn what_is_no_key_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        load_or_create(dir.path()).unwrap();
        for bad in ["", "00", &"g".repeat(64), &"0".repeat(65), &"+0".repeat(32)] {
            fs::write(path(dir.path()), bad).unwrap();
            assert!(matches!(load_or_create(dir.path()), Err(Error::Malformed(_))), "{bad:?}");
        }
    }
}
