//! One caller at the door: what he shows is proven as soon as it can be, signatures before anything is looked up, tokens by the
//! version that is asked for. Who has proven nothing is told nothing of what there is, but that a runtime takes tokens, and whose.

use std::sync::Arc;
use std::time::Duration;

use http::header::AUTHORIZATION;
use http::{HeaderValue, request};
use innkeep_auth::policy;
use innkeep_auth::sigv4::{self, Presigned};
use innkeep_protocol::headers;
use innkeep_sandbox::Deployment;
use innkeep_types::{ServerProtocol, SessionId};
use tokio::time::Instant;

use crate::address;
use crate::authenticate::raw_target;
use crate::authorize::authorize;
use crate::authorizer::{Gate, Shown};
use crate::call::{Caller, Principal};
use crate::error::Error;
use crate::forward;
use crate::gateway::Gateway;
use crate::inbound::Inbound;
use crate::resolve::Resolved;
use crate::route::Operation;
use crate::spool::Spooled;
use crate::target::{Named, Target};

/// How long a token that was found good is not looked at again in the same request. Source: our choice: longer than a body takes that is
/// on its way, and much less than the leeway that its times are given.
const PROOF_AGE: Duration = Duration::from_secs(1);

/// A caller, and what he asks for.
#[derive(Debug)]
pub(crate) struct Visitor<'a> {
    gateway: &'a Gateway,
    operation: Operation,
    head: &'a request::Parts,
    named: &'a Named,
    shown: Shown,
}

impl<'a> Visitor<'a> {
    /// Returns the caller, if his signature is good and policies let him do `operation`, or he shows none; and the body that it had to be
    /// read for.
    pub(crate) async fn meet(
        gateway: &'a Gateway,
        operation: Operation,
        head: &'a request::Parts,
        named: &'a Named,
        body: &mut Inbound,
        deadline: Instant,
        caller: &mut Caller,
    ) -> Result<(Self, Option<Spooled>), Error> {
        let visitor = Self { gateway, operation, head, named, shown: Shown::of(head) };
        let body = match visitor.shown {
            Shown::Signature if visitor.is_presigned() => {
                let key = gateway.authenticator.presigned(head)?;
                caller.principal = Some(Principal::Key(key.clone()));
                gateway.count(caller)?;
                visitor.authorize(policy::Caller::Signed(&key.principal)).await?;
                None
            }
            Shown::Signature => {
                let claim = gateway.authenticator.claim(head)?;
                let body = gateway.read(body, deadline).await?;
                let key = gateway.authenticator.verify(&claim, &body.digest)?;
                caller.principal = Some(Principal::Key(key.clone()));
                gateway.count(caller)?;
                visitor.authorize(policy::Caller::Signed(&key.principal)).await?;
                Some(body)
            }
            Shown::Nothing | Shown::Bearer(_) => None,
        };
        Ok((visitor, body))
    }

    /// Returns a caller who was let in before.
    pub(crate) fn admitted(
        gateway: &'a Gateway,
        operation: Operation,
        head: &'a request::Parts,
        named: &'a Named,
    ) -> Self {
        Self { gateway, operation, head, named, shown: Shown::of(head) }
    }

    /// Tells whether his signature is in the query, which is for those who cannot set headers.
    fn is_presigned(&self) -> bool {
        let is_websocket = matches!(
            self.operation,
            Operation::InvokeAgentRuntimeWithWebSocketStream | Operation::InvokeAgentRuntimeCommandShell
        );
        is_websocket && !self.head.headers.contains_key(AUTHORIZATION) && Presigned::is_claimed(raw_target(self.head))
    }

    /// Refuses him if policies do not let him do what he asks for.
    async fn authorize(&self, caller: policy::Caller<'_>) -> Result<(), Error> {
        match self.target()? {
            Some(target) => authorize(self.gateway, caller, self.operation, target, self.head).await,
            None => Ok(()),
        }
    }

