//! One compressed layer, from a registry to a file, in as many requests as it takes: what is here already is not asked for again,
//! not even after the server was killed, if the registry answers requests for a range.

use std::fs;
use std::io::{self, Read};
use std::path::Path;

use ring::digest::{Context, SHA256};
use tokio::fs::File;
use tokio::io::{AsyncSeekExt, AsyncWriteExt};

use crate::image::Problem;
use crate::image::layer::Source;
use crate::image::manifest::Descriptor;
use crate::image::progress::Layer;
use crate::image::registry::Registry;
use crate::retry::Retry;
use crate::store::{Store, run_blocking};
use crate::{digest, home, room};
use innkeep_types::ArtifactDigest;

/// A file that is being filled.
struct Partial {
    file: File,
    /// How much it holds.
    bytes: u64,
    /// Of all that it holds.
    digest: Context,
}

/// Returns the content that `descriptor` names, with its turn: another image may give its digest another size, and would begin anew.
pub(crate) async fn blob(
    store: &Store,
    registry: &Registry<'_>,
    descriptor: &Descriptor,
    progress: &Layer,
) -> Result<Source, Problem> {
    let place = store.home.blob(&descriptor.digest);
    let turn = store.flights.enter(place.to_string_lossy().as_ref()).await;
    let what = format!("layer sha256:{}", descriptor.digest);
    let mut partial = Partial::open(&place, descriptor.size).await?;
    let resumed = partial.bytes > 0;
    if partial.bytes > descriptor.size {
        partial.restart().await?;
    }
    fill(&mut partial, registry, descriptor, progress, &what).await?;
    if resumed && partial.found() != descriptor.digest {
        // What lay here may be what a crash of the host left.
        partial.restart().await?;
        fill(&mut partial, registry, descriptor, progress, &what).await?;
    }
    let found = partial.found();
    if found != descriptor.digest {
        drop(partial);
        tokio::fs::remove_file(&place).await?;
        return Err(Problem::Digest { what, expected: descriptor.digest.clone(), found });
    }
    Ok(Source { file: partial.file.into_std().await, offset: 0, bytes: descriptor.size, turn: Some(turn) })
}

/// Removes what was pulled, once it is unpacked.
pub(crate) async fn forget(store: &Store, digest: &ArtifactDigest) {
    let place = store.home.blob(digest);
    let _turn = store.flights.enter(place.to_string_lossy().as_ref()).await;
    match tokio::fs::remove_file(&place).await {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            tracing::warn!(path = %place.display(), "cannot remove {}: {error}", place.display());
        }
        _ => {}
    }
}

async fn fill(
    partial: &mut Partial,
    registry: &Registry<'_>,
    descriptor: &Descriptor,
    progress: &Layer,
    what: &str,
) -> Result<(), Problem> {
    let mut retry = Retry::default();
    while partial.bytes < descriptor.size {
        let before = partial.bytes;
        let (from, mut body) = registry.blob(&descriptor.digest, before, what).await?;
        if from != before {
            partial.restart().await?;
        }
        let broken = loop {
            match body.chunk().await {
                Ok(Some(chunk)) => {
                    let found = partial.bytes + chunk.len() as u64;
                    if found > descriptor.size {
                        partial.restart().await?;
                        return Err(Problem::Size { what: what.to_owned(), expected: descriptor.size, found });
                    }
                    partial.append(&chunk).await?;
                    progress.has(partial.bytes);
                }
                Ok(None) => break None,
                Err(error) => break Some(error),
            }
        };
        partial.file.flush().await?;
        if partial.bytes > before {
            retry = Retry::default();
        }
        let is_whole = partial.bytes == descriptor.size;
        match broken {
            _ if is_whole => {}
            Some(error) if !error.may_pass() || !retry.again().await => return Err(registry.unreachable(what, error)),
            Some(_) => {}
            // A registry may end an answer early without saying so.
            None if !retry.again().await => {
                return Err(Problem::Size { what: what.to_owned(), expected: descriptor.size, found: partial.bytes });
            }
            None => {}
        }
    }
    Ok(())
}

impl Partial {
    /// Opens what is here already of `size` bytes, if there is room for the rest.
    async fn open(place: &Path, size: u64) -> Result<Self, Problem> {
        let path = place.to_owned();
        let (file, digest, bytes) = run_blocking(move || {
            let mut file = fs::File::options().read(true).append(true).create(true).open(&path)?;
            home::touch(&path);
            let (mut digest, mut bytes, mut buffer) = (Context::new(&SHA256), 0, vec![0; 1 << 20]);
            loop {
                match file.read(&mut buffer)? {
                    0 => {
                        room::check(&file, size.saturating_sub(bytes))?;
                        return Ok::<_, io::Error>((file, digest, bytes));
                    }
                    n => {
                        digest.update(buffer.get(..n).unwrap_or_default());
                        bytes += n as u64;
                    }
                }
            }
        })
        .await??;
        Ok(Self { file: File::from_std(file), bytes, digest })
    }

    async fn append(&mut self, chunk: &[u8]) -> Result<(), Problem> {
        // A chunk is what one read of the socket gave: below a millisecond of hashing.
        self.digest.update(chunk);
        self.file.write_all(chunk).await?;
        self.bytes += chunk.len() as u64;
        Ok(())
    }

    async fn restart(&mut self) -> Result<(), Problem> {
        self.file.flush().await?;
        self.file.set_len(0).await?;
        self.file.rewind().await?;
        (self.bytes, self.digest) = (0, Context::new(&SHA256));
        Ok(())
    }

    fn found(&self) -> ArtifactDigest {
        digest::spell(self.digest.clone().finish())
    }
}
