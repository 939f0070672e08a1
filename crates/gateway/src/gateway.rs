//! The data plane as one value: what its operations share, and the one way in.

use std::sync::Arc;

use http::header::UPGRADE;
use http::{Request, Response, request};
use http_body_util::BodyExt;
use hyper::body::{Body, Incoming};
use innkeep_auth::Owners;
use innkeep_sandbox::tasks::Tasks;
use innkeep_sandbox::{Deployment, Registry};
use innkeep_types::{EndpointName, RequestId, RuntimeId, SessionId, SessionOwner};
use tokio::time::{Instant, timeout, timeout_at};

use crate::audit::Audit;
use crate::authenticate::Authenticator;
use crate::authorizer::Gatekeeper;
use crate::call::{Caller, Principal};
use crate::config::{GatewayConfig, Limits};
use crate::cors::Cors;
use crate::crossings::{Crossings, Limit};
use crate::error::{BoxError, Error};
use crate::guards::Guards;
use crate::inbound::Inbound;
use crate::invocations::{self, InvocationCounts, InvocationView, Invocations};
use crate::names::Names;
use crate::payload::Payload;
use crate::rates::CallerRate;
use crate::recent::{RecentRequest, RecentRequests, Rings};
use crate::resolve::Resolver;
use crate::route::{Door, Operation, Route};
use crate::shells::Rooms;
use crate::spool::{Spool, Spooled};
use crate::stream::GatewayBody;
use crate::target::{Home, Target};
use crate::ws::WebSocketCounts;
use crate::{audit, card, command, forward, invoke, mcp, metadata, otherwise, shells, stop, ws};

/// Extension of an answer: the version that gave it.
#[derive(Debug, Clone)]
pub(crate) struct Served(pub(crate) Arc<Deployment>);

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
    pub(crate) crossings: Crossings,
    rate: CallerRate,
    cors: Cors,
    names: Names,
    rings: Rings,
    pub(crate) websockets: ws::Counters,
    pub(crate) mcp_sessions: mcp::Sessions,
    pub(crate) invocations: Invocations,
    pub(crate) tasks: Tasks,
    pub(crate) shells: Rooms,
}

impl Gateway {
    /// Returns the data plane of a server.
    pub fn new(config: GatewayConfig) -> Self {
        let home = Home { region: config.region, account: config.account };
        let rings = Rings::default();
        let (store, clock) = (config.store.clone(), config.authenticator.clock.clone());
        Self {
            invocations: Invocations::new(config.invocations_directory, store, clock, config.async_limits),
            tasks: config.tasks.clone(),
            guards: Guards::new(config.store.clone(), home.clone()),
            home,
            gatekeeper: Gatekeeper { issuers: config.issuers, clock: config.authenticator.clock.clone() },
            authenticator: config.authenticator,
            public_url: config.public_url,
            owners: config.owners,
            audit: config.audit,
            names: Names::new(config.store.clone()),
            resolver: Resolver::new(config.store, config.deploy, rings.clone()),
            registry: config.registry,
            spool: Spool::new(config.spool_directory, &config.limits),
            shells: Rooms::new(config.tasks, config.limits.max_shells_per_session),
            limits: config.limits,
            crossings: Crossings::default(),
            rate: CallerRate::new(config.limits.max_requests_per_second),
            cors: Cors::new(&config.cors_origins),
            rings,
            websockets: ws::Counters::default(),
            mcp_sessions: mcp::Sessions::default(),
        }
    }

    /// Returns how many WebSockets there are, and were, and how many shells.
    pub fn websockets(&self) -> WebSocketCounts {
        WebSocketCounts { shells: self.shells.count(), ..self.websockets.get() }
    }

    /// Returns how often a limit was crossed.
    pub fn crossings(&self, limit: Limit) -> u64 {
        self.crossings.get(limit)
    }

    /// Returns where they are counted, for who writes answers.
    pub fn crossings_counter(&self) -> Crossings {
        self.crossings.clone()
    }

