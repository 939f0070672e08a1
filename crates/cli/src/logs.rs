//! `innkeep logs`: what agents wrote to standard output and standard error.

use clap::Args;
use innkeep_protocol::operator::LogEntry;
use innkeep_sdk::LogQuery;
use innkeep_types::{Clock, EndpointName, SessionId, SystemClock, UnixMillis};

use crate::context::Context;
use crate::failure::Failure;
use crate::output::{Output, Style};
use crate::{args, resolve};

/// Show what agents wrote
#[derive(Debug, Args)]
pub(crate) struct Logs {
    /// A runtime: name, id or ARN [default: every one]
    #[arg(value_name = "NAME")]
    runtime: Option<String>,
    /// Go on with new lines as they appear
    #[arg(short, long)]
    follow: bool,
    /// Only of this session
    #[arg(short, long, value_parser = resolve::session)]
    session: Option<SessionId>,
    /// Only of this endpoint
    #[arg(long)]
    endpoint: Option<EndpointName>,
    /// Not older than this: 10m, or 2026-11-20T10:00:00Z
    #[arg(long, value_parser = since)]
    since: Option<UnixMillis>,
    /// Only lines that hold this text
    #[arg(long, value_name = "TEXT")]
    grep: Option<String>,
}

impl Logs {
    pub(crate) async fn run(self, context: &Context) -> Result<(), Failure> {
        let client = context.client()?;
        let runtime = match self.runtime {
            Some(name) => Some(resolve::runtime(&client, &name).await?.id),
            None => None,
        };
        let Self { follow, session, endpoint, since, grep, .. } = self;
        let mut lines = client.logs(&LogQuery { runtime, endpoint, session, since, grep, follow }).await?;
        let mut any = follow;
        while let Some(entry) = lines.next().await? {
            any = true;
            if context.out.json {
                context.out.json(&entry)?;
            } else {
                context.out.data(line(&entry, |style, text| context.out.out(style, text)))?;
            }
        }
        if !any {
            context.out.note("no such lines");
        }
        Ok(())
    }
}

/// Returns a log line as people read it: time, session, text.
pub(crate) fn line(entry: &LogEntry, paint: impl Fn(Style, &str) -> String) -> String {
    let time = UnixMillis(entry.time_ms).to_string();
    // `2026-11-20T10:00:00.000Z`: the day says nothing to who watches.
    let time = time.get(11..23).unwrap_or(&time);
    let bar = if entry.stream == "stderr" { paint(Style::Yellow, "|") } else { paint(Style::Dim, "|") };
    let session = paint(Style::Dim, resolve::short(&entry.session_id));
    format!("{} {session} v{} {bar} {}", paint(Style::Dim, time), entry.version, entry.message)
}

/// Prints a log line to standard error, where `dev` has everything but the answer.
pub(crate) fn note(out: Output, entry: &LogEntry) {
    out.note(line(entry, |style, text| out.err(style, text)));
}

/// Reads a time, or how long ago it was.
pub(crate) fn since(s: &str) -> Result<UnixMillis, String> {
    since_at(s, SystemClock.now())
}

fn since_at(s: &str, now: UnixMillis) -> Result<UnixMillis, String> {
    if let Ok(time) = s.parse::<jiff::Timestamp>() {
        return Ok(UnixMillis(time.as_millisecond()));
    }
    let ago =
        args::duration(s).map_err(|_| "expected a duration such as 10m, or a time such as 2026-11-20T10:00:00Z")?;
    Ok(UnixMillis(now.0.saturating_sub(i64::try_from(ago.as_millis()).unwrap_or(i64::MAX))))
}

#[cfg(test)]
mod tests {
    use innkeep_types::RuntimeVersion;

    use super::*;

    #[test]
    fn a_line_shows_time_session_version_and_text() {
        let entry = LogEntry {
            time_ms: 1_795_168_800_007,
            session_id: SessionId::from_short("alice").unwrap(),
            version: RuntimeVersion::FIRST,
            stream: "stdout".to_owned(),
            message: "hello".to_owned(),
        };
        assert_eq!(line(&entry, |_, text| text.to_owned()), "10:00:00.007 alice v1 | hello");
    }

    #[test]
    fn since_takes_times_and_durations() {
        assert_eq!(since("2026-11-20T10:00:00Z"), Ok(UnixMillis(1_795_168_800_000)));
        assert_eq!(since_at("10m", UnixMillis(700_000)), Ok(UnixMillis(100_000)));
        assert!(since("yesterday").is_err());
    }
}
