//! `innkeep dev`: a server, one agent, and a redeployment at every edit.

mod access;
mod agent;
mod log;

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use clap::Args;
use http::HeaderValue;
use innkeep_sdk::{Client, Invocation};
use innkeep_server::{Error, Purpose, Server};
use innkeep_types::{EndpointName, SessionId, limits};

use crate::context::Context;
use crate::failure::{Code, Failure};
use crate::output::Style;
use crate::publish::Published;
use crate::signals::Signals;
use crate::source::Source;
use crate::watch::Watch;
use crate::{invoke, serve, snippets};

use self::access::{Access, Auth};
use self::agent::Agent;
use self::log::Log;

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
    /// How the agent takes callers: sigv4, by their access keys; jwt, by tokens of a built-in issuer, for development, that `innkeep token`
    /// makes [default: as before]
    #[arg(long, value_name = "WAY")]
    auth: Option<Auth>,
    /// How the agent is spoken to: HTTP, MCP, A2A, AGUI [default: HTTP, or as before]
    #[arg(long)]
    protocol: Option<String>,
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
        let name = source.default_name()?;
        let mut signals = Signals::new()?;
        let (client, server) = tokio::select! {
            host = Box::pin(find_or_start(context, self.listen, self.auth)) => host?,
            () = signals.recv() => return Err(interrupted()),
        };
        let out = context.out;
        let working = async {
            let access = Access::find(self.auth, context, &client, &name).await?;
            let mut agent = Agent::new(client, access, out, source, name).speaking(self.protocol);
            match (&self.prompt, self.once) {
                (Some(prompt), true) => {
                    agent.deploy().await?;
                    agent.ask(prompt).await
                }
                (prompt, _) => Box::pin(serve(context, &mut agent, &folder, prompt.as_deref())).await,
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
async fn find_or_start(
    context: &Context,
    listen: Option<SocketAddr>,
    auth: Option<Auth>,
) -> Result<(Client, Option<Server>), Failure> {
    match context.client() {
        Err(failure) if context.url.is_some() => return Err(failure),
        Ok(client) if context.url.is_some() || client.is_healthy().await => {
            context.out.note(format!("using the server at {}", client.endpoint().url));
            return Ok((client, None));
        }
        // None runs here, or what it left behind is of no use.
        _ => {}
    }
    let mut config = serve::load(context, Purpose::Develop, None)?;
    config.listen = listen.unwrap_or(config.listen);
    config.dev_issuer |= auth == Some(Auth::Jwt);
    config.shutdown_grace_secs = config.shutdown_grace_secs.min(GRACE.as_secs());
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
    let ca = server.ca().map(Path::to_owned);
    Ok((Client::trusting(endpoint, server.credentials().clone(), ca)?, Some(server)))
}

/// Deploys, asks, and redeploys at every edit, for ever; the agent's log is shown meanwhile.
async fn serve(context: &Context, agent: &mut Agent, folder: &Path, prompt: Option<&str>) -> Result<(), Failure> {
    let out = context.out;
    // Watched before it is read: an edit in between is not missed.
    let mut watch = Watch::new(folder)?;
    let mut log = Log::new();
    let mut announced = false;
    loop {
        match log.shown_while(out, agent.deploy()).await {
            Ok(None) => {}
            Ok(Some(published)) => {
                log.follow(&agent.client, &published.id).await;
                if announced {
                    out.note(out.err(Style::Green, &format!("{} v{} serves", published.name, published.version)));
                } else {
                    if let Some(prompt) = prompt
                        && let Err(failure) = log.shown_while(out, agent.ask(prompt)).await
                    {
                        out.failure(&failure);
                    }
                    announce(context, agent, &published, prompt.unwrap_or("Hello"))?;
                    announced = true;
                }
            }
            Err(failure) if failure.code == Code::Unreachable => return Err(failure),
            Err(failure) => out.failure(&failure),
        }
        out.note(out.err(Style::Dim, &format!("watching {}; Ctrl-C ends it", folder.display())));
        let retired = async {
            if let Err(failure) = agent.retire().await {
                out.failure(&failure);
            }
            std::future::pending().await
        };
        let edited = async {
            tokio::select! {
                changed = watch.changed() => changed,
                never = retired => never,
            }
        };
        log.shown_while(out, edited).await?;
    }
}

/// Says how the agent is reached, in commands that can be pasted.
fn announce(context: &Context, agent: &Agent, published: &Published, prompt: &str) -> Result<(), Failure> {
    let Agent { client, access, .. } = agent;
    let out = context.out;
    if out.json {
        return out.json(published);
    }
    let innkeep = snippets::program(context);
    let arn = client.runtime_arn(&published.id);
    let headers = access.headers()?;
    let invocation = Invocation {
        runtime: published.id.clone(),
        endpoint: EndpointName::default_endpoint(),
        session: SessionId::generate(),
        content_type: HeaderValue::from_static("application/json"),
        headers,
        payload: invoke::prompt_payload(prompt),
        timeout: limits::SYNC_REQUEST_TIMEOUT,
    };
    let head = |text: &str| out.note(format!("\n{}", out.err(Style::Bold, text)));
    head(&format!("{} v{} serves at", published.name, published.version));
    out.note(snippets::invoke_url(client, &published.id));
    head("from another terminal");
    let invoke = format!("{innkeep} invoke {} {} -s alice", published.name, snippets::quote(prompt));
    if access.is_for_tokens() {
        let token = access::token_word(context);
        out.note(format!("{invoke} --token {token}"));
        head("with curl");
        out.note(format!("TOKEN={token}"));
        out.note(format!("{}\n", snippets::curl(client, &invocation)));
        access.note().into_iter().for_each(|note| out.note(out.err(Style::Yellow, &note)));
        return Ok(());
    }
    out.note(invoke);
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
