//! A request's body, read whole before the agent sees a byte of it, because its signature covers it: in memory while it is
//! small and there is room, else in a file that has no name and vanishes with its last user. Its SHA-256 is computed on the way.
//! Both rooms, in memory and on disk, are bounded for all requests together: whoever knows the name of a key can send bodies.

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
use crate::gateway::Limits;

/// The most that is hashed on an async worker, bytes: some 50 µs without SHA instructions. Source: our choice.
const INLINE_HASH_BYTES: usize = 64 << 10;

/// A file is written, and read back, in pieces of about this many bytes. Source: our choice.
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

/// What all requests may take together.
#[derive(Debug)]
struct Room {
    used: AtomicU64,
    total: u64,
}

/// Bytes of a room that one request holds; given back when dropped.
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
        let expected = usize::try_from(hint.lower()).unwrap_or(0).min(INLINE_HASH_BYTES);
        let mut pending = BytesMut::with_capacity(expected);
        let mut memory = Share::of(&self.memory);
        let mut overflow: Option<Overflow> = None;
        let mut len = 0u64;
        while let Some(frame) =
            timeout(self.stall_timeout, body.frame()).await.map_err(|_| Error::BodyStalled(self.stall_timeout))?
        {
            // Trailers carry nothing that the agent could get.
            let Ok(data) = frame.map_err(|e| Error::BodyBroken(e.into()))?.into_data() else { continue };
            len += data.len() as u64;
            if len > self.max_body_bytes {
                return Err(too_large());
            }
            pending.extend_from_slice(&data);
            let most = if overflow.is_some() { PIECE_BYTES } else { limits::SPOOL_MEMORY_BYTES };
            if pending.len() > most || !memory.try_hold(pending.len()) {
                let file = match overflow {
                    Some(file) => file,
                    None => self.overflow().await?,
                };
                overflow = Some(file.append(pending.split().freeze()).await?);
                memory.give_back();
            }
        }
        let pending = pending.freeze();
        match overflow {
            None => {
                let digest = hash(pending.clone()).await?;
                Ok(Spooled { digest, len, content: Content::Memory(memory.over(pending)) })
            }
            Some(file) => file.append(pending).await?.finish(len).await,
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
    async fn append(mut self, data: Bytes) -> Result<Self, Error> {
        if !self.share.try_grow(data.len() as u64) {
            return Err(Error::SpoolFull);
        }
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

impl Room {
    fn new(total: u64) -> Arc<Self> {
        Arc::new(Self { used: AtomicU64::new(0), total })
    }
}

impl Share {
    fn of(room: &Arc<Room>) -> Self {
        Self { room: room.clone(), bytes: 0 }
    }

    fn try_grow(&mut self, bytes: u64) -> bool {
        let room = &self.room;
        let fits = |used: u64| used.checked_add(bytes).filter(|sum| *sum <= room.total);
        let grown = room.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits).is_ok();
        if grown {
            self.bytes += bytes;
        }
        grown
    }

    /// Grows to `n_bytes` of memory; so few that every connection costs as much anyway are not counted.
    fn try_hold(&mut self, n_bytes: usize) -> bool {
        n_bytes <= INLINE_HASH_BYTES || self.try_grow((n_bytes as u64).saturating_sub(self.bytes))
    }

    fn give_back(&mut self) {
        self.room.used.fetch_sub(std::mem::take(&mut self.bytes), Ordering::Relaxed);
    }

    /// Ties the share to the data that it is for: the last to let go of a part of it gives all back.
    fn over(self, data: Bytes) -> Bytes {
        if self.bytes == 0 { data } else { Bytes::from_owner(Held { data, _share: self }) }
    }
}

/// Data and the share of memory that it takes.
struct Held {
    data: Bytes,
    _share: Share,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.data
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.give_back();
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
    let piece_bytes = usize::try_from(left).unwrap_or(usize::MAX).min(PIECE_BYTES);
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
