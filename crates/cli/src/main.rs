//! `innkeep`: the server, and every command that asks it something.

mod args;
mod artifacts;
mod audit;
mod backup;
mod command;
mod context;
mod credentials;
mod deploy;
mod dev;
mod diff;
mod doctor;
mod document;
mod endpoints;
mod env;
mod environment;
mod exec;
mod failure;
mod invocations;
mod invoke;
mod keys;
mod logs;
mod output;
mod pack;
mod phases;
mod prewarm;
mod publish;
mod resolve;
mod rollback;
mod runtimes;
mod serve;
mod sessions;
mod signals;
mod snippets;
mod source;
mod sse;
mod status;
mod terminal;
mod token;
mod venv;
mod versions;
mod wait;
mod watch;
mod websocket;

use std::process::ExitCode;

use clap::Parser;

use crate::args::{Cli, Command};
use crate::context::Context;
use crate::environment::Environment;
use crate::failure::Failure;
use crate::output::Output;

// A warm request makes some dozens of small allocations that end on another thread: 4 % more requests per second than glibc's
// allocator and a shorter tail, for 14 MiB more of resident memory (bench/run, 32 connections).
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Threads for what blocks: the disk, the digest of a large body. Each keeps what it freed for its own next use: the 512 that tokio
/// would start kept 490 MiB after 50 uploads of 100 MB, 16 keep half of it and are as fast. Source: `bench/run --only bodies`.
const BLOCKING_THREADS: usize = 16;

fn main() -> ExitCode {
    let environment = Environment::of_process();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return refuse(&error, &environment),
    };
    let out = Output::new(cli.global.json, cli.global.no_color, &environment);
    match run(cli, out, environment) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            out.failure(&failure);
            ExitCode::from(failure.code.exit_status())
        }
    }
}

fn run(cli: Cli, out: Output, environment: Environment) -> Result<(), Failure> {
    let context = Context::new(cli.global, out, environment)?;
    let mut builder = match cli.command {
        Command::Serve(_) | Command::Dev(_) => tokio::runtime::Builder::new_multi_thread(),
        // A client waits for one answer: threads would only cost time to start.
        _ => tokio::runtime::Builder::new_current_thread(),
    };
    let runtime = builder
        .enable_all()
        .max_blocking_threads(BLOCKING_THREADS)
        .build()
        .map_err(|e| Failure::io("cannot start", &e))?;
    runtime.block_on(async {
        match cli.command {
            Command::Dev(dev) => Box::pin(dev.run(&context)).await,
            Command::Serve(serve) => Box::pin(serve.run(&context)).await,
            Command::Deploy(deploy) => Box::pin(deploy.run(&context)).await,
            Command::Exec(exec) => Box::pin(exec.run(&context)).await,
            Command::Invoke(invoke) => Box::pin(invoke.run(&context)).await,
            Command::Invocations(invocations) => Box::pin(invocations.run(&context)).await,
            Command::Prewarm(prewarm) => Box::pin(prewarm.run(&context)).await,
            Command::Sessions(sessions) => Box::pin(sessions.run(&context)).await,
            Command::Status(status) => Box::pin(status.run(&context)).await,
            Command::Logs(logs) => Box::pin(logs.run(&context)).await,
            Command::Runtimes(runtimes) => Box::pin(runtimes.run(&context)).await,
            Command::Endpoints(endpoints) => Box::pin(endpoints.run(&context)).await,
            Command::Versions(versions) => Box::pin(versions.run(&context)).await,
            Command::Rollback(rollback) => Box::pin(rollback.run(&context)).await,
            Command::Artifacts(artifacts) => Box::pin(artifacts.run(&context)).await,
            Command::Keys(keys) => Box::pin(keys.run(&context)).await,
            Command::Audit(audit) => Box::pin(audit.run(&context)).await,
            Command::Doctor(doctor) => Box::pin(doctor.run(&context)).await,
            Command::Env(env) => env.run(&context),
            Command::Token(token) => token.run(&context),
            Command::Backup(backup) => backup.run(&context).await,
            Command::Restore(restore) => restore.run(&context).await,
        }
    })
}

/// Prints what the command line got wrong, or the help that it asked for.
fn refuse(error: &clap::Error, environment: &Environment) -> ExitCode {
    let json = std::env::args_os().any(|argument| argument == "--json");
    if error.use_stderr() && json {
        let message = error.to_string();
        let message = message.trim_start_matches("error: ").lines().next().unwrap_or_default();
        Output::new(true, true, environment).failure(&Failure::usage(message).with_fix("innkeep --help"));
    } else {
        // Where help cannot be printed, nothing can be said about it either.
        let _ = error.print();
    }
    ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2))
}
