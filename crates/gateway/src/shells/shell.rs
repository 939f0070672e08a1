//! One shell: owns its terminal, what that printed last, and the client that has it. It prints whether anybody looks or not: without a
//! client only the ring keeps what is printed, with one the terminal waits for him, as long as he takes anything at all.

use std::future::{Future, pending};
use std::time::Duration;

use bytes::{Buf, Bytes};
use innkeep_protocol::shell::{Exit, Size};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, split};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use super::attachment::{Attachment, Farewell, Place, Wishes, attachment};
use super::life::{Client, Life};
use super::ring::Ring;

/// Read of a terminal at one time, bytes. Source: our choice.
const CHUNK: usize = 16 * 1024;

/// How long what a program printed last may take to be read, and taken by its client, once it has ended. Source: our choice.
const LAST_OUTPUT: Duration = Duration::from_secs(2);

/// How long the terminal may be silent then: what the program left running may hold it open. Source: our choice.
const SILENCE: Duration = Duration::from_millis(200);

/// The program that a terminal belongs to. Dropping it ends all that it started.
pub(crate) trait Program: Send + 'static {
    /// Tells it that its terminal has another size.
    fn resize(&self, size: Size);

    /// Ends it; [`Self::wait`] tells when it has.
    fn kill(&self);

    /// Waits for its end, and returns how it ended; none, if the place where it runs is gone.
    ///
    /// # Cancel safety
    /// Safe.
    fn wait(&mut self) -> impl Future<Output = Option<Exit>> + Send;
}

/// What all shells have in common.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rules {
    /// What is shown to who connects again, bytes.
    pub(crate) replay_bytes: usize,
    /// How long it waits for a client.
    pub(crate) detached_timeout: Duration,
}

/// A handle: who has it can come to the shell.
#[derive(Debug, Clone)]
pub(crate) struct Shell(mpsc::Sender<oneshot::Sender<Attachment>>);

impl Shell {
    /// Returns a shell, and what runs it.
    pub(crate) fn new<T, P>(
        terminal: T,
        program: P,
        rules: Rules,
        stopping: CancellationToken,
    ) -> (Self, impl Future<Output = ()> + Send)
    where
        T: AsyncRead + AsyncWrite + Send + 'static,
        P: Program,
    {
        // Full, a client waits for those who came before him to be given the shell, one after the other.
        let (visit, visits) = mpsc::channel(4);
        let actor = Actor {
            life: Life::new(rules.detached_timeout, Instant::now()),
            ring: Ring::new(rules.replay_bytes),
            place: None,
            was_visited: false,
            shown: None,
            typed: Bytes::new(),
            is_shut: false,
        };
        (Self(visit), async move {
            tokio::select! {
                () = actor.run(terminal, program, visits) => {}
                () = stopping.cancelled() => {}
            }
        })
    }

    /// Returns a handle of nothing, and what its visitors come to.
    #[cfg(test)]
    pub(crate) fn of_nobody() -> (Self, mpsc::Receiver<oneshot::Sender<Attachment>>) {
        let (visit, visits) = mpsc::channel(1);
        (Self(visit), visits)
    }

    /// Tells whether it has ended.
    pub(crate) fn is_over(&self) -> bool {
        self.0.is_closed()
    }

    /// Tells whether both are the same shell.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        self.0.same_channel(&other.0)
    }

    /// Gives the shell to a client, and takes it from the one who has it; none, if it has ended.
    pub(crate) async fn attach(&self) -> Option<Attachment> {
        let (reply, attachment) = oneshot::channel();
        self.0.send(reply).await.ok()?;
        attachment.await.ok()
    }
}

#[derive(Debug)]
struct Actor {
    life: Life,
    ring: Ring,
    place: Option<(Client, Place)>,
    was_visited: bool,
    /// What was printed and the client is still to take.
    shown: Option<Bytes>,
    /// What was typed and the terminal is still to take.
    typed: Bytes,
    /// Whether nothing is printed any more.
    is_shut: bool,
}

