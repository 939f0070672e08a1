//! How often a limit of the data plane was crossed. What WebSockets and sessions count themselves is not counted again.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::config::Limits;
use crate::error::Error;
use crate::shells;
use crate::stream::StreamError;

/// A limit, by the setting that moves it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// [`Limits::max_requests_per_second`]
    RequestRate,
    /// [`Limits::max_body_bytes`], of a request or an answer.
    Body,
    /// [`Limits::sync_request_timeout`]
    SyncRequest,
    /// [`Limits::stream_timeout`]
    Stream,
    /// [`Limits::body_stall_timeout`]
    BodyStall,
    /// [`Limits::spool_total_bytes`]
    Spool,
    /// [`Limits::write_stall_timeout`], of an answer over HTTP/1.1, or a stream of HTTP/2. Counted by who writes it.
    WriteStall,
    /// [`Limits::max_command_output_bytes`]
    CommandOutput,
    /// [`Limits::max_shells_per_session`]
    Shells,
    /// [`AsyncLimits::timeout`](crate::AsyncLimits::timeout)
    AsyncTimeout,
    /// [`AsyncLimits::max_bytes`](crate::AsyncLimits::max_bytes)
    AsyncBody,
}

impl Limit {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::RequestRate,
        Self::Body,
        Self::SyncRequest,
        Self::Stream,
        Self::BodyStall,
        Self::Spool,
        Self::WriteStall,
        Self::CommandOutput,
        Self::Shells,
        Self::AsyncTimeout,
        Self::AsyncBody,
    ];

    /// Returns the setting's name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::RequestRate => "max_requests_per_second",
            Self::Body => "max_body_bytes",
            Self::SyncRequest => "sync_request_timeout_secs",
            Self::Stream => "stream_timeout_secs",
            Self::BodyStall => "body_stall_timeout_secs",
            Self::Spool => "spool_total_bytes",
            Self::WriteStall => "write_stall_timeout_secs",
            Self::CommandOutput => "max_command_output_bytes",
            Self::Shells => "max_shells_per_session",
            Self::AsyncTimeout => "async_timeout_secs",
            Self::AsyncBody => "async_max_bytes",
        }
    }

    /// Returns the limit that a request crossed which was refused for this.
    fn of(error: &Error, limits: &Limits) -> Option<Self> {
        match error {
            Error::TooManyRequests(_) => Some(Self::RequestRate),
            Error::BodyTooLarge(_) | Error::AnswerTooLarge(_) => Some(Self::Body),
            Error::AgentTimeout(after) if *after == limits.sync_request_timeout => Some(Self::SyncRequest),
            Error::AgentTimeout(_) | Error::BodyTooSlow(_) => Some(Self::Stream),
            Error::BodyStalled(_) => Some(Self::BodyStall),
            Error::SpoolFull => Some(Self::Spool),
            Error::Shell(shells::Error::Full(_)) => Some(Self::Shells),
            _ => None,
        }
    }

    /// Returns the limit of its own that an invocation crossed for which nobody waits.
    pub(crate) fn of_async(error: &Error) -> Option<Self> {
        match error {
            Error::AgentTimeout(_) | Error::Broken(StreamError::TooLong) => Some(Self::AsyncTimeout),
            Error::AnswerTooLarge(_) => Some(Self::AsyncBody),
            _ => None,
        }
    }
}

/// Keeps them; clones share it.
#[derive(Debug, Clone, Default)]
pub struct Crossings(Arc<[AtomicU64; Limit::ALL.len()]>);

impl Crossings {
    /// Counts one.
    pub fn count(&self, limit: Limit) {
        self.slot(limit).fetch_add(1, Ordering::Relaxed);
    }

    /// Counts what a refusal tells of.
    pub(crate) fn count_refusal(&self, error: &Error, limits: &Limits) {
        if let Some(limit) = Limit::of(error, limits) {
            self.count(limit);
        }
    }

    pub(crate) fn get(&self, limit: Limit) -> u64 {
        self.slot(limit).load(Ordering::Relaxed)
    }

    fn slot(&self, limit: Limit) -> &AtomicU64 {
        let [requests, body, sync, stream, stall, spool, write, output, shells, async_time, async_body] = &*self.0;
        match limit {
            Limit::RequestRate => requests,
            Limit::Body => body,
            Limit::SyncRequest => sync,
            Limit::Stream => stream,
            Limit::BodyStall => stall,
            Limit::Spool => spool,
            Limit::WriteStall => write,
            Limit::CommandOutput => output,
            Limit::Shells => shells,
            Limit::AsyncTimeout => async_time,
            Limit::AsyncBody => async_body,
        }
    }
}
