//! A kept answer on its way to a caller, at his own pace: what is in its file, and then what the agent adds to it, until its end.

use std::fmt;
use std::future::Future;
use std::io;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use hyper::body::{Frame, SizeHint};
use innkeep_types::InvocationState;
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

use super::entry::{Entry, Progress};
use super::file::Source;
use super::number::Numbering;
use crate::stream::StreamError;

/// Reads one answer.
#[derive(Debug)]
pub(crate) struct Reader {
    source: Source,
    at: u64,
    numbering: Option<Numbering>,
    watch: watch::Receiver<Progress>,
    deadline: Instant,
    /// While this is here the file counts, also once the invocation is forgotten.
    _entry: Arc<Entry>,
}

impl Reader {
    /// Returns a reader from `at` on, who has enough at `deadline`.
    pub(crate) fn new(
        directory: &Path,
        entry: Arc<Entry>,
        at: u64,
        numbering: Option<Numbering>,
        deadline: Instant,
    ) -> Self {
        let (source, watch) = (Source::new(directory, &entry.id), entry.watch());
        Self { source, at, numbering, watch, deadline, _entry: entry }
    }

    /// Returns the few bytes of a range that the answer has.
    pub(crate) async fn at(&mut self, start: u64, end: u64) -> io::Result<Bytes> {
        self.source.read(start, end).await
    }

    /// Returns the next piece, as soon as there is one; none at the end.
    async fn next(&mut self) -> Result<Option<Bytes>, StreamError> {
        loop {
            let (state, bytes) = {
                let progress = self.watch.borrow_and_update();
                (progress.state, progress.bytes)
            };
            if self.at < bytes {
                let piece = self.source.read(self.at, bytes).await.map_err(StreamError::Stored)?;
                self.at += piece.len() as u64;
                return Ok(Some(match &mut self.numbering {
                    Some(numbering) => numbering.number(&piece).into(),
                    None => piece,
                }));
            }
            match state {
                InvocationState::Done => return Ok(None),
                InvocationState::Running => {
                    let changed = timeout_at(self.deadline, self.watch.changed()).await;
                    // Whoever changes it lives as long as this does.
                    changed.map_err(|_| StreamError::TooLong)?.map_err(|_| StreamError::Unfinished(state))?;
                }
                InvocationState::Failed | InvocationState::Cancelled => return Err(StreamError::Unfinished(state)),
            }
        }
    }
}

type Step = Pin<Box<dyn Future<Output = (Reader, Result<Option<Bytes>, StreamError>)> + Send>>;

/// An answer's body.
pub(crate) struct StoredBody {
    /// None: it has ended.
    step: Option<Step>,
    /// Bytes that are left, where that is known.
    left: Option<u64>,
    failure: Option<StreamError>,
}

impl StoredBody {
    /// Returns what `reader` reads; `len`: its length, where that is known.
    pub(crate) fn new(reader: Reader, len: Option<u64>) -> Self {
        let step = (len != Some(0)).then(|| step(reader));
        Self { step, left: len, failure: None }
    }

    pub(crate) fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, StreamError>>> {
        if let Some(failure) = self.failure.take() {
            return Poll::Ready(Some(Err(failure)));
        }
        let Some(current) = &mut self.step else { return Poll::Ready(None) };
        let (reader, piece) = ready!(current.as_mut().poll(cx));
        self.step = None;
        match piece {
            Ok(None) => Poll::Ready(None),
            Ok(Some(piece)) => {
                self.left = self.left.map(|left| left.saturating_sub(piece.len() as u64));
                if self.left != Some(0) {
                    self.step = Some(step(reader));
                }
                Poll::Ready(Some(Ok(Frame::data(piece))))
            }
            Err(failure) => {
                // As for an agent's own stream: what was said before the failure is written first.
                self.failure = Some(failure);
                cx.waker().wake_by_ref();
                Poll::Pending
            }
        }
    }

    pub(crate) fn is_end_stream(&self) -> bool {
        self.step.is_none() && self.failure.is_none()
    }

    pub(crate) fn size_hint(&self) -> SizeHint {
        self.left.map_or_else(SizeHint::new, SizeHint::with_exact)
    }
}

fn step(mut reader: Reader) -> Step {
    Box::pin(async move {
        let piece = reader.next().await;
        (reader, piece)
    })
}

impl fmt::Debug for StoredBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoredBody").field("left", &self.left).finish_non_exhaustive()
    }
}
