//! `innkeep dev`: a server, one agent, and a redeployment at every edit.

use std::net::SocketAddr;
use std::path::Path;
use std::pin::pin;
use std::time::Duration;

use clap::Args;
use http::{HeaderMap, HeaderValue};
use innkeep_protocol::operator::StopSessions;
use innkeep_sdk::{Client, Invocation, LogQuery, LogStream, SessionQuery};
use innkeep_server::{Error, Isolation, Server};
use innkeep_types::{Clock, EndpointName, RuntimeId, RuntimeVersion, SessionId, SystemClock, UnixMillis, limits};

use crate::context::Context;
use crate::failure::{Code, Failure};
use crate::output::{Output, Style};
use crate::publish::{self, Plan, Published, Steps};
use crate::signals::Signals;
use crate::source::{Package, Source};
use crate::watch::Watch;
use crate::{invoke, logs, serve, snippets};

/// The session that PROMPT is asked in.
const SESSION: &str = "dev";

/// Time for agents to end when the server does: nobody waits for them here.
const GRACE: Duration = Duration::from_secs(2);

/// Serve the agent in a folder, and redeploy it at every edit
///
/// Starts a server, unless one runs on the data directory; then that one is used. The version before serves on while a new one
/// is made, and if it fails. The answer to PROMPT goes to standard output, everything else to standard error.
#[derive(Debug, Args)]
pub(crate) struct Dev {
    /// The project folder
    #[arg(value_name = "DIR", default_value = ".")]
    source: String,
    /// Invoke the agent once with {"prompt": PROMPT} and print its answer
    prompt: Option<String>,
    /// End after the answer, with its status
    #[arg(long, requires = "prompt")]
    once: bool,
    /// Where to listen [default: 127.0.0.1:7080, else a free port]
    #[arg(long, value_name = "ADDR", value_parser = serve::listen_address)]
    listen: Option<SocketAddr>,
}

impl Dev {
    pub(crate) async fn run(self, context: &Context) -> Result<(), Failure> {
        let source = Source::parse(&self.source)?;
        let Source::Folder(folder) = source.clone() else {
            return Err(Failure::usage("dev needs a project folder").with_fix("a zip is deployed by `innkeep deploy`"));
        };
        let plan =
            Plan { name: source.default_name()?, environment: Vec::new(), settings: None, protocol: None, wait: true };
        let mut signals = Signals::new()?;
        let (client, server) = tokio::select! {
            host = Box::pin(find_or_start(context, self.listen)) => host?,
            () = signals.recv() => return Err(interrupted()),
        };
        let agent = Agent { client, out: context.out, source, plan, current: None, seen: None, superseded: Vec::new() };
        let working = async {
            match (self.prompt, self.once) {
                (Some(prompt), true) => agent.answer_once(&prompt).await,
                (prompt, _) => agent.serve(context, &folder, prompt.as_deref()).await,
            }
        };
        let ended = tokio::select! {
            ended = Box::pin(working) => ended,
            () = signals.recv() => if self.once { Err(interrupted()) } else { Ok(()) },
        };
        if let Some(server) = server {
            serve::shutdown(context.out, server, Duration::ZERO, &mut signals).await;
        }
        ended
    }
}

/// Returns a client of the server that runs already, or of a new one.
async fn find_or_start(context: &Context, listen: Option<SocketAddr>) -> Result<(Client, Option<Server>), Failure> {
    if let Ok(client) = context.client()
        && (client.is_healthy().await || context.url.is_some())
    {
        context.out.note(format!("using the server at {}", client.endpoint().url));
        return Ok((client, None));
    }
    let mut config = serve::load(context, None)?;
    config.listen = listen.unwrap_or(config.listen);
    config.shutdown_grace_secs = config.shutdown_grace_secs.min(GRACE.as_secs());
    if config.isolation == Isolation::Auto && config.listen.ip().is_loopback() {
        config.isolation = Isolation::Process;
    }
    if context.environment.get("INNKEEP_LOG").is_none() {
        "warn".clone_into(&mut config.log);
    }
    serve::log(&config)?;
    let mut started = Server::start(config.clone()).await;
    if let Err(Error::Listen { source, .. }) = &started
        && source.kind() == std::io::ErrorKind::AddrInUse
        && listen.is_none()
    {
        config.listen.set_port(0);
        started = Server::start(config).await;
    }
    let server = started.map_err(|error| serve::failure(&error))?;
    context.out.note(format!("innkeep listening on {}", server.url()));
    let endpoint = innkeep_sdk::Endpoint {
        url: server.url().to_owned(),
        region: server.config().region.clone(),
        account: server.config().account.clone(),
    };
    Ok((Client::new(endpoint, server.credentials().clone())?, Some(server)))
}

