//! The task of one invocation: from its record to the end of its answer, which goes to its file as it comes. Nobody's connection holds
//! it up, and none has to be there.

use std::sync::Arc;

use http::{HeaderMap, request};
use http_body_util::BodyExt;
use innkeep_sandbox::Deployment;
use innkeep_types::{
    ErrorKind, InvocationFailure, InvocationHead, InvocationState, RequestId, SessionKey, SessionOwner,
};
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::entry::{Entry, Progress, Sending};
use super::file::Sink;
use super::load::INTERRUPTED;
use super::{Full, Invocations};
use crate::answer;
use crate::call::Caller;
use crate::config::Limits;
use crate::crossings::{Crossings, Limit};
use crate::deliver::{self, Ask, Delivered, Errand};
use crate::error::{Chain, Error};
use crate::gateway::Gateway;
use crate::payload::Payload;
use crate::route::{self, Operation, Route};
use crate::spool::Spooled;
use crate::stream::{AgentStream, Bounds, GatewayBody, StreamError};
use crate::target::Named;
use crate::visitor::Visitor;

/// All that one needs whose caller has gone, but for its body.
pub(crate) struct Job {
    pub(crate) gateway: Arc<Gateway>,
    pub(crate) raw_target: String,
    pub(crate) head: request::Parts,
    pub(crate) named: Named,
    pub(crate) deployment: Arc<Deployment>,
    pub(crate) caller: Caller,
    pub(crate) entry: Arc<Entry>,
}

/// Runs the job to its end, once `accepted` was told that it is on record.
pub(crate) async fn run(job: Job, body: Spooled, accepted: oneshot::Sender<Result<(), Error>>) {
    let (gateway, entry) = (&job.gateway, &job.entry);
    let invocations = &gateway.invocations;
    let recorded = match entry.sending(body.len) {
        Ok(sending) => invocations.put(entry, entry.progress()).await.map(|()| sending),
        Err(full) => {
            invocations.table.lock().refused(full);
            Err(Error::AsyncFull(full))
        }
    };
    let sending = match recorded {
        Ok(sending) => sending,
        Err(error) => {
            invocations.end(entry, InvocationState::Failed, None).await;
            invocations.drop_unwanted(entry).await;
            let _ = accepted.send(Err(error));
            return;
        }
    };
    if accepted.send(Ok(())).is_err() {
        invocations.end(entry, InvocationState::Cancelled, None).await;
        invocations.drop_unwanted(entry).await;
        return;
    }
    // Not before its end is on record: who waits for the tasks closes the store afterwards.
    let result = tokio::select! {
        biased;
        () = entry.cancel.notified() => {
            return invocations.end(entry, InvocationState::Cancelled, None).await;
        }
        () = gateway.tasks.cut().cancelled() => Err(interrupted()),
        result = Box::pin(work(&job, body, sending)) => result.map_err(|error| job.explain(&error)),
    };
    match result {
        Ok(()) => invocations.end(entry, InvocationState::Done, None).await,
        Err(failure) => invocations.end(entry, InvocationState::Failed, Some(failure)).await,
    }
}

/// Takes the request to the agent, and the answer to its file.
async fn work(job: &Job, body: Spooled, sending: Sending<'_>) -> Result<(), Error> {
    let Job { gateway, raw_target, head: request, named, deployment, caller, entry } = job;
    let invocations = &gateway.invocations;
    let (timeout, max_body_bytes) = (invocations.limits.timeout, invocations.limits.max_bytes);
    let limits = Limits { sync_request_timeout: timeout, stream_timeout: timeout, max_body_bytes, ..gateway.limits };
    let deadline = Instant::now() + timeout;
    let visitor = Visitor::admitted(gateway, Operation::InvokeAgentRuntime, request, named);
    let errand = Errand {
        visitor: &visitor,
        session: &entry.session.session,
        deployment: deployment.clone(),
        raw_target,
        head: request,
        caller,
        deadline,
    };
    let delivered =
        deliver::deliver_within(gateway, errand, &Ask::Invocation(None), Payload::from(body), &limits).await?;
    drop(sending);
    let Delivered { answer, lease, watch, start } = delivered;

    let (agent, body) = answer.into_parts();
    let end = answer::end(agent.status, &agent.headers);
    let headers = answer::headers(&request.headers, &agent.headers, caller, &lease, start);
    let head = Arc::new(InvocationHead { status: agent.status.as_u16(), headers: texts(&headers) });
    invocations.put(entry, Progress { head: Some(head.clone()), ..entry.progress() }).await?;
    entry.advance(|progress| progress.head = Some(head));

    // What it crosses are limits of its own, which are counted with its failure.
    let bounds = Bounds { max_bytes: max_body_bytes, deadline, crossings: Crossings::default() };
    let mut stream = GatewayBody::agent(AgentStream::new(body, lease, watch, bounds, end));
    let mut sink = Sink::new(&invocations.directory, &entry.id);
    while let Some(frame) = stream.frame().await {
        let frame = frame.map_err(|error| match error {
            StreamError::TooLarge => Error::AnswerTooLarge(max_body_bytes),
            error => Error::Broken(error),
        })?;
        // Trailers carry nothing that a caller could get.
        let Ok(data) = frame.into_data() else { continue };
        if data.is_empty() {
            continue;
        }
        let n_bytes = data.len() as u64;
        entry.reserve(n_bytes).map_err(Error::AsyncFull)?;
        sink = sink.append(data).await.map_err(Error::Invocations)?;
        entry.advance(|progress| progress.bytes += n_bytes);
    }
    sink.sync().await.map_err(Error::Invocations)
}

