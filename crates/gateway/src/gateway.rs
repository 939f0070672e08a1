//! The data plane as one value: what its operations share, and the one way in.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response};
use hyper::body::{Body, Incoming};
use innkeep_auth::Owners;
use innkeep_sandbox::{Deployment, Registry};
use innkeep_store::Store;
use innkeep_types::{AccountId, EndpointName, Region, RequestId, RuntimeId, SessionId, SessionOwner, limits};
use tokio::time::{Instant, timeout_at};

use crate::audit::Audit;
use crate::authenticate::Authenticator;
use crate::authorizer::Gatekeeper;
use crate::call::{Caller, Principal};
use crate::error::{BoxError, Error};
use crate::guards::Guards;
use crate::inbound::Inbound;
use crate::issuers::Issuers;
use crate::payload::Payload;
use crate::resolve::{Deploy, Resolver};
use crate::route::{Operation, Route};
use crate::spool::{Spool, Spooled};
use crate::stream::GatewayBody;
use crate::target::{Home, Target};
use crate::ws::WebSocketCounts;
use crate::{card, command, invoke, mcp, metadata, otherwise, stop, ws};

/// What the data plane is made of.
#[derive(Clone)]
#[expect(missing_debug_implementations, reason = "it holds a closure, and keys")]
pub struct GatewayConfig {
    /// The only region whose runtimes are here.
    pub region: Region,
    /// The only account whose runtimes are here.
    pub account: AccountId,
    /// Verifies callers.
    pub authenticator: Authenticator,
    /// Whose tokens open runtimes.
    pub issuers: Issuers,
    /// What callers are told that they reach this server by, `https://agents.example.com`; none: what each of them asked for.
    pub public_url: Option<String>,
    /// Tells callers apart, for the sessions that are theirs.
    pub owners: Owners,
    /// Where it is told who did what.
    pub audit: Audit,
    /// Where runtimes are looked up.
    pub store: Store,
    /// Makes what is looked up startable.
    pub deploy: Deploy,
    /// The sessions.
    pub registry: Registry,
    /// Where large request bodies wait; must exist.
    pub spool_directory: PathBuf,
    /// How large and how long.
    pub limits: Limits,
}

/// How large and how long a request may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// A request's body, and an answer's, bytes; default [`limits::MAX_BODY_BYTES`].
    pub max_body_bytes: u64,
    /// All spooled files together, bytes; default [`limits::SPOOL_TOTAL_BYTES`].
    pub spool_total_bytes: u64,
    /// All request bodies held in memory together, bytes; default [`limits::SPOOL_MEMORY_TOTAL_BYTES`].
    pub spool_memory_total_bytes: u64,
    /// The longest pause within a request's body; default [`limits::BODY_STALL_TIMEOUT`].
    pub body_stall_timeout: Duration,
    /// To the answer's head; default [`limits::SYNC_REQUEST_TIMEOUT`].
    pub sync_request_timeout: Duration,
    /// From the request's head to the answer's end; default [`limits::STREAM_TIMEOUT`].
    pub stream_timeout: Duration,
    /// How long a side of a WebSocket may take in nothing; default [`limits::WRITE_STALL_TIMEOUT`].
    pub write_stall_timeout: Duration,
    /// The payload of a WebSocket's frame, bytes; default [`limits::MAX_FRAME_BYTES`].
    pub max_frame_bytes: u64,
    /// Frames of one side of a WebSocket within a second; default [`limits::MAX_FRAMES_PER_SECOND`].
    pub max_frames_per_second: u32,
    /// What a command may write, bytes; default [`limits::MAX_COMMAND_OUTPUT_BYTES`].
    pub max_command_output_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_body_bytes: limits::MAX_BODY_BYTES,
            spool_total_bytes: limits::SPOOL_TOTAL_BYTES,
            spool_memory_total_bytes: limits::SPOOL_MEMORY_TOTAL_BYTES,
            body_stall_timeout: limits::BODY_STALL_TIMEOUT,
            sync_request_timeout: limits::SYNC_REQUEST_TIMEOUT,
            stream_timeout: limits::STREAM_TIMEOUT,
            write_stall_timeout: limits::WRITE_STALL_TIMEOUT,
            max_frame_bytes: limits::MAX_FRAME_BYTES,
            max_frames_per_second: limits::MAX_FRAMES_PER_SECOND,
            max_command_output_bytes: limits::MAX_COMMAND_OUTPUT_BYTES,
        }
    }
}

/// The data plane.
#[derive(Debug)]
pub struct Gateway {
    pub(crate) home: Home,
    pub(crate) authenticator: Authenticator,
    pub(crate) gatekeeper: Gatekeeper,
    pub(crate) public_url: Option<String>,
    pub(crate) owners: Owners,
    pub(crate) audit: Audit,
    pub(crate) resolver: Resolver,
    pub(crate) guards: Guards,
    pub(crate) registry: Registry,
    pub(crate) spool: Spool,
    pub(crate) limits: Limits,
    pub(crate) websockets: ws::Counters,
    pub(crate) mcp_sessions: mcp::Sessions,
}