/// The agent under development.
#[derive(Debug)]
struct Agent {
    client: Client,
    out: Output,
    source: Source,
    plan: Plan,
    /// What serves.
    current: Option<(RuntimeId, RuntimeVersion)>,
    /// The content that was deployed last, well or not.
    seen: Option<Content>,
    /// Versions of this run that no longer serve and may still have sessions.
    superseded: Vec<RuntimeVersion>,
}

/// The digests of a project and of its packages.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Content {
    project: [u8; 32],
    layer: Option<String>,
}

impl Agent {
    async fn answer_once(mut self, prompt: &str) -> Result<(), Failure> {
        self.deploy().await?;
        self.ask(prompt).await
    }

    /// Deploys, asks, and redeploys at every edit, for ever; the agent's log is shown meanwhile.
    async fn serve(mut self, context: &Context, folder: &Path, prompt: Option<&str>) -> Result<(), Failure> {
        // Watched before it is read: an edit in between is not missed.
        let mut watch = Watch::new(folder)?;
        let mut log = Log { since: SystemClock.now(), lines: None };
        let mut announced = false;
        loop {
            match log.shown_while(self.out, self.deploy()).await {
                Ok(None) => {}
                Ok(Some(published)) => {
                    log.follow(&self.client, &published.id).await;
                    if announced {
                        let text = format!("{} v{} serves", published.name, published.version);
                        self.out.note(self.out.err(Style::Green, &text));
                    } else {
                        if let Some(prompt) = prompt
                            && let Err(failure) = log.shown_while(self.out, self.ask(prompt)).await
                        {
                            self.out.failure(&failure);
                        }
                        announce(context, &self.client, &published, prompt.unwrap_or("Hello"))?;
                        announced = true;
                    }
                    if let Err(failure) = self.retire(&published).await {
                        self.out.failure(&failure);
                    }
                }
                Err(failure) if failure.code == Code::Unreachable => return Err(failure),
                Err(failure) => self.out.failure(&failure),
            }
            self.out.note(self.out.err(Style::Dim, &format!("watching {}; Ctrl-C ends it", folder.display())));
            log.shown_while(self.out, watch.changed()).await?;
        }
    }

    /// Deploys what the folder holds; `None` if that is what was deployed last.
    async fn deploy(&mut self) -> Result<Option<Published>, Failure> {
        let steps = Steps::new(self.out);
        let package = self.source.package().await?;
        if let Package::Project { packed, layer } = &package {
            let fingerprint = layer.as_ref().map(|layer| layer.fingerprint.clone());
            let content = Content { project: packed.digest, layer: fingerprint };
            if self.seen.as_ref() == Some(&content) {
                return Ok(None);
            }
            self.seen = Some(content);
        }
        let published = publish::publish(&self.client, package, &self.plan, steps).await?;
        let before = self.current.replace((published.id.clone(), published.version));
        self.superseded.extend(before.map(|(_, version)| version));
        Ok(Some(published))
    }

    async fn ask(&self, prompt: &str) -> Result<(), Failure> {
        let Some((runtime, _)) = &self.current else { return Ok(()) };
        let session = SessionId::from_short(SESSION).ok_or_else(|| Failure::new(Code::Failed, "no session name"))?;
        let invocation = Invocation {
            runtime: runtime.clone(),
            endpoint: EndpointName::default_endpoint(),
            session,
            content_type: HeaderValue::from_static("application/json"),
            headers: HeaderMap::new(),
            payload: invoke::prompt_payload(prompt),
            timeout: limits::SYNC_REQUEST_TIMEOUT,
        };
        invoke::invoke(&self.client, self.out, invocation, false).await
    }

