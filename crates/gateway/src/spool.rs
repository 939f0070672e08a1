//! A request's body, read whole before the agent sees a byte of it, because its signature covers it: in memory while it is
//! small, else in a file that has no name and vanishes with its last user. Its SHA-256 is computed on the way.

use std::fs::{File, OpenOptions};
use std::future::Future;
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::body::{Body, Frame, SizeHint};
use innkeep_auth::{Digest, digest};
use innkeep_types::limits;
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::timeout;

use crate::error::{BoxError, Error};

/// The most that is hashed on an async worker, bytes: some 50 µs without SHA instructions. Source: our choice.
const INLINE_HASH_BYTES: usize = 64 << 10;

/// A file is read back in pieces of this many bytes. Source: our choice.
const READ_BYTES: usize = 256 << 10;

/// The longest pause within a body. Source: our choice.
const STALL_TIMEOUT: Duration = Duration::from_secs(60);

/// Where bodies wait for their verification; clones share the room.
#[derive(Debug, Clone)]
pub(crate) struct Spool {
    directory: PathBuf,
    max_body_bytes: u64,
    room: Arc<Room>,
}

/// What the files of all requests may take together.
#[derive(Debug)]
struct Room {
    used: AtomicU64,
    total: u64,
}

/// Bytes of the room that one request holds; given back when dropped.
#[derive(Debug)]
struct Share {
    room: Arc<Room>,
    bytes: u64,
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
    /// Rewound.
    File(File, Share),
}

impl Spool {
    /// Returns a spool whose files lie in `directory`, of which one is at most `max_body_bytes` and all at most `total_bytes`.
    pub(crate) fn new(directory: PathBuf, max_body_bytes: u64, total_bytes: u64) -> Self {
        Self { directory, max_body_bytes, room: Arc::new(Room { used: AtomicU64::new(0), total: total_bytes }) }
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
        let expected = usize::try_from(hint.lower()).unwrap_or(0).min(INLINE_HASH_BYTES);
        let mut pending = BytesMut::with_capacity(expected);
        let mut overflow: Option<Overflow> = None;
        let mut len = 0u64;
        while let Some(frame) =
            timeout(STALL_TIMEOUT, body.frame()).await.map_err(|_| Error::BodyStalled(STALL_TIMEOUT))?
        {
            // Trailers carry nothing that the agent could get.
            let Ok(data) = frame.map_err(|e| Error::BodyBroken(e.into()))?.into_data() else { continue };
            len += data.len() as u64;
            if len > self.max_body_bytes {
                return Err(too_large());
            }
            pending.extend_from_slice(&data);
            if pending.len() > limits::SPOOL_MEMORY_BYTES {
                let file = match overflow {
                    Some(file) => file,
                    None => self.overflow().await?,
                };
                overflow = Some(file.append(pending.split().freeze()).await?);
            }
        }
        let pending = pending.freeze();
        match overflow {
            None => Ok(Spooled { digest: hash(pending.clone()).await?, len, content: Content::Memory(pending) }),
            Some(file) => file.append(pending).await?.finish(len).await,
        }
    }

    async fn overflow(&self) -> Result<Overflow, Error> {
        let directory = self.directory.clone();
        let file = blocking(move || nameless_file(&directory)).await?;
        let share = Share { room: self.room.clone(), bytes: 0 };
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
    async fn append(mut self, data: Bytes) -> Result<Self, Error> {
        self.share.grow(data.len() as u64)?;
        blocking(move || {
            self.digest.update(&data);
            self.file.write_all(&data)?;
            Ok(self)
        })
        .await
    }

    async fn finish(self, len: u64) -> Result<Spooled, Error> {
        let Self { mut file, digest, share } = self;
        let file = blocking(move || file.rewind().map(|()| file)).await?;
        Ok(Spooled { digest: digest.finish(), len, content: Content::File(file, share) })
    }
}

impl Share {
    fn grow(&mut self, bytes: u64) -> Result<(), Error> {
        let room = &self.room;
        let fits = |used: u64| used.checked_add(bytes).filter(|sum| *sum <= room.total);
        room.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits).map_err(|_| Error::SpoolFull)?;
        self.bytes += bytes;
        Ok(())
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.room.used.fetch_sub(self.bytes, Ordering::Relaxed);
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
    /// Returns the body as it is sent on: of known length, from its beginning.
    pub(crate) fn into_body(self) -> SpooledBody {
        let source = match self.content {
            Content::Memory(data) => Source::Memory(data),
            Content::File(file, share) => Source::File { reading: read(file, self.len), _share: share },
        };
        SpooledBody { left: self.len, source }
    }
}

/// A spooled body on its way to the agent. A file is read one piece ahead.
#[derive(Debug)]
pub(crate) struct SpooledBody {
    left: u64,
    source: Source,
}

#[derive(Debug)]
enum Source {
    Memory(Bytes),
    File { reading: JoinHandle<io::Result<(File, Bytes)>>, _share: Share },
}

/// Reads the next piece of a file of which `left` bytes are left.
fn read(mut file: File, left: u64) -> JoinHandle<io::Result<(File, Bytes)>> {
    let piece_bytes = usize::try_from(left).unwrap_or(usize::MAX).min(READ_BYTES);
    spawn_blocking(move || {
        let mut piece = vec![0; piece_bytes];
        file.read_exact(&mut piece)?;
        Ok((file, piece.into()))
    })
}

impl Body for SpooledBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let Self { left, source } = &mut *self;
        if *left == 0 {
            return Poll::Ready(None);
        }
        let data = match source {
            Source::Memory(data) => std::mem::take(data),
            Source::File { reading, .. } => {
                let (file, data) = ready!(Pin::new(&mut *reading).poll(cx)).map_err(io::Error::other).flatten()?;
                let left = *left - data.len() as u64;
                if left > 0 {
                    *reading = read(file, left);
                }
                data
            }
        };
        *left -= data.len() as u64;
        Poll::Ready(Some(Ok(Frame::data(data))))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

#[cfg(test)]
mod tests;
