//! What an audit log has a line for: who did what, on which, and whether that was let happen.

use serde::{Deserialize, Serialize};

use crate::UnixMillis;

/// What became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AuditOutcome {
    /// It was done.
    Allowed,
    /// He was refused: not known, or not let.
    Denied,
    /// He was let, and it was not done.
    Failed,
    /// He was let, and was gone before there was an answer: whether it was done is not known here.
    Abandoned,
}

impl AuditOutcome {
    /// Returns the word of the log.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Allowed => "allowed",
            Self::Denied => "denied",
            Self::Failed => "failed",
            Self::Abandoned => "abandoned",
        }
    }
}

impl std::str::FromStr for AuditOutcome {
    type Err = &'static str;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        let all = [Self::Allowed, Self::Denied, Self::Failed, Self::Abandoned];
        all.into_iter().find(|outcome| outcome.as_str() == word).ok_or("expected allowed, denied, failed or abandoned")
    }
}

/// One line of the log. Nothing in it is secret; names of users behind tokens are digests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditEvent {
    /// When.
    pub at: UnixMillis,
    /// Who, if that was proven: a principal's ARN; `ISSUER#DIGEST` of a token's subject; `operator-token`.
    pub principal: Option<String>,
    /// The access key that signed; of one who is refused, that he claims to have.
    pub access_key_id: Option<String>,
    /// What: an operation's name, `InvokeAgentRuntime`, `CreateKey`.
    pub action: String,
    /// On which: an ARN where it is one of the API's, else what the operation is about.
    pub resource: Option<String>,
    /// Which session it was about.
    pub session: Option<String>,
    /// What became of it.
    pub outcome: AuditOutcome,
    /// The exception's name, if he got one.
    pub error: Option<String>,
    /// The Sid of the statement that denied it.
    pub statement: Option<String>,
    /// By which request.
    pub request: Option<String>,
    /// From which address.
    pub source: Option<String>,
    /// For how many events it stands: more than one for refusals that were only counted.
    pub count: u64,
}

impl AuditEvent {
    /// Returns one event of which nothing more is known.
    pub fn new(at: UnixMillis, action: impl Into<String>, outcome: AuditOutcome) -> Self {
        Self {
            at,
            principal: None,
            access_key_id: None,
            action: action.into(),
            resource: None,
            session: None,
            outcome,
            error: None,
            statement: None,
            request: None,
            source: None,
            count: 1,
        }
    }
}
