//! HTTP/1.1 to one agent: kept connections, and the rule for when one may be used again.
//!
//! A connection has no task of its own: whoever uses it drives it, the request until its answer's head and then the answer's
//! body. Nothing runs for a connection that nobody waits for, a dropped answer closes its connection at once, and no frame
//! crosses threads. What lies in the pool is not driven at all; it is looked at again when it is taken out, and closed after
//! [`KEEP_IDLE`] because an agent that serves one connection at a time is deaf until we hang up.
//!
//! **When a kept connection is used again**: it was idle for less than [`KEEP_IDLE`] (agents close theirs early), its socket
//! has nothing to read, and hyper calls it ready. **When a request is sent twice**: only if hyper hands it back and not one
//! byte left on that connection; the second time goes to a fresh connection, never to another kept one. What did not leave on
//! that one either is handed back to the caller.

mod body;
mod connection;
mod pool;
mod upgrade;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::combinators::UnsyncBoxBody;

pub use body::UpstreamBody;
pub use upgrade::UpgradeAnswer;

use crate::driver::Sandbox;
use connection::Connection;
use pool::Pool;

/// What is sent to an agent.
pub type AgentRequestBody = UnsyncBoxBody<Bytes, std::io::Error>;

/// How long a connection is kept without a request. Source: our choice; uvicorn closes after 5 s, others at once.
pub const KEEP_IDLE: Duration = Duration::from_secs(1);

/// How many connections without a request one sandbox keeps; more are closed at their answer's end. Source: our choice.
pub const KEEP_CONNECTIONS: usize = 64;

/// Why a request to the agent failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No connection to the agent could be had; nothing was sent.
    #[error("agent does not accept connections")]
    Dial(#[source] crate::driver::Error),
    /// The agent closed the connection, or sent what is no HTTP, before the head of its answer.
    #[error("agent closed the connection without an answer")]
    Exchange(#[source] hyper::Error),
    /// The agent closed the connection, or broke HTTP's framing, within the body of its answer.
    #[error("agent ended its answer in the middle")]
    Body(#[source] hyper::Error),
}

/// A request that got no answer.
#[derive(Debug)]
pub struct Failure {
    /// The request itself, if the agent cannot have seen any of it: it may be sent elsewhere.
    pub unsent: Option<Box<Request<AgentRequestBody>>>,
    /// Why.
    pub error: Error,
}

/// The way to one sandbox's agent.
#[derive(Debug)]
pub struct Upstream {
    sandbox: Arc<dyn Sandbox>,
    /// None: the one that the agent serves on.
    port: Option<u16>,
    pool: Pool,
}

impl Upstream {
    /// Returns the way to the agent in `sandbox`; opens nothing yet. Called within a tokio runtime.
    pub fn new(sandbox: Arc<dyn Sandbox>) -> Self {
        Self::to_port(sandbox, None)
    }

    /// Returns the way to another port of the agent; none is the one that it serves on.
    pub(crate) fn to_port(sandbox: Arc<dyn Sandbox>, port: Option<u16>) -> Self {
        Self { sandbox, port, pool: Pool::default() }
    }

    /// Sends one request and returns the answer's head; its body streams. The connection is kept once the body was read to its
    /// end. The request must carry what HTTP/1.1 asks for (`Host`); `Content-Length` is added where the body knows it and it is
    /// not empty.
    ///
    /// # Cancel safety
    /// Dropping the future closes the connection; the agent may have seen the request.
    pub async fn send(&self, mut request: Request<AgentRequestBody>) -> Result<Response<UpstreamBody>, Failure> {
        if let Some(kept) = self.pool.take().await {
            match kept.exchange(request).await {
                Ok((head, connection)) => return Ok(self.answer(head, connection)),
                Err(Failure { unsent: Some(back), .. }) => request = *back,
                Err(failure) => return Err(failure),
            }
        }
        let fresh = match self.connect().await {
            Ok(fresh) => fresh,
            Err(error) => return Err(Failure { unsent: Some(Box::new(request)), error }),
        };
        let (head, connection) = fresh.exchange(request).await?;
        Ok(self.answer(head, connection))
    }

    /// Sends one request to upgrade on a connection of its own, which is the caller's if the agent agrees, and closed if not. The
    /// request must carry what HTTP/1.1 asks for.
    ///
    /// # Cancel safety
    /// Dropping the future closes the connection; the agent may have seen the request.
    pub async fn upgrade(&self, request: Request<AgentRequestBody>) -> Result<UpgradeAnswer, Failure> {
        match self.sandbox.dial(self.port).await {
            Ok(stream) => upgrade::upgrade(stream, request).await,
            Err(error) => Err(Failure { unsent: Some(Box::new(request)), error: Error::Dial(error) }),
        }
    }

    async fn connect(&self) -> Result<Connection, Error> {
        let stream = self.sandbox.dial(self.port).await.map_err(Error::Dial)?;
        Connection::open(stream).await.map_err(Error::Exchange)
    }

    /// Closes the connections that nothing uses: an agent with one thread cannot answer its health check beside them.
    pub fn close_idle(&self) {
        self.pool.clear();
    }

    /// Closes the connections that nothing uses and keeps none from now on: the sandbox is ending.
    pub fn close(&self) {
        self.pool.close();
    }

    fn answer(&self, head: Response<hyper::body::Incoming>, connection: Connection) -> Response<UpstreamBody> {
        head.map(|incoming| UpstreamBody::new(incoming, connection, self.pool.clone()))
    }
}

#[cfg(test)]
mod tests;
