//! The file of an answer: written by one, read by many, at any place.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use innkeep_types::InvocationId;
use tokio::task::spawn_blocking;

/// Bytes that are read at once, and held in memory for a reader. Source: our choice.
const PIECE_BYTES: usize = 32 << 10;

/// An answer that is being written.
#[derive(Debug)]
pub(crate) struct Sink {
    path: PathBuf,
    /// Made with the first byte.
    file: Option<File>,
}

impl Sink {
    pub(crate) fn new(directory: &Path, id: &InvocationId) -> Self {
        Self { path: directory.join(id.as_str()), file: None }
    }

    pub(crate) async fn append(mut self, data: Bytes) -> io::Result<Self> {
        blocking(move || {
            let mut file = match self.file.take() {
                Some(file) => file,
                None => OpenOptions::new().append(true).create_new(true).mode(0o600).open(&self.path)?,
            };
            file.write_all(&data)?;
            self.file = Some(file);
            Ok(self)
        })
        .await
    }

    /// Returns once all of it outlives the host's loss of power.
    pub(crate) async fn sync(self) -> io::Result<()> {
        match self.file {
            Some(file) => blocking(move || file.sync_data()).await,
            None => Ok(()),
        }
    }
}

/// An answer that is read, also while it is written.
#[derive(Debug)]
pub(crate) struct Source {
    path: PathBuf,
    file: Option<Arc<File>>,
}

impl Source {
    pub(crate) fn new(directory: &Path, id: &InvocationId) -> Self {
        Self { path: directory.join(id.as_str()), file: None }
    }

    /// Returns some bytes from `at` on, which is before `end`; no fewer than one.
    pub(crate) async fn read(&mut self, at: u64, end: u64) -> io::Result<Bytes> {
        let len = usize::try_from(end - at).unwrap_or(usize::MAX).min(PIECE_BYTES);
        let (path, file) = (self.path.clone(), self.file.clone());
        let (file, data) = blocking(move || {
            let file = file.map_or_else(|| File::open(path).map(Arc::new), Ok)?;
            let mut data = vec![0; len];
            file.read_exact_at(&mut data, at)?;
            Ok((file, data))
        })
        .await?;
        self.file = Some(file);
        Ok(data.into())
    }
}

/// Removes answers, as far as they have files.
pub(crate) async fn remove(directory: &Path, ids: Vec<InvocationId>) -> io::Result<()> {
    let directory = directory.to_owned();
    blocking(move || {
        ids.iter().try_for_each(|id| match std::fs::remove_file(directory.join(id.as_str())) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        })
    })
    .await
}

/// Returns the names and lengths of all files in `directory`, which is made if it is not there.
pub(crate) async fn list(directory: &Path) -> io::Result<Vec<(String, u64)>> {
    let directory = directory.to_owned();
    blocking(move || {
        DirBuilder::new().recursive(true).mode(0o700).create(&directory)?;
        let of = |entry: io::Result<std::fs::DirEntry>| {
            let entry = entry?;
            Ok((entry.file_name().to_string_lossy().into_owned(), entry.metadata()?.len()))
        };
        std::fs::read_dir(&directory)?.map(of).collect()
    })
    .await
}

/// Removes a file of `directory` that is nobody's.
pub(crate) async fn remove_stray(directory: &Path, name: &str) -> io::Result<()> {
    let path = directory.join(name);
    blocking(move || std::fs::remove_file(path)).await
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    spawn_blocking(work).await.map_err(io::Error::other).flatten()
}