impl Actor {
    async fn run<T, P>(mut self, terminal: T, mut program: P, mut visits: mpsc::Receiver<oneshot::Sender<Attachment>>)
    where
        T: AsyncRead + AsyncWrite + Send,
        P: Program,
    {
        let (mut from, mut to) = split(terminal);
        let mut chunk = vec![0; CHUNK];
        loop {
            let ends_at = self.life.ends_at();
            let Self { place, shown, typed, is_shut, .. } = &mut self;
            let (screen, keys, wishes) = match place {
                Some((_, Place { screen, keys, wishes, .. })) => (Some(&*screen), Some(keys), Some(wishes)),
                None => (None, None, None),
            };
            tokio::select! {
                exit = program.wait() => {
                    let _ = timeout(LAST_OUTPUT, self.print_rest(&mut from, &mut chunk)).await;
                    return self.farewell(Farewell::Exited(exit));
                }
                visit = visits.recv() => match visit {
                    Some(visit) => self.attach(visit),
                    None => return,
                },
                wish = next_wish(wishes) => match wish {
                    Some(Wishes { end: true, .. }) => program.kill(),
                    Some(Wishes { size: Some(size), .. }) => program.resize(size),
                    Some(_) => {}
                    None => self.leave(),
                },
                keys = next_keys(keys), if typed.is_empty() => self.typed = keys,
                written = to.write(typed), if !typed.is_empty() => match written {
                    Ok(n @ 1..) => self.typed.advance(n),
                    // It has gone: `wait` tells how.
                    _ => self.typed.clear(),
                },
                () = show(screen, shown), if shown.is_some() => {}
                read = from.read(&mut chunk), if shown.is_none() && !*is_shut => match read {
                    Ok(n @ 1..) => self.print(chunk.get(..n).unwrap_or_default()),
                    _ => self.is_shut = true,
                },
                () = until(ends_at) => if self.life.pass(Instant::now()) {
                    return;
                },
            }
        }
    }

    fn attach(&mut self, visit: oneshot::Sender<Attachment>) {
        let Some(attached) = self.life.attach() else { return };
        if attached.replaced.is_some() {
            self.farewell(Farewell::Replaced);
        }
        let (attachment, place) = attachment(self.was_visited, self.ring.to_vec());
        // It is in the ring.
        self.shown = None;
        self.was_visited = true;
        self.place = Some((attached.client, place));
        if visit.send(attachment).is_err() {
            self.leave();
        }
    }

    fn leave(&mut self) {
        self.shown = None;
        if let Some((client, _)) = self.place.take() {
            self.life.leave(client, Instant::now());
        }
    }

    fn farewell(&mut self, why: Farewell) {
        if let Some((_, place)) = self.place.take() {
            // He may have left in this moment.
            let _ = place.farewell.send(why);
        }
    }

    fn print(&mut self, printed: &[u8]) {
        self.ring.push(printed);
        self.shown = self.place.is_some().then(|| Bytes::copy_from_slice(printed));
    }

    /// Prints what the terminal still holds.
    async fn print_rest(&mut self, from: &mut (impl AsyncRead + Unpin), chunk: &mut [u8]) {
        loop {
            if self.shown.is_some() {
                show(self.place.as_ref().map(|(_, place)| &place.screen), &mut self.shown).await;
            }
            match timeout(SILENCE, from.read(chunk)).await {
                Ok(Ok(n @ 1..)) if !self.is_shut => self.print(chunk.get(..n).unwrap_or_default()),
                _ => return,
            }
        }
    }
}

/// Waits for a wish of the client's; none, if he leaves.
async fn next_wish(wishes: Option<&mut watch::Receiver<Wishes>>) -> Option<Wishes> {
    let Some(wishes) = wishes else { return pending().await };
    wishes.changed().await.ok()?;
    Some(*wishes.borrow_and_update())
}

/// Waits for keys of the client's.
async fn next_keys(keys: Option<&mut mpsc::Receiver<Bytes>>) -> Bytes {
    let Some(keys) = keys else { return pending().await };
    match keys.recv().await {
        Some(keys) => keys,
        // He leaves, as the end of his wishes tells.
        None => pending().await,
    }
}

/// Waits until the client takes what is to be shown.
async fn show(screen: Option<&mpsc::Sender<Bytes>>, shown: &mut Option<Bytes>) {
    let permit = match screen {
        Some(screen) => screen.reserve().await.ok(),
        None => None,
    };
    // Without one he leaves, or has left.
    if let (Some(shown), Some(permit)) = (shown.take(), permit) {
        permit.send(shown);
    }
}

async fn until(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at).await,
        None => pending().await,
    }
}

#[cfg(test)]
mod tests;