fn texts(headers: &HeaderMap) -> Vec<(String, String)> {
    let text = |value: &http::HeaderValue| value.to_str().ok().map(str::to_owned);
    headers.iter().filter_map(|(name, value)| Some((name.as_str().to_owned(), text(value)?))).collect()
}

fn interrupted() -> InvocationFailure {
    InvocationFailure { kind: ErrorKind::Internal, message: INTERRUPTED.to_owned(), log_tail: Vec::new() }
}

impl Invocations {
    /// Adds one that is about to run.
    pub(crate) fn add(
        &self,
        session: SessionKey,
        owner: SessionOwner,
        request: &RequestId,
    ) -> Result<Arc<Entry>, Error> {
        let now = self.clock.now();
        let make = |room: &_| Entry::new(session, owner, request.clone(), now, [&self.room, room]);
        self.table.lock().try_add(owner, make).map_err(Error::AsyncFull)
    }

    /// Records how far it is.
    async fn put(&self, entry: &Entry, progress: Progress) -> Result<(), Error> {
        let put = self.store.put_invocation(entry.record(progress)).await;
        put.map_err(|error| Error::Resolve(error.into()))
    }

    /// Records its end, then tells those who follow it.
    async fn end(&self, entry: &Entry, state: InvocationState, failure: Option<InvocationFailure>) {
        let at = self.clock.now();
        let progress = Progress { state, ended_at: Some(at), failure: failure.map(Arc::new), ..entry.progress() };
        if let Err(error) = self.put(entry, progress.clone()).await {
            let id = &entry.id;
            tracing::error!(
                "the end of invocation {id} is not on record, so that after a restart it looks interrupted: {}",
                Chain(&error)
            );
        }
        self.table.lock().end(entry, state, at);
        entry.advance(|now| *now = progress);
    }

    /// Removes one that nobody knows of.
    async fn drop_unwanted(&self, entry: &Entry) {
        if let Err(error) = self.remove(entry).await {
            tracing::warn!("what is left of invocation {} cannot be removed: {}", entry.id, Chain(&error));
        }
    }
}

impl Job {
    /// Returns what is kept of an error. It stops travelling here.
    fn explain(&self, error: &Error) -> InvocationFailure {
        if self.gateway.tasks.stopping().is_cancelled() {
            return interrupted();
        }
        if let Error::AsyncFull(full @ Full::Bytes) = error {
            self.gateway.invocations.table.lock().refused(*full);
        }
        if let Some(limit) = Limit::of_async(error) {
            self.gateway.crossings.count(limit);
        }
        let raw_target = self.raw_target.clone();
        let route = Route { operation: Operation::InvokeAgentRuntime, raw_target, door: route::Door::Runtimes };
        self.gateway.tell(&route, &self.head, &self.caller, Some(error));
        let failure = error.to_failure();
        let (id, request) = (&self.entry.id, &self.entry.request);
        match failure.kind {
            ErrorKind::Internal => {
                tracing::error!(request.id = %request, "invocation {id} failed: {}", Chain(error));
            }
            _ => tracing::debug!(request.id = %request, "invocation {id} failed: {}", Chain(error)),
        }
        failure
    }
}
