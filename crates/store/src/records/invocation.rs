//! What is kept of an invocation whose caller does not wait.

use innkeep_types::{
    InvocationFailure, InvocationHead, InvocationId, InvocationState, RequestId, SessionKey, SessionOwner, UnixMillis,
};

/// One such invocation; the answer's body lies in a file of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvocationRecord {
    /// Its id.
    pub id: InvocationId,
    /// Which agent it is for, and in which session.
    pub session: SessionKey,
    /// Who made it.
    pub owner: SessionOwner,
    /// The request that made it, which is the one that the agent sees.
    pub request: RequestId,
    /// When it was accepted.
    pub created_at: UnixMillis,
    /// How far it is.
    pub state: InvocationState,
    /// When it ended.
    pub ended_at: Option<UnixMillis>,
    /// The answer's head, once there is one.
    pub head: Option<InvocationHead>,
    /// The answer's length, bytes, once it has ended.
    pub bytes: u64,
    /// Why it failed, if it did.
    pub failure: Option<InvocationFailure>,
}
