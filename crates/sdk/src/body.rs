//! What a request carries: bytes in memory, or a file that is streamed. Its digest is taken before it is sent.

use std::fmt;
use std::fs::File;
use std::io::{self, Read, Seek};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use tokio::io::{AsyncRead, ReadBuf};

use innkeep_auth::Digest;

const CHUNK_BYTES: usize = 64 << 10;

/// What a request carries.
#[derive(Debug)]
pub enum Payload {
    /// Bytes in memory.
    Bytes(Bytes),
    /// A whole file, from its start, wherever its cursor stands.
    File(Upload),
}

/// A file to be sent, and who is told how far it is.
#[derive(Debug)]
pub struct Upload {
    /// Sent from its start, wherever its cursor stands.
    pub file: File,
    /// Told as it is sent.
    pub meter: Meter,
}

impl From<File> for Upload {
    fn from(file: File) -> Self {
        Self { file, meter: Meter::new(|_| {}) }
    }
}

/// Is told how many bytes of a file were sent, piece by piece. Told on the task that sends: it must not block.
#[derive(Clone)]
pub struct Meter(Arc<dyn Fn(u64) + Send + Sync>);

impl Meter {
    /// Returns a meter that calls `sent` with the length of each piece.
    pub fn new(sent: impl Fn(u64) + Send + Sync + 'static) -> Self {
        Self(Arc::new(sent))
    }
}

impl fmt::Debug for Meter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Meter")
    }
}

/// Returns the SHA-256 of everything that `reader` yields.
pub fn sha256(mut reader: impl Read) -> io::Result<[u8; 32]> {
    let mut digest = Digest::new();
    let mut chunk = vec![0; CHUNK_BYTES];
    loop {
        match reader.read(&mut chunk) {
            Ok(0) => break,
            Ok(n) => digest.update(&chunk[..n]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(digest.finish())
}

impl Payload {
    /// Returns the body to send and its SHA-256. A file is read once for the digest, on a blocking thread.
    pub(crate) async fn prepare(self) -> io::Result<(PayloadBody, [u8; 32])> {
        match self {
            Self::Bytes(bytes) => {
                let digest = sha256(&bytes[..])?;
                Ok((PayloadBody::Bytes(bytes), digest))
            }
            Self::File(Upload { mut file, meter }) => {
                let hashing = tokio::task::spawn_blocking(move || {
                    file.rewind()?;
                    let digest = sha256(&file)?;
                    let left = file.stream_position()?;
                    file.rewind()?;
                    Ok::<_, io::Error>((file, digest, left))
                });
                let (file, digest, left) = hashing.await.map_err(io::Error::other)??;
                let chunk = vec![0; CHUNK_BYTES].into_boxed_slice();
                let file = tokio::fs::File::from_std(file);
                Ok((PayloadBody::File { file, left, chunk, meter }, digest))
            }
        }
    }
}

/// A [`Payload`] on its way out. Its length is known, so it goes out with `Content-Length`.
#[derive(Debug)]
pub(crate) enum PayloadBody {
    Bytes(Bytes),
    File { file: tokio::fs::File, left: u64, chunk: Box<[u8]>, meter: Meter },
}

impl Body for PayloadBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        match self.get_mut() {
            Self::Bytes(bytes) if bytes.is_empty() => Poll::Ready(None),
            Self::Bytes(bytes) => Poll::Ready(Some(Ok(Frame::data(std::mem::take(bytes))))),
            Self::File { left: 0, .. } => Poll::Ready(None),
            Self::File { file, left, chunk, meter } => {
                let mut buffer = ReadBuf::new(chunk);
                if let Err(error) = ready!(Pin::new(file).poll_read(cx, &mut buffer)) {
                    return Poll::Ready(Some(Err(error)));
                }
                let n = u64::try_from(buffer.filled().len()).unwrap_or(u64::MAX);
                if n == 0 || n > *left {
                    return Poll::Ready(Some(Err(io::Error::other("the file changed while it was sent"))));
                }
                *left -= n;
                (meter.0)(n);
                Poll::Ready(Some(Ok(Frame::data(Bytes::copy_from_slice(buffer.filled())))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.size_hint().exact() == Some(0)
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Bytes(bytes) => SizeHint::with_exact(u64::try_from(bytes.len()).unwrap_or(u64::MAX)),
            Self::File { left, .. } => SizeHint::with_exact(*left),
        }
    }
}
