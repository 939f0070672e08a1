//! `innkeep exec`: a program beside an agent, in its session.

use std::time::Duration;

use clap::Args;
use http::HeaderMap;
use http::header::AUTHORIZATION;
use innkeep_sdk::{Client, CommandRequest, ShellRequest};
use innkeep_types::{EndpointName, RuntimeId, SessionId, ShellId, limits};

use crate::context::Context;
use crate::failure::{Code, Failure};
use crate::output::Style;
use crate::terminal::{self, Ended};
use crate::{args, command, invoke, resolve};

/// Run a command, or with -it a terminal, inside a session, beside its agent
///
/// One COMMAND is a line for the shell, several are a program and its arguments. What it prints is printed as it comes, and its exit
/// status is that of this command. It has the agent's files, environment and walls, and nothing to read.
///
/// With -it this terminal becomes one beside the agent: a shell, or COMMAND and its arguments. Ctrl-] leaves it; what runs in it then
/// goes on for a quarter of an hour, and --shell comes back to it.
#[derive(Debug, Args)]
pub(crate) struct Exec {
    /// A runtime: name, id, ARN, or the name of the folder it came from
    #[arg(value_name = "NAME|ID|ARN")]
    runtime: String,
    /// The session; short names are turned into valid ids, the same way every time [default: a new one]
    #[arg(short, long, value_parser = resolve::session)]
    session: Option<SessionId>,
    /// The endpoint to use [default: DEFAULT, or the ARN's]
    #[arg(long)]
    endpoint: Option<EndpointName>,
    /// A token of the issuer whose tokens the runtime takes, or @FILE with one, in place of a signature
    #[arg(long, value_name = "TOKEN|@FILE")]
    token: Option<String>,
    /// Kill it after this time, 1s to 1h [default: 5m]
    #[arg(long, value_parser = args::duration, conflicts_with = "tty")]
    timeout: Option<Duration>,
    /// With -t: pass on what is typed
    #[arg(short, long, requires = "tty")]
    interactive: bool,
    /// With -i: make this terminal the program's
    #[arg(short, long, requires = "interactive", conflicts_with = "json")]
    tty: bool,
    /// With -it: come back to this shell of the session, or open it under this id [default: a new one]
    #[arg(long, value_name = "ID", requires = "tty")]
    shell: Option<ShellId>,
    /// What to run [default with -it: a shell]
    #[arg(last = true, required_unless_present = "tty")]
    command: Vec<String>,
}

impl Exec {
    pub(crate) async fn run(self, context: &Context) -> Result<(), Failure> {
        let client = context.client()?;
        let (runtime, of_arn) = match resolve::arn(&self.runtime) {
            Some(named) => named,
            None => (resolve::runtime(&client, &self.runtime).await?.id, None),
        };
        let mut headers = HeaderMap::new();
        if let Some(given) = &self.token {
            headers.insert(AUTHORIZATION, invoke::bearer(given)?);
        }
        if self.tty {
            return self.show(&client, runtime, of_arn, headers, context).await;
        }
        let is_new = self.session.is_none();
        let request = CommandRequest {
            runtime,
            endpoint: self.endpoint.or(of_arn).unwrap_or_else(EndpointName::default_endpoint),
            session: self.session.unwrap_or_else(SessionId::generate),
            command: command::line(&self.command),
            timeout: self.timeout,
            headers,
            patience: limits::SYNC_REQUEST_TIMEOUT,
        };
        if is_new && !context.out.json {
            context.out.note(context.out.err(Style::Dim, &format!("session {}", request.session)));
        }
        command::run(&client, request, context.out).await
    }

    async fn show(
        self,
        client: &Client,
        runtime: RuntimeId,
        of_arn: Option<EndpointName>,
        headers: HeaderMap,
        context: &Context,
    ) -> Result<(), Failure> {
        let out = context.out;
        let request = ShellRequest {
            runtime,
            endpoint: self.endpoint.clone().or(of_arn).unwrap_or_else(EndpointName::default_endpoint),
            session: self.session.unwrap_or_else(SessionId::generate),
            shell: self.shell.unwrap_or_else(ShellId::generate),
            size: None,
            command: self.command,
            headers,
            timeout: limits::SYNC_REQUEST_TIMEOUT,
        };
        let endpoint = self.endpoint.map(|endpoint| format!(" --endpoint {endpoint}")).unwrap_or_default();
        let session = resolve::short(&request.session);
        let again = format!("innkeep exec -it {} -s {session}{endpoint} --shell {}", self.runtime, request.shell);
        out.note(out.err(Style::Dim, &format!("session {} (Ctrl-] leaves)", request.session)));
        match terminal::show(client, request, out).await {
            Ok(Ended::Exited(exit)) => match exit.code() {
                0 => Ok(()),
                code => Err(Failure::new(Code::Program(u8::try_from(code).unwrap_or(u8::MAX)), "the program failed")),
            },
            Ok(Ended::Left) => {
                out.note(format!("left; to come back: {again}"));
                Ok(())
            }
            Err(failure) => Err(failure),
        }
    }
}