    /// Returns what he asks for, if it lies in this server's region and account.
    pub(crate) fn target(&self) -> Result<Option<&'a Target>, Error> {
        match (self.named.at_home(&self.gateway.home), &self.shown) {
            (Ok(target), _) => Ok(Some(target)),
            (Err(error), Shown::Signature) => Err(error),
            (Err(_), Shown::Nothing | Shown::Bearer(_)) => Ok(None),
        }
    }

    /// Returns what serves it.
    pub(crate) async fn find(&self, session: &SessionId) -> Result<Option<Arc<Resolved>>, Error> {
        match self.target()? {
            Some(target) => self.gateway.resolver.resolve(target, session).await,
            None => Ok(None),
        }
    }

    /// Refuses him if he may not pass. Where there is no gate there is nothing, which to whoever has not proven anything looks like what
    /// signatures open.
    pub(crate) async fn pass(&self, gate: Option<&Gate>, caller: &mut Caller) -> Result<(), Error> {
        if gate.is_some_and(Gate::is_for_tokens) {
            caller.challenge = Some(self.challenge());
        }
        match (gate.unwrap_or(&Gate::Signatures), &self.shown) {
            (Gate::Signatures, Shown::Nothing) => {
                let claim = self.gateway.authenticator.claim(self.head);
                return Err(claim.err().unwrap_or(sigv4::Error::UnknownKey).into());
            }
            (gate, shown) => {
                if let Some(identity) = self.gateway.gatekeeper.admit(gate, shown).await? {
                    caller.principal = Some(Principal::Token(identity));
                    caller.proven_at = Some(self.gateway.authenticator.clock.now());
                    self.gateway.count(caller)?;
                    self.authorize(policy::Caller::Token).await?;
                }
            }
        }
        if matches!(self.shown, Shown::Bearer(_)) && self.head.headers.contains_key(headers::USER_ID) {
            let rule = "Member must be omitted with a bearer token: the user is the one that the token is for";
            return Err(Error::field("runtimeUserId", rule.to_owned()));
        }
        Ok(())
    }

    /// Refuses him if he may not pass here too.
    pub(crate) async fn pass_too(&self, gate: &Gate) -> Result<(), Error> {
        self.gateway.gatekeeper.admit(gate, &self.shown).await.map(drop)
    }

    /// Lets him in to what serves him. Refuses him if he may not pass, if there is nothing, and if he says more than its agent may be told.
    pub(crate) async fn enter(&self, session: &SessionId, caller: &mut Caller) -> Result<Arc<Deployment>, Error> {
        let resolved = self.find(session).await?;
        let gate = resolved.as_deref().map(|resolved| &resolved.gate);
        let speaks = resolved.as_deref().filter(|_| self.operation == Operation::InvokeAgentRuntime);
        let speaks = speaks.map_or(ServerProtocol::Http, |resolved| resolved.deployment.protocol.server);
        // Of what takes tokens anybody may know that it is there; of everything else, only who is let in.
        if gate.is_some_and(Gate::is_for_tokens) {
            caller.protocol = speaks;
        }
        match self.is_proven(resolved.as_ref(), caller) {
            true => self.authorize(policy::Caller::Token).await?,
            false => self.pass(gate, caller).await?,
        }
        caller.protocol = speaks;
        let Some(resolved) = resolved else { return Err(self.missing(caller).await) };
        caller.entered = Some(resolved.clone());
        forward::check_allowed(&resolved.deployment, &self.head.headers)?;
        Ok(resolved.deployment.clone())
    }

    /// Tells whether his token was found good by these very rules a moment ago. A body that took longer may have outlived it.
    fn is_proven(&self, resolved: Option<&Arc<Resolved>>, caller: &Caller) -> bool {
        let is_same = resolved.zip(caller.entered.as_ref()).is_some_and(|(now, then)| Arc::ptr_eq(now, then));
        let now = self.gateway.authenticator.clock.now();
        is_same && caller.proven_at.is_some_and(|at| (at..=at.plus(PROOF_AGE)).contains(&now))
    }

    /// Returns why there is nothing to answer him with: to an operator, why no version became READY.
    async fn missing(&self, caller: &Caller) -> Error {
        match self.named.at_home(&self.gateway.home) {
            Ok(target) if caller.is_operator() => match self.gateway.resolver.unmade(target).await {
                Ok(unmade) => self.named.unmade(unmade),
                Err(error) => error,
            },
            _ => self.named.not_found(),
        }
    }

    /// Returns where it says how to get a token. Source: RFC 9728 section 5.1.
    fn challenge(&self) -> HeaderValue {
        let base = address::base(self.gateway.public_url.as_deref(), self.head);
        let at = base.map(|base| address::metadata(&base, &self.gateway.home, &self.named.target));
        let challenge = at.and_then(|at| HeaderValue::try_from(format!("Bearer resource_metadata=\"{at}\"")).ok());
        challenge.unwrap_or(HeaderValue::from_static("Bearer"))
    }
}
