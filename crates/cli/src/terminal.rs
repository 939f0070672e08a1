//! `innkeep exec -it`: this terminal becomes one beside an agent, until its program ends or Ctrl-] is pressed.

mod keys;
mod raw;

use std::time::Duration;

use innkeep_protocol::shell::{Exit, FromShell, REPLACED, Status, ToShell};
use innkeep_sdk::{Client, Heard, Shell, ShellRequest};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use self::keys::{Keys, Pressed};
use self::raw::Raw;
use crate::failure::{Code, Failure};
use crate::output::Output;
use crate::signals::Signals;

/// Between two messages of keys: servers count them. Source: AgentCore quotas, "250 frames/s".
const PACE: Duration = Duration::from_millis(5);

/// How long to wait before a connection that was lost is made anew, time after time. Source: the SDK's `ReconnectConfig`.
const DELAYS: [u64; 5] = [1, 2, 4, 8, 15];

/// How long the server may take to say goodbye.
const GOODBYE: Duration = Duration::from_secs(2);

/// How it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    /// The program has.
    Exited(Exit),
    /// It was left, and lives on for a while.
    Left,
}

/// Why a connection ended.
enum End {
    Exited(Exit),
    Left,
    /// It broke, or the server asks to connect again.
    Lost,
    Failed(Failure),
}

/// Shows the shell on this terminal.
pub(crate) async fn show(client: &Client, mut request: ShellRequest, out: Output) -> Result<Ended, Failure> {
    // Before anything is started for it.
    raw::require()?;
    request.size = raw::size();
    let mut shell = client.open_shell(request.clone()).await?;
    let mut signals = Signals::new()?;
    let raw = Raw::enter()?;
    let mut keys = Keys::read();
    let mut end = converse(&mut shell, &mut keys, &mut signals, out).await;
    // What is run was run: the next connection is to that.
    for delay in DELAYS {
        if !matches!(end, End::Lost) {
            break;
        }
        out.note(format!("\r\nthe connection was lost; connecting again in {delay} s\r"));
        tokio::select! {
            () = sleep(Duration::from_secs(delay)) => {}
            () = signals.recv() => end = End::Left,
            () = keys.leave() => end = End::Left,
        }
        if matches!(end, End::Lost)
            && let Ok(again) = client.open_shell(request.clone()).await
        {
            shell = again;
            end = converse(&mut shell, &mut keys, &mut signals, out).await;
        }
    }
    drop(raw);
    match end {
        End::Exited(exit) => Ok(Ended::Exited(exit)),
        End::Left => Ok(Ended::Left),
        End::Lost => Err(Failure::new(Code::Unreachable, "the connection was lost")),
        End::Failed(failure) => Err(failure),
    }
}

/// Passes keys and screen until the connection ends.
async fn converse(shell: &mut Shell, keys: &mut Keys, signals: &mut Signals, out: Output) -> End {
    let mut resized = match signal(SignalKind::window_change()) {
        Ok(resized) => resized,
        Err(error) => return End::Failed(Failure::io("cannot listen for signals", &error)),
    };
    // It may be another one than when the shell was asked for.
    if let Some(size) = raw::size()
        && shell.say(ToShell::Resize(size)).await.is_err()
    {
        return End::Lost;
    }
    let mut may_say_at = Instant::now();
    loop {
        let said = tokio::select! {
            heard = shell.next() => match heard {
                Ok(heard) => match hear(&heard, out) {
                    Some(end) => return end,
                    None => Ok(()),
                },
                Err(_) => return End::Lost,
            },
            pressed = keys.next(), if Instant::now() >= may_say_at => match pressed {
                Pressed::Keys(keys) => {
                    may_say_at = Instant::now() + PACE;
                    shell.say(ToShell::Stdin(&keys)).await
                }
                Pressed::Leave => return leave(shell).await,
            },
            () = sleep_until(may_say_at), if Instant::now() < may_say_at => Ok(()),
            _ = resized.recv() => match raw::size() {
                Some(size) => shell.say(ToShell::Resize(size)).await,
                None => Ok(()),
            },
            () = signals.recv() => {
                leave(shell).await;
                return End::Failed(Failure::new(Code::Failed, "a signal ended the terminal; the shell lives on for a while"));
            }
        };
        if said.is_err() {
            return End::Lost;
        }
    }
}

/// Shows what was heard. Returns the end if that was it.
fn hear(heard: &Heard, out: Output) -> Option<End> {
    if let Heard::Close(code, reason) = heard {
        return Some(closed(*code, reason));
    }
    let shown = match heard.said()? {
        FromShell::Stdout(shown) => out.bytes(shown),
        FromShell::Stderr(words) => {
            out.note(words);
            Ok(())
        }
        FromShell::Status(Status::Exited(exit)) => return Some(End::Exited(exit)),
        FromShell::Status(Status::Failed { message }) => {
            return Some(End::Failed(Failure::new(Code::AgentFailed, message)));
        }
        FromShell::Status(Status::Connected { .. }) | FromShell::Heartbeat | FromShell::Close => Ok(()),
    };
    shown.err().map(End::Failed)
}

/// Source: AgentCore developer guide, interactive shells.
fn closed(code: u16, reason: &str) -> End {
    let failed = |code, words: &str| End::Failed(Failure::new(code, words));
    match code {
        REPLACED => failed(Code::Failed, "another client is connected to this shell now"),
        1000 => End::Left,
        1001 if reason.starts_with("the session has ended") => failed(Code::AgentFailed, reason),
        1001 | 1006 => End::Lost,
        1008 if reason.contains("as long as") => failed(Code::TimedOut, reason),
        code => failed(Code::AgentFailed, &format!("the server closed the terminal with code {code}: {reason}")),
    }
}

/// Says goodbye, and waits a moment for the answer, so that the shell is free at once.
async fn leave(shell: &mut Shell) -> End {
    let _ = timeout(GOODBYE, async {
        shell.leave().await?;
        while !matches!(shell.next().await?, Heard::Close(..)) {}
        Ok::<(), innkeep_sdk::Error>(())
    })
    .await;
    End::Left
}
