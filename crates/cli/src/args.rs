//! The command line, read.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

use crate::{
    artifacts, audit, backup, deploy, dev, doctor, endpoints, env, exec, invocations, invoke, keys, logs, prewarm,
    rollback, runtimes, serve, sessions, status, token, versions,
};

/// A self-hosted agent runtime with the Amazon Bedrock AgentCore Runtime API.
#[derive(Debug, Parser)]
#[command(name = "innkeep", version, arg_required_else_help = true, after_help = EXIT_STATUS)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

const EXIT_STATUS: &str = "\
Exit status: 0 done, 1 failed, 2 usage, 3 not found, 4 not authorised, 5 the agent failed, 6 timed out,
7 server unreachable, 8 throttled or out of capacity.

With --json, standard output holds one JSON object (`logs`: one per line), and an error is such an object too:
{\"schema\":\"innkeep/v1\",\"error\":{\"code\",\"message\",\"cause\",\"log_tail\",\"fix\"}}";

/// Options of every command.
#[derive(Debug, Args)]
pub(crate) struct Global {
    /// The server's data directory [default: $INNKEEP_DATA_DIR, else /var/lib/innkeep as root, else
    /// $XDG_DATA_HOME/innkeep]
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    /// The server to ask [default: $INNKEEP_URL, else the one that runs on the data directory]
    #[arg(long, global = true, value_name = "URL")]
    pub(crate) url: Option<String>,
    /// The key to use: a profile of the data directory's `credentials`, else of ~/.aws/credentials
    #[arg(long, global = true, value_name = "NAME")]
    pub(crate) profile: Option<String>,
    /// Print JSON
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Print without colours
    #[arg(long, global = true)]
    pub(crate) no_color: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Dev(dev::Dev),
    Serve(serve::Serve),
    Deploy(deploy::Deploy),
    Invoke(invoke::Invoke),
    Exec(exec::Exec),
    Invocations(invocations::Invocations),
    Prewarm(prewarm::Prewarm),
    Sessions(sessions::Sessions),
    Status(status::Status),
    Logs(logs::Logs),
    Runtimes(runtimes::Runtimes),
    Endpoints(endpoints::Endpoints),
    Versions(versions::Versions),
    Rollback(rollback::Rollback),
    Artifacts(artifacts::Artifacts),
    Keys(keys::Keys),
    Token(token::Token),
    Audit(audit::Audit),
    Env(env::Env),
    Doctor(doctor::Doctor),
    Backup(backup::Backup),
    Restore(backup::Restore),
}

/// Reads `90`, `90s`, `1.5m`, `1h 30m`; a bare number is seconds.
pub(crate) fn duration(s: &str) -> Result<Duration, String> {
    if let Ok(secs) = s.parse::<u32>() {
        return Ok(Duration::from_secs(secs.into()));
    }
    let parsed: Option<jiff::SignedDuration> = s.parse().ok();
    parsed
        .and_then(|d| Duration::try_from(d).ok())
        .ok_or_else(|| "expected a duration such as 30s, 10m or 2h".to_owned())
}

/// Reads what [`duration`] reads, and `30d`.
pub(crate) fn long_duration(s: &str) -> Result<Duration, String> {
    let days = s.strip_suffix('d').and_then(|days| days.trim().parse::<u32>().ok());
    days.map_or_else(|| duration(s), |days| Ok(Duration::from_secs(u64::from(days) * 24 * 60 * 60)))
        .map_err(|_| "expected a duration such as 30s, 12h or 30d".to_owned())
}

/// For how long something is good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lifetime {
    For(Duration),
    Ever,
}

impl Lifetime {
    /// Returns its seconds; none: for ever.
    pub(crate) fn as_secs(self) -> Option<u64> {
        match self {
            Self::For(lifetime) => Some(lifetime.as_secs()),
            Self::Ever => None,
        }
    }
}

/// Reads what [`long_duration`] reads, and `never`.
pub(crate) fn lifetime(s: &str) -> Result<Lifetime, String> {
    if s == "never" { Ok(Lifetime::Ever) } else { long_duration(s).map(Lifetime::For) }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn durations_are_read() {
        let secs = ["90", "90s", "10m", "1h 30m", "500ms"].map(|s| duration(s).unwrap().as_millis());
        assert_eq!(secs, [90_000, 90_000, 600_000, 5_400_000, 500]);
        for bad in ["", "x", "-1", "-5s", "10 parsecs"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn lifetimes_have_days_or_no_end() {
        let secs = ["never", "30d", "12h", "90"].map(|s| lifetime(s).unwrap().as_secs());
        assert_eq!(secs, [None, Some(30 * 86_400), Some(43_200), Some(90)]);
        for bad in ["", "d", "-1d", "1.5 d", "ever"] {
            assert!(lifetime(bad).is_err(), "{bad}");
        }
    }
}
