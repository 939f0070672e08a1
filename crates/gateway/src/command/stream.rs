//! The answer to a command while it runs: its output as it comes, at the caller's pace, and how it ended. Dropping it, which is what
//! happens when the caller leaves, kills the command and all that it started.
//!
//! ```text
//! contentStart ─► contentDelta … ─┬─ ended, and both outputs read to their ends ──────────────► contentStop COMPLETED
//!                                 ├─ its time is over ─► killed ─► the same ──────────────────► contentStop TIMED_OUT
//!                                 └─ more than it may say ─► killed; or its session is gone ──► runtimeClientError
//! ```

use std::collections::VecDeque;
use std::fmt;
use std::future::{Future, pending};
use std::io::{self, ErrorKind};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use innkeep_sandbox::exec::{Exec, ExecExit, ExecProcess, ExecStreams};
use tokio::net::unix::pipe;
use tokio::time::{Instant, sleep_until};

use super::events::{self, Output, Status};
use super::text::Text;
use crate::crossings::{Crossings, Limit};
use crate::stream::{Interrupt, Watch};

/// How long after a command's time the last of its answer may take. Source: our choice; killing and reading takes milliseconds.
pub(super) const LAST_WORDS: Duration = Duration::from_secs(30);

/// How long after a command's end its outputs may stay open: something that it left may hold them where it could not be killed.
/// Source: our choice.
const DRAIN: Duration = Duration::from_secs(1);

/// How long the news of a session's end may take once its command is lost. Source: our choice; they come within milliseconds.
const NEWS: Duration = Duration::from_secs(2);

/// What is read at one time, bytes: as much as a pipe holds.
const PART: usize = 64 << 10;

/// The exit code where the platform ended a command. Source: AgentCore API reference, `ContentStopEvent`.
const ENDED_BY_PLATFORM: i32 = -1;

/// The answer's body: never an error, and never a clean end without a last message.
pub(crate) struct CommandStream {
    state: State,
}

enum State {
    Idle(Box<Running>),
    Busy(Next),
    Over,
}

/// The next message on its way, and who is asked for the one after it.
type Next = Pin<Box<dyn Future<Output = (Box<Running>, Option<Bytes>)> + Send>>;

/// A command that runs.
#[derive(Debug)]
pub(super) struct Running {
    process: ExecProcess,
    stdout: Pipe,
    stderr: Pipe,
    /// Holds the lease.
    watch: Watch,
    ends_at: Instant,
    is_late: bool,
    exit: Option<ExecExit>,
    /// Since the exit.
    drained_at: Option<Instant>,
    /// What it may say altogether, and still, bytes.
    max_bytes: u64,
    allowance: u64,
    /// Where it is counted that it said more.
    crossings: Crossings,
    /// Messages that are ready.
    ready: VecDeque<Bytes>,
    is_over: bool,
    part: Vec<u8>,
}

#[derive(Debug)]
struct Pipe {
    /// None once it has ended.
    from: Option<pipe::Receiver>,
    text: Text,
}

/// What happens next to a command.
enum Event {
    Interrupt(Option<Interrupt>),
    Late,
    Exit(ExecExit),
    Drained,
    Readable(Output),
}

impl CommandStream {
    pub(super) fn new(running: Running) -> Self {
        Self { state: State::Idle(Box::new(running)) }
    }

    /// Returns the next message; none: that was the last.
    pub(crate) fn poll_message(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        loop {
            match std::mem::replace(&mut self.state, State::Over) {
                State::Over => return Poll::Ready(None),
                State::Idle(mut running) => {
                    self.state = State::Busy(Box::pin(async move {
                        let message = running.next().await;
                        (running, message)
                    }));
                }
                State::Busy(mut busy) => {
                    let Poll::Ready((running, message)) = busy.as_mut().poll(cx) else {
                        self.state = State::Busy(busy);
                        return Poll::Pending;
                    };
                    if message.is_some() {
                        self.state = State::Idle(running);
                    }
                    return Poll::Ready(message);
                }
            }
        }
    }

    /// Tells whether there is nothing more to come.
    pub(crate) fn is_over(&self) -> bool {
        matches!(self.state, State::Over)
    }
}

impl Running {
    /// Takes over a command that has just started, ends at `ends_at`, and may write `max_bytes`.
    pub(super) fn new(exec: Exec, watch: Watch, ends_at: Instant, max_bytes: u64, crossings: Crossings) -> Self {
        let (stdout, stderr) = match exec.streams {
            // Dropped: a command has nothing to read.
            ExecStreams::Pipes { stdin: _, stdout, stderr } => (Some(stdout), Some(stderr)),
            ExecStreams::Terminal(_) => (None, None),
        };
        let pipe = |from| Pipe { from, text: Text::default() };
        Self {
            process: exec.process,
            stdout: pipe(stdout),
            stderr: pipe(stderr),
            watch,
            ends_at,
            is_late: false,
            exit: None,
            drained_at: None,
            max_bytes,
            allowance: max_bytes,
            crossings,
            ready: VecDeque::from([events::start()]),
            is_over: false,
            part: vec![0; PART],
        }
    }