    /// Returns the last requests for a runtime that were let in.
    pub fn recent_requests(&self, runtime: &RuntimeId) -> RecentRequests {
        self.rings.list(runtime)
    }

    /// Returns what a browser is told that asks whether a page may send a request to the data plane; none if this is no such question, or
    /// no pages may. Needs no authentication.
    pub fn preflight<B>(&self, request: &Request<B>) -> Option<Response<GatewayBody>> {
        self.cors.preflight(request.method(), request.uri().path(), request.headers())
    }

    /// Takes over the invocations whose callers did not wait for the server before this one. Called once, before any request.
    ///
    /// # Errors
    /// A store that does not answer, and a directory that cannot be made or read.
    pub async fn load_invocations(&self) -> Result<(), BoxError> {
        Ok(self.invocations.load().await?)
    }

    /// Removes those that ended too long ago.
    ///
    /// # Errors
    /// A store that does not answer, and files that cannot be removed.
    pub async fn sweep_invocations(&self) -> Result<(), BoxError> {
        Ok(self.invocations.sweep().await?)
    }

    /// Returns the invocations whose callers do not wait, newest first.
    pub fn invocations(&self) -> Vec<InvocationView> {
        self.invocations.list()
    }

    /// Returns how many of them there are, and were.
    pub fn invocation_counts(&self) -> InvocationCounts {
        self.invocations.counts()
    }

    /// Answers one request that [`route`](crate::route) recognised, errors included.
    ///
    /// # Cancel safety
    /// Dropping the future, or the answer's body, ends the request: the agent sees its connection close. A start that it caused
    /// goes on.
    ///
    /// An answer with status 101 has a [`Tunnel`](crate::Tunnel) among its extensions.
    pub async fn handle(
        self: &Arc<Self>,
        mut route: Route,
        request_id: RequestId,
        request: Request<Incoming>,
    ) -> Response<GatewayBody> {
        let (mut head, incoming) = request.into_parts();
        let mut body = Inbound::new(&head, incoming);
        let mut caller = Caller::new(request_id);
        caller.unanswered.0 = self.unanswered(&route, &head);
        let (began, at) = (Instant::now(), self.authenticator.clock.now());
        let result = match route.door {
            Door::Runtimes => self.answer(&route, &mut head, &mut body, &mut caller).await,
            Door::Agents => Box::pin(self.answer_by_name(&mut route, &mut head, &mut body, &mut caller)).await,
        };
        caller.unanswered.0 = None;
        self.tell(&route, &head, &caller, result.as_ref().err());
        let mut response = match result {
            Ok(response) => response,
            Err(error) => {
                self.crossings.count_refusal(&error, &self.limits);
                let connection_usable = body.drain().await;
                error.into_response(&caller, connection_usable)
            }
        };
        let served = response.extensions_mut().remove::<Served>();
        if let Some(entered) = caller.entered.take() {
            let deployment = served.as_ref().map_or(&entered.deployment, |Served(deployment)| deployment);
            entered.ring.push(RecentRequest {
                id: caller.request_id.clone(),
                operation: route.operation.as_str(),
                session: caller.session.take(),
                at,
                answered_after: began.elapsed(),
                status: response.status().as_u16(),
                dropped: forward::dropped(deployment, &head.headers).chain(&caller.unheard).collect(),
            });
        }
        self.cors.label(&head.headers, response.headers_mut());
        response
    }

    /// Answers a request that names its agent by name.
    async fn answer_by_name(
        self: &Arc<Self>,
        route: &mut Route,
        head: &mut request::Parts,
        body: &mut Inbound,
        caller: &mut Caller,
    ) -> Result<Response<GatewayBody>, Error> {
        let alias = self.names.find(&route.raw_target, &self.home).await?;
        let asked = Route { raw_target: alias.arn.to_string(), ..route.clone() };
        let result = self.answer(&asked, head, body, caller).await;
        if alias.is_there {
            *route = asked;
        } else if caller.principal.is_some() {
            self.names.look_again(&alias);
        }
        result.map_err(|error| alias.reword(error))
    }

