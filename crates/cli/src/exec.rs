//! `innkeep exec`: a program beside an agent, in its session.

use std::time::Duration;

use clap::Args;
use http::HeaderMap;
use http::header::AUTHORIZATION;
use innkeep_sdk::CommandRequest;
use innkeep_types::{EndpointName, SessionId, limits};

use crate::context::Context;
use crate::failure::Failure;
use crate::output::Style;
use crate::{args, command, invoke, resolve};

/// Run a command inside a session, beside its agent
///
/// One COMMAND is a line for the shell, several are a program and its arguments. What it prints is printed as it comes, and its exit
/// status is that of this command. It has the agent's files, environment and walls, and nothing to read.
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
    #[arg(long, value_parser = args::duration)]
    timeout: Option<Duration>,
    /// What to run
    #[arg(last = true, required = true)]
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
}
