//! What a sidecar or its launcher left in the sandbox's directory. The directory is the sandbox's own: what is read there is hostile
//! until checked.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::OFlags;
use serde::de::DeserializeOwned;

/// The most that is read of one file, bytes. An exit with its log lines is 20 KiB, six times that in the worst spelling.
const MAX_FACTS: u64 = 256 << 10;

/// Opens a file in a directory that is a sandbox's own: follows no link, waits for nobody, and takes nothing but a file.
pub fn open_own(path: &Path) -> io::Result<File> {
    let flags = i32::try_from((OFlags::NOFOLLOW | OFlags::NONBLOCK).bits()).map_err(io::Error::other)?;
    let file = File::options().read(true).custom_flags(flags).open(path)?;
    if file.metadata()?.is_file() { Ok(file) } else { Err(io::ErrorKind::InvalidData.into()) }
}

/// Returns what is written in `name`; none if there is nothing.
pub(crate) fn read<T: DeserializeOwned>(directory: &Path, name: &str) -> io::Result<Option<T>> {
    let file = match open_own(&directory.join(name)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened?,
    };
    let mut json = Vec::new();
    file.take(MAX_FACTS).read_to_end(&mut json)?;
    Ok(Some(serde_json::from_slice(&json)?))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use rustix::fs::{CWD, FileType, Mode, mknodat};

    use super::*;

    #[test]
    fn only_a_file_of_its_own_is_read_and_only_so_much() {
        let directory = tempfile::tempdir().unwrap();
        let place = |name: &str| directory.path().join(name);
        fs::write(place("good"), "[1, 2]").unwrap();
        assert_eq!(read::<Vec<u8>>(directory.path(), "good").unwrap(), Some(vec![1, 2]));
        assert_eq!(read::<Vec<u8>>(directory.path(), "absent").unwrap(), None);
        symlink(place("good"), place("link")).unwrap();
        mknodat(CWD, place("pipe"), FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        fs::create_dir(place("directory")).unwrap();
        let long = usize::try_from(MAX_FACTS).unwrap();
        fs::write(place("long"), format!("[1{}]", " ".repeat(long))).unwrap();
        for name in ["link", "pipe", "directory", "long"] {
            assert!(read::<Vec<u8>>(directory.path(), name).is_err(), "{name}");
        }
    }
}