impl Gateway {
    /// Returns the data plane of a server.
    pub fn new(config: GatewayConfig) -> Self {
        let home = Home { region: config.region, account: config.account };
        Self {
            guards: Guards::new(config.store.clone(), home.clone()),
            home,
            gatekeeper: Gatekeeper { issuers: config.issuers, clock: config.authenticator.clock.clone() },
            authenticator: config.authenticator,
            public_url: config.public_url,
            owners: config.owners,
            audit: config.audit,
            resolver: Resolver::new(config.store, config.deploy),
            registry: config.registry,
            spool: Spool::new(config.spool_directory, &config.limits),
            limits: config.limits,
            websockets: ws::Counters::default(),
            mcp_sessions: mcp::Sessions::default(),
        }
    }

    /// Returns how many WebSockets there are, and were.
    pub fn websockets(&self) -> WebSocketCounts {
        self.websockets.get()
    }

    /// Answers one request that [`route`](crate::route) recognised, errors included.
    ///
    /// # Cancel safety
    /// Dropping the future, or the answer's body, ends the request: the agent sees its connection close. A start that it caused
    /// goes on.
    ///
    /// An answer with status 101 has a [`Tunnel`](crate::Tunnel) among its extensions.
    pub async fn handle(
        &self,
        route: Route,
        request_id: RequestId,
        request: Request<Incoming>,
    ) -> Response<GatewayBody> {
        let (mut head, incoming) = request.into_parts();
        let mut body = Inbound::new(&head, incoming);
        let mut caller = Caller::new(request_id);
        let result = match route.operation {
            Operation::InvokeAgentRuntime => {
                invoke::invoke(self, &route.raw_target, &head, &mut body, &mut caller).await
            }
            Operation::InvokeAgentRuntimeWithWebSocketStream => {
                // Boxed: it is large, and few ask for it.
                Box::pin(ws::open(self, &route.raw_target, &mut head, &mut body, &mut caller)).await
            }
            Operation::InvokeAgentRuntimeCommand => {
                Box::pin(command::run(self, &route.raw_target, &head, &mut body, &mut caller)).await
            }
            Operation::StopRuntimeSession => stop::stop(self, &route.raw_target, &head, &mut body, &mut caller).await,
            Operation::GetRuntimeProtectedResourceMetadata => {
                metadata::metadata(self, &route.raw_target, &head, &caller).await
            }
            Operation::GetAgentCard => {
                Box::pin(card::card(self, &route.raw_target, &head, &mut body, &mut caller)).await
            }
            Operation::InvokeAgentRuntimeOtherwise => Ok(otherwise::refuse(&caller)),
        };
        self.tell(&route, &head, &caller, result.as_ref().err());
        match result {
            Ok(response) => response,
            Err(error) => {
                let connection_usable = body.drain().await;
                error.into_response(&caller, connection_usable)
            }
        }
    }

    /// Returns whose a session is that this caller starts; none, if he has proven to be nobody in particular.
    pub(crate) fn owner(&self, caller: &Caller) -> Option<SessionOwner> {
        match caller.principal.as_ref()? {
            Principal::Key(key) => Some(self.owners.of_principal(&key.principal)),
            Principal::Token(identity) => self.owners.of_identity(identity),
        }
    }

    /// Returns the body of a request that is let in, as it comes. One whose length nobody knows is read first.
    pub(crate) async fn pass(&self, body: &mut Inbound, deadline: Instant) -> Result<Payload, Error> {
        match body.size_hint().exact() {
            Some(bytes) if bytes > self.limits.max_body_bytes => Err(Error::BodyTooLarge(self.limits.max_body_bytes)),
            Some(bytes) => Ok(Payload::passing(body.lend(), bytes, self.limits.body_stall_timeout)),
            None => self.read(body, deadline).await.map(Payload::from),
        }
    }

    /// Returns what an endpoint starts the session from; without a session all that share its new sessions. Nothing, if there is no such
    /// endpoint, or it is not READY.
    ///
    /// # Errors
    /// A store that does not answer, and a bundle that is not on this host.
    pub async fn served(
        &self,
        runtime: RuntimeId,
        endpoint: EndpointName,
        session: Option<&SessionId>,
    ) -> Result<Vec<Arc<Deployment>>, BoxError> {
        let target = Target { runtime, endpoint };
        let resolved: Vec<_> = match session {
            Some(session) => self.resolver.resolve(&target, session).await?.into_iter().collect(),
            None => self.resolver.parts(&target).await?,
        };
        Ok(resolved.into_iter().map(|resolved| resolved.deployment.clone()).collect())
    }

    /// Reads the body of a request that must be over at `deadline`.
    pub(crate) async fn read(&self, body: &mut Inbound, deadline: Instant) -> Result<Spooled, Error> {
        let read = timeout_at(deadline, self.spool.take(body)).await;
        read.unwrap_or(Err(Error::BodyTooSlow(self.limits.stream_timeout)))
    }
}