    async fn next(&mut self) -> Option<Bytes> {
        loop {
            if let Some(message) = self.ready.pop_front() {
                return Some(message);
            }
            if self.is_over {
                return None;
            }
            if let (Some(exit), None, None) = (self.exit, &self.stdout.from, &self.stderr.from) {
                self.finish(exit).await;
                continue;
            }
            match self.event().await {
                Event::Interrupt(interrupt) => self.break_off(interrupt),
                Event::Late => {
                    self.is_late = true;
                    self.process.kill();
                }
                Event::Exit(exit) => {
                    self.exit = Some(exit);
                    self.drained_at = Some(Instant::now() + DRAIN);
                }
                Event::Drained => (self.stdout.from, self.stderr.from) = (None, None),
                Event::Readable(output) => self.read(output),
            }
        }
    }

    async fn event(&mut self) -> Event {
        let Self { process, stdout, stderr, watch, ends_at, is_late, exit, drained_at, .. } = self;
        let readable = async {
            // Neither comes first, or one that says much would hide the other.
            tokio::select! {
                () = stdout.readable() => Event::Readable(Output::Stdout),
                () = stderr.readable() => Event::Readable(Output::Stderr),
            }
        };
        tokio::select! {
            biased;
            interrupt = watch, if *exit != Some(ExecExit::SandboxGone) => Event::Interrupt(interrupt),
            () = sleep_until(*ends_at), if !*is_late && exit.is_none() => Event::Late,
            exit = process.wait(), if exit.is_none() => Event::Exit(exit),
            event = readable => event,
            () = sleep_until(drained_at.unwrap_or(*ends_at)), if drained_at.is_some() => Event::Drained,
        }
    }

    fn read(&mut self, output: Output) {
        let pipe = match output {
            Output::Stdout => &mut self.stdout,
            Output::Stderr => &mut self.stderr,
        };
        let n = match pipe.from.as_ref().map(|from| from.try_read(&mut self.part)) {
            Some(Ok(n)) => n,
            Some(Err(error)) if error.kind() == ErrorKind::WouldBlock => return,
            // A pipe has no other errors; none is an end.
            Some(Err(_)) | None => 0,
        };
        let text = match self.part.get(..n) {
            None | Some([]) => {
                pipe.from = None;
                pipe.text.finish().to_owned()
            }
            Some(bytes) => pipe.text.push(bytes),
        };
        match self.allowance.checked_sub(n as u64) {
            Some(left) => {
                self.allowance = left;
                self.ready.extend(events::deltas(output, &text));
            }
            None => {
                self.crossings.count(Limit::CommandOutput);
                let words = format!("The command wrote more than {} bytes, and was ended", self.max_bytes);
                self.fail(&words);
            }
        }
    }

    async fn finish(&mut self, exit: ExecExit) {
        let (code, status) = match exit {
            _ if self.is_late => (ENDED_BY_PLATFORM, Status::TimedOut),
            ExecExit::Exited(code) => (code, Status::Completed),
            // As shells have it.
            ExecExit::Signalled(signal) => (128 + signal, Status::Completed),
            ExecExit::SandboxGone => {
                let interrupt = tokio::time::timeout(NEWS, &mut self.watch).await.ok().flatten();
                return self.break_off(interrupt);
            }
        };
        self.ready.push_back(events::stop(code, status));
        self.is_over = true;
    }

    /// Tells that the command cannot be followed to its end.
    fn break_off(&mut self, interrupt: Option<Interrupt>) {
        match interrupt {
            Some(Interrupt::Ended(ended)) => {
                self.fail(&format!("The session ended before the command did: {}", ended.reason.as_str()));
            }
            Some(Interrupt::TooLong) => {
                self.process.kill();
                self.ready.push_back(events::stop(ENDED_BY_PLATFORM, Status::TimedOut));
                self.is_over = true;
            }
            None => self.fail("The command could not be followed to its end"),
        }
    }

    fn fail(&mut self, words: &str) {
        self.process.kill();
        self.ready.push_back(events::runtime_client_error(words));
        self.is_over = true;
    }
}

impl Pipe {
    /// Waits until there is something to read, or the end of it; for ever, once that was read.
    async fn readable(&self) {
        match &self.from {
            // What is wrong with it, reading tells.
            Some(from) => drop::<io::Result<()>>(from.readable().await),
            None => pending().await,
        }
    }
}

impl fmt::Debug for CommandStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CommandStream").field("is_over", &self.is_over()).finish_non_exhaustive()
    }
}
