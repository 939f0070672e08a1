//! The agents' output: newline-delimited JSON, followed or not.

use http::Method;
use innkeep_protocol::operator::LogEntry;
use innkeep_types::{EndpointName, RuntimeId, SessionId, UnixMillis};

use crate::client::{Call, Client, with_query};
use crate::{Error, LineBuffer, ResponseBody};

/// Which lines to return.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LogQuery {
    /// Of one runtime only.
    pub runtime: Option<RuntimeId>,
    /// Of one endpoint only.
    pub endpoint: Option<EndpointName>,
    /// Of one session only.
    pub session: Option<SessionId>,
    /// Not older than this.
    pub since: Option<UnixMillis>,
    /// Only lines that hold this text.
    pub grep: Option<String>,
    /// Whether to go on with new lines as they appear.
    pub follow: bool,
}

/// Log lines as they come.
#[derive(Debug)]
pub struct LogStream {
    body: ResponseBody,
    lines: LineBuffer,
}

impl Client {
    /// Returns the log lines that `query` asks for, oldest first.
    pub async fn logs(&self, query: &LogQuery) -> Result<LogStream, Error> {
        let since = query.since.map(|t| t.0.to_string());
        let target = with_query(
            "/innkeep/v1/logs",
            &[
                ("runtime", query.runtime.as_ref().map(RuntimeId::as_str)),
                ("endpoint", query.endpoint.as_ref().map(EndpointName::as_str)),
                ("session", query.session.as_ref().map(SessionId::as_str)),
                ("sinceMs", since.as_deref()),
                ("grep", query.grep.as_deref()),
                ("follow", query.follow.then_some("true")),
            ],
        );
        let body = self.send(Call::new(Method::GET, target)).await?.into_body();
        Ok(LogStream { body, lines: LineBuffer::default() })
    }
}

impl LogStream {
    /// Returns the next line; `None` after the last.
    ///
    /// # Cancel safety
    /// Nothing is lost when this is dropped and called again.
    pub async fn next(&mut self) -> Result<Option<LogEntry>, Error> {
        loop {
            match self.lines.next_line() {
                Some(line) if line.is_empty() => {}
                Some(line) => return serde_json::from_slice(&line).map(Some).map_err(Error::Decode),
                None => match self.body.chunk().await? {
                    Some(chunk) => self.lines.push(&chunk),
                    None => {
                        let last = self.lines.finish();
                        return last.map(|line| serde_json::from_slice(&line)).transpose().map_err(Error::Decode);
                    }
                },
            }
        }
    }
}