    async fn answer(
        self: &Arc<Self>,
        route: &Route,
        head: &mut request::Parts,
        body: &mut Inbound,
        caller: &mut Caller,
    ) -> Result<Response<GatewayBody>, Error> {
        if head.headers.contains_key(UPGRADE) {
            self.cors.check_socket(head)?;
        }
        match route.operation {
            Operation::InvokeAgentRuntime => invoke::invoke(self, route, head, body, caller).await,
            Operation::InvokeAgentRuntimeWithWebSocketStream => {
                // Boxed: it is large, and few ask for it.
                Box::pin(ws::open(self, route, head, body, caller)).await
            }
            Operation::InvokeAgentRuntimeCommand => {
                Box::pin(command::run(self, &route.raw_target, head, body, caller)).await
            }
            Operation::InvokeAgentRuntimeCommandShell => {
                Box::pin(shells::open(self, &route.raw_target, head, body, caller)).await
            }
            Operation::StopRuntimeSession => stop::stop(self, &route.raw_target, head, body, caller).await,
            Operation::GetRuntimeProtectedResourceMetadata => {
                metadata::metadata(self, &route.raw_target, head, caller).await
            }
            Operation::GetAgentCard => Box::pin(card::card(self, &route.raw_target, head, body, caller)).await,
            Operation::InvokeAgentRuntimeOtherwise => Ok(otherwise::refuse(caller)),
            Operation::GetInvocation => {
                Box::pin(invocations::read::get(self, &route.raw_target, head, body, caller)).await
            }
            Operation::CancelInvocation => {
                Box::pin(invocations::read::cancel(self, &route.raw_target, head, body, caller)).await
            }
        }
    }

    /// Refuses a caller who has proven who he is, if there were too many requests. Counts each once.
    pub(crate) fn count(&self, caller: &mut Caller) -> Result<(), Error> {
        if std::mem::replace(&mut caller.is_counted, true) {
            return Ok(());
        }
        let who = || match &caller.principal {
            Some(Principal::Key(key)) => key.principal.arn.clone(),
            Some(Principal::Token(identity)) => audit::subject(&self.owners, identity),
            Some(Principal::OperatorToken) | None => String::new(),
        };
        self.rate.try_take(who).map_err(Error::TooManyRequests)
    }

    /// Returns whose a session is that this caller starts; none, if he has proven to be nobody in particular.
    pub(crate) fn owner(&self, caller: &Caller) -> Option<SessionOwner> {
        match caller.principal.as_ref()? {
            Principal::Key(key) => Some(self.owners.of_principal(&key.principal)),
            Principal::Token(identity) => self.owners.of_identity(identity),
            Principal::OperatorToken => None,
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

    /// Reads, and forgets, a body that says nothing, of somebody who may have proven nothing: at most `max_bytes`, and all of it within the
    /// time of one pause.
    pub(crate) async fn skip(&self, body: &mut Inbound, max_bytes: u64) -> Result<(), Error> {
        let patience = self.limits.body_stall_timeout;
        let skipped = async {
            let mut n_read = 0;
            while n_read + body.size_hint().lower() <= max_bytes {
                let Some(frame) = body.frame().await else { return Ok(()) };
                let frame = frame.map_err(|error| Error::BodyBroken(error.into()))?;
                n_read += frame.data_ref().map_or(0, |data| data.len() as u64);
            }
            Err(Error::BodyTooLarge(max_bytes))
        };
        timeout(patience, skipped).await.unwrap_or(Err(Error::BodyStalled(patience)))
    }

    /// Reads the body of a request that must be over at `deadline`.
    pub(crate) async fn read(&self, body: &mut Inbound, deadline: Instant) -> Result<Spooled, Error> {
        let read = timeout_at(deadline, self.spool.take(body)).await;
        read.unwrap_or(Err(Error::BodyTooSlow(self.limits.stream_timeout)))
    }
}
