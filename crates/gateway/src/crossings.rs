//! How often a limit of the data plane was crossed. What WebSockets and sessions count themselves is not counted again.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::config::Limits;
use crate::error::Error;

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
}

impl Limit {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::RequestRate, Self::Body, Self::SyncRequest, Self::Stream, Self::BodyStall, Self::Spool];

    /// Returns the setting's name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::RequestRate => "max_requests_per_second",
            Self::Body => "max_body_bytes",
            Self::SyncRequest => "sync_request_timeout_secs",
            Self::Stream => "stream_timeout_secs",
            Self::BodyStall => "body_stall_timeout_secs",
            Self::Spool => "spool_total_bytes",
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
            _ => None,
        }
    }
}

/// Keeps them; clones share it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Crossings(Arc<[AtomicU64; Limit::ALL.len()]>);

impl Crossings {
    pub(crate) fn count(&self, limit: Limit) {
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
        let [requests, body, sync, stream, stall, spool] = &*self.0;
        match limit {
            Limit::RequestRate => requests,
            Limit::Body => body,
            Limit::SyncRequest => sync,
            Limit::Stream => stream,
            Limit::BodyStall => stall,
            Limit::Spool => spool,
        }
    }
}
