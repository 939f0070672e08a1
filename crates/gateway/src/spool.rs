//! A request's body, read whole before the agent sees a byte of it, because its signature covers it: in memory while it is
//! small and there is room, else in a file that has no name and vanishes with its last user. Its SHA-256 is computed on the way.
//! Both rooms, in memory and on disk, are bounded for all requests together: whoever knows the name of a key can send bodies.

mod body;
mod buffer;
mod room;

use std::fs::{File, OpenOptions};
use std::io::{self, Seek, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::Body;
use innkeep_auth::{Digest, digest};
use innkeep_types::limits;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use crate::config::Limits;
use crate::error::{BoxError, Error};
use buffer::Buffer;

pub(crate) use room::{Room, Share};

pub(crate) use body::SpooledBody;

/// The most that is hashed on an async worker, bytes: some 50 µs without SHA instructions. Source: our choice.
const INLINE_HASH_BYTES: usize = 64 << 10;

/// A file is written, and read back, in pieces of this many bytes. Source: our choice.
const PIECE_BYTES: usize = 256 << 10;

/// Where bodies wait for their verification; clones share the room.
#[derive(Debug, Clone)]
pub(crate) struct Spool {
    directory: PathBuf,
    max_body_bytes: u64,
    stall_timeout: Duration,
    memory: Arc<Room>,
    files: Arc<Room>,
}

/// A body that was read whole.
#[derive(Debug)]
pub(crate) struct Spooled {
    /// Its SHA-256.
    pub(crate) digest: [u8; 32],
    /// Its length, bytes.
    pub(crate) len: u64,
    content: Content,
}

#[derive(Debug)]
enum Content {
    Memory(Bytes),
    /// Rewound; with the buffer that it came through.
    File {
        file: File,
        buffer: Buffer,
        share: Share,
    },
}

impl Spool {
    /// Returns a spool whose files lie in `directory`.
    pub(crate) fn new(directory: PathBuf, limits: &Limits) -> Self {
        Self {
            directory,
            max_body_bytes: limits.max_body_bytes,
            stall_timeout: limits.body_stall_timeout,
            memory: Room::new(limits.spool_memory_total_bytes),
            files: Room::new(limits.spool_total_bytes),
        }
    }

    /// Reads a body to its end. What claims to be too large is refused before it is asked for; what lies is cut short.
    pub(crate) async fn take<B>(&self, body: &mut B) -> Result<Spooled, Error>
    where
        B: Body<Data = Bytes> + Unpin,
        B::Error: Into<BoxError>,
    {
        let hint = body.size_hint();
        let too_large = || Error::BodyTooLarge(self.max_body_bytes);
        if hint.lower() > self.max_body_bytes {
            return Err(too_large());
        }
        let announced = usize::try_from(hint.lower()).unwrap_or(usize::MAX);
        let is_large = announced > limits::SPOOL_MEMORY_BYTES;
        let mut buffer = Buffer::new(&self.memory, announced);
        let mut overflow: Option<Overflow> = None;
        let mut len = 0u64;
        while let Some(frame) =
            timeout(self.stall_timeout, body.frame()).await.map_err(|_| Error::BodyStalled(self.stall_timeout))?
        {
            // Trailers carry nothing that the agent could get.
            let Ok(mut data) = frame.map_err(|e| Error::BodyBroken(e.into()))?.into_data() else { continue };
            len += data.len() as u64;
            if len > self.max_body_bytes {
                return Err(too_large());
            }
            loop {
                // What will not stay in memory is not collected there first.
                let in_pieces = is_large || overflow.is_some();
                buffer.fill(&mut data, if in_pieces { PIECE_BYTES } else { limits::SPOOL_MEMORY_BYTES });
                if data.is_empty() {
                    break;
                }
                let file = match overflow {
                    Some(file) => file,
                    None => self.overflow().await?,
                };
                let (file, emptied) = file.append(buffer).await?;
                (overflow, buffer) = (Some(file), emptied);
            }
        }
        match overflow {
            None => {
                let data = buffer.into_bytes();
                let digest = hash(data.clone()).await?;
                Ok(Spooled { digest, len, content: Content::Memory(data) })
            }
            Some(file) => {
                let (file, buffer) = file.append(buffer).await?;
                file.finish(len, buffer).await
            }
        }
    }

    async fn overflow(&self) -> Result<Overflow, Error> {
        let directory = self.directory.clone();
        let file = blocking(move || nameless_file(&directory)).await?;
        let share = Share::of(&self.files);
        Ok(Overflow { file, digest: Digest::new(), share })
    }
}

/// The part of a body that did not fit into memory.
struct Overflow {
    file: File,
    digest: Digest,
    share: Share,
}

impl Overflow {
    /// Writes what is in the buffer, and gives it back empty.
    async fn append(mut self, mut buffer: Buffer) -> Result<(Self, Buffer), Error> {
        if !self.share.try_grow(buffer.bytes().len() as u64) {
            return Err(Error::SpoolFull);
        }
        blocking(move || {
            self.digest.update(buffer.bytes());
            self.file.write_all(buffer.bytes())?;
            buffer.reset(PIECE_BYTES);
            Ok((self, buffer))
        })
        .await
    }

    async fn finish(self, len: u64, buffer: Buffer) -> Result<Spooled, Error> {
        let Self { mut file, digest, share } = self;
        let file = blocking(move || file.rewind().map(|()| file)).await?;
        Ok(Spooled { digest: digest.finish(), len, content: Content::File { file, buffer, share } })
    }
}

/// Returns a file in `directory` that nothing else can open.
fn nameless_file(directory: &Path) -> io::Result<File> {
    // Not O_TMPFILE, which some file systems lack.
    let path = directory.join(format!("body-{}", uuid::Uuid::new_v4().simple()));
    let file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&path)?;
    std::fs::remove_file(&path)?;
    Ok(file)
}

async fn hash(data: Bytes) -> Result<[u8; 32], Error> {
    if data.len() <= INLINE_HASH_BYTES { Ok(digest(&data)) } else { blocking(move || Ok(digest(&data))).await }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> Result<T, Error> {
    spawn_blocking(work).await.map_err(io::Error::other).flatten().map_err(Error::Spool)
}

impl Spooled {
    /// Returns what stayed in memory, all of it or nothing; shares its room.
    pub(crate) fn in_memory(&self) -> Option<Bytes> {
        match &self.content {
            Content::Memory(data) => Some(data.clone()),
            Content::File { .. } => None,
        }
    }

    /// Returns its first bytes, `most` of them, or all.
    pub(crate) async fn beginning(&self, most: usize) -> Result<Bytes, Error> {
        match &self.content {
            Content::Memory(data) => Ok(data.slice(..data.len().min(most))),
            Content::File { file, .. } => {
                let file = file.try_clone().map_err(Error::Spool)?;
                let n_bytes = usize::try_from(self.len).unwrap_or(most).min(most);
                blocking(move || {
                    let mut beginning = vec![0; n_bytes];
                    // From its start, wherever others read it.
                    file.read_exact_at(&mut beginning, 0)?;
                    Ok(Bytes::from(beginning))
                })
                .await
            }
        }
    }

    /// Returns the body as it is sent on.
    pub(crate) fn into_body(self) -> SpooledBody {
        match self.content {
            Content::Memory(data) => SpooledBody::from_memory(data),
            Content::File { file, buffer, share } => SpooledBody::from_file(file, self.len, buffer, share),
        }
    }
}

#[cfg(test)]
mod tests;