    /// Ends idle sessions of versions that no longer serve, and deletes those of this run that nothing uses any more.
    async fn retire(&mut self, published: &Published) -> Result<(), Failure> {
        let Published { id, version, .. } = published;
        let older = StopSessions {
            runtime_id: id.clone(),
            endpoint: None,
            session_id: None,
            only_idle: true,
            keep_version: Some(*version),
            kill: false,
            reload: true,
        };
        self.client.stop_sessions(&older).await?;
        let query = SessionQuery { runtime: Some(id.clone()), ..SessionQuery::default() };
        let live = self.client.sessions(&query).await?.sessions;
        let mut kept = Vec::new();
        for old in std::mem::take(&mut self.superseded) {
            // What cannot be deleted yet is tried again after the next edit.
            let in_use = live.iter().any(|session| session.version == old);
            if in_use || self.client.delete_runtime(id, Some(old)).await.is_err() {
                kept.push(old);
            }
        }
        self.superseded = kept;
        Ok(())
    }
}

/// The agent's log, once there is an agent.
struct Log {
    /// Lines before this time were shown, or are not of this run.
    since: UnixMillis,
    lines: Option<LogStream>,
}

impl Log {
    async fn follow(&mut self, client: &Client, runtime: &RuntimeId) {
        if self.lines.is_none() {
            let query = LogQuery {
                runtime: Some(runtime.clone()),
                since: Some(self.since),
                follow: true,
                ..LogQuery::default()
            };
            // Without a log the agent is still served; the next deployment tries again.
            self.lines = client.logs(&query).await.ok();
        }
    }

    /// Shows log lines until `work` is done.
    async fn shown_while<T>(&mut self, out: Output, work: impl Future<Output = T>) -> T {
        let mut work = pin!(work);
        loop {
            tokio::select! {
                done = &mut work => return done,
                () = self.show_next(out) => {}
            }
        }
    }

    async fn show_next(&mut self, out: Output) {
        let Some(lines) = &mut self.lines else { return std::future::pending().await };
        match lines.next().await {
            Ok(Some(entry)) => {
                self.since = UnixMillis(entry.time_ms.saturating_add(1));
                logs::note(out, &entry);
            }
            Ok(None) | Err(_) => self.lines = None,
        }
    }
}

/// Says how the agent is reached, in commands that can be pasted.
fn announce(context: &Context, client: &Client, published: &Published, prompt: &str) -> Result<(), Failure> {
    let out = context.out;
    if out.json {
        return out.json(published);
    }
    let innkeep = snippets::program(context);
    let arn = client.runtime_arn(&published.id);
    let invocation = Invocation {
        runtime: published.id.clone(),
        endpoint: EndpointName::default_endpoint(),
        session: SessionId::generate(),
        content_type: HeaderValue::from_static("application/json"),
        headers: HeaderMap::new(),
        payload: invoke::prompt_payload(prompt),
        timeout: limits::SYNC_REQUEST_TIMEOUT,
    };
    let head = |text: &str| out.note(format!("\n{}", out.err(Style::Bold, text)));
    head(&format!("{} v{} serves at", published.name, published.version));
    out.note(snippets::invoke_url(client, &published.id));
    head("from another terminal");
    out.note(format!("{innkeep} invoke {} {} -s alice", published.name, snippets::quote(prompt)));
    head("with any AWS client, once its environment is set");
    out.note(format!("eval \"$({innkeep} env)\""));
    out.note(snippets::curl(client, &invocation));
    head("in Python");
    out.note(snippets::boto3(&arn, prompt));
    out.note("");
    Ok(())
}

fn interrupted() -> Failure {
    Failure::new(Code::Failed, "interrupted")
}
