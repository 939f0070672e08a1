//! The client who has a shell, from the 101 to the close frame: what he says goes to the shell, what the shell prints to him.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use hyper::rt::{Read, Write};
use hyper::upgrade::OnUpgrade;
use innkeep_protocol::shell::{FromShell, Status, ToShell, Unreadable};
use innkeep_types::{RequestId, ShellId, limits};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::attachment::{Attachment, Farewell};
use super::end::End;
use super::socket::{Socket, Turn};
use crate::stream::{Interrupt, Watch, died};
use crate::ws::{Message, Open, Rules};

/// Of what is replayed, sent at one time, bytes. Source: our choice.
const CHUNK: usize = 32 * 1024;

/// How much of what was typed waits for a terminal that takes nothing, bytes; beyond that the client is not listened to.
const TYPED: usize = 64 * 1024;

/// How long after a shell the news may come of why its sandbox ended. Source: our choice.
const NEWS: Duration = Duration::from_secs(1);

/// All that it takes.
pub(crate) struct Parts {
    pub(crate) request_id: RequestId,
    pub(crate) client: OnUpgrade,
    pub(crate) shell: ShellId,
    pub(crate) attachment: Attachment,
    /// Holds the lease.
    pub(crate) watch: Watch,
    pub(crate) rules: Rules,
    pub(crate) open: Open,
}

/// Serves the client until he leaves, loses the shell, or breaks a rule.
///
/// # Cancel safety
/// Dropping the future closes his connection, and leaves the shell.
pub(crate) async fn run(parts: Parts, stopping: impl Future<Output = ()>) {
    let Parts { request_id, client, shell, attachment, mut watch, rules, mut open } = parts;
    let Ok(client) = client.await else { return };
    let mut visit = Visit::new(Socket::new(client, rules), attachment, shell);
    let mut end = tokio::select! {
        biased;
        end = visit.serve() => end,
        interrupt = &mut watch => why(interrupt),
        () = stopping => End::Shutdown,
    };
    if end == End::Exited(None)
        && let Ok(interrupt) = timeout(NEWS, watch).await
    {
        end = why(interrupt);
    }
    open.ended(end.counted());
    tracing::debug!(request.id = %request_id, "the shell's client of request {request_id} ends: {end:?}");
    visit.finish(&end).await;
}

fn why(interrupt: Option<Interrupt>) -> End {
    match interrupt {
        Some(Interrupt::Ended(ended)) if died(&ended.reason) => End::SandboxDied(ended.reason.as_str()),
        Some(Interrupt::Ended(ended)) => End::SessionEnded(ended.reason.as_str()),
        Some(Interrupt::TooLong) | None => End::TooLong,
    }
}

/// A client, and the shell that he has.
#[derive(Debug)]
pub(crate) struct Visit<S> {
    socket: Socket<S>,
    attachment: Attachment,
    /// Of what is replayed, so much is sent.
    replayed: usize,
    /// What the shell has not taken yet.
    typed: Vec<u8>,
    /// Text messages in a row.
    n_texts: u32,
}

impl<S: Read + Write + Unpin> Visit<S> {
    pub(crate) fn new(mut socket: Socket<S>, attachment: Attachment, shell: ShellId) -> Self {
        let reconnected = attachment.reconnected;
        socket.say(&FromShell::Status(Status::Connected { shell, reconnected }));
        Self { socket, attachment, replayed: 0, typed: Vec::new(), n_texts: 0 }
    }

    /// Serves the client until he, or the shell, has nothing more to say.
    ///
    /// # Cancel safety
    /// Safe: what has come, and what is not sent, is kept.
    pub(crate) async fn serve(&mut self) -> End {
        loop {
            let listens = self.typed.len() < TYPED && self.socket.has_room();
            let speaks = self.socket.has_room();
            let Self { socket, attachment, replayed, typed, .. } = self;
            tokio::select! {
                turn = socket.turn(listens) => match turn {
                    Ok(Turn::Written) => {}
                    Ok(Turn::Said(message)) => if let Some(end) = self.hear(message) {
                        return end;
                    },
                    Err(stop) => return End::from(stop),
                },
                shown = next(&mut attachment.replay, replayed, &mut attachment.screen), if speaks => match shown {
                    Some(shown) => self.socket.say(&FromShell::Stdout(&shown)),
                    None => return self.farewell().await,
                },
                () = press(&attachment.keys, typed), if !typed.is_empty() => {}
            }
        }
    }

    /// Says what has to be said at the end.
    pub(crate) async fn finish(mut self, end: &End) {
        // First: what it takes to leave may take a while, and others may want the shell.
        drop(self.attachment);
        let Some((code, reason)) = end.close() else { return };
        if let Some(said) = end.last_message() {
            self.socket.say(&said);
        }
        self.socket.finish(code, &reason).await;
    }

    async fn farewell(&mut self) -> End {
        match Pin::new(&mut self.attachment.farewell).await {
            Ok(Farewell::Exited(exit)) => End::Exited(exit),
            Ok(Farewell::Replaced) => End::Replaced,
            Err(_) => End::Shutdown,
        }
    }

    /// Does what the client says. Returns the end if that was it.
    fn hear(&mut self, message: Message) -> Option<End> {
        let bytes = match message {
            Message::Binary(bytes) => bytes,
            Message::Text => {
                self.n_texts += 1;
                return (self.n_texts >= limits::SHELL_TEXT_MESSAGES).then_some(End::SpeaksText);
            }
            Message::Ping(payload) => {
                self.socket.pong(&payload);
                return None;
            }
            Message::Pong => return None,
            Message::Close => return Some(End::Left),
        };
        self.n_texts = 0;
        match ToShell::parse(&bytes) {
            Ok(ToShell::Stdin(keys)) => self.typed.extend_from_slice(keys),
            Ok(ToShell::Resize(size)) => self.attachment.wishes.send_modify(|wishes| wishes.size = Some(size)),
            Ok(ToShell::Heartbeat) => self.socket.say(&FromShell::Heartbeat),
            Ok(ToShell::Close) => self.attachment.wishes.send_modify(|wishes| wishes.end = true),
            // Other channels may come to be.
            Err(Unreadable::Channel) => {}
            Err(error) => self.socket.say(&FromShell::Stderr(&format!("innkeep: {error}\r\n"))),
        }
        None
    }
}

/// Waits until the shell takes what was typed.
async fn press(keys: &mpsc::Sender<Bytes>, typed: &mut Vec<u8>) {
    match keys.reserve().await {
        Ok(permit) => permit.send(Bytes::from(std::mem::take(typed))),
        // The shell has ended, as its screen will tell.
        Err(_) => typed.clear(),
    }
}

/// Returns what is shown next: first what is replayed. None: the shell is over, or another's.
async fn next(replay: &mut Vec<u8>, replayed: &mut usize, screen: &mut mpsc::Receiver<Bytes>) -> Option<Bytes> {
    if let Some(rest) = replay.get(*replayed..).filter(|rest| !rest.is_empty()) {
        let chunk = rest.get(..CHUNK).unwrap_or(rest);
        *replayed += chunk.len();
        return Some(Bytes::copy_from_slice(chunk));
    }
    *replay = Vec::new();
    screen.recv().await
}

#[cfg(test)]
mod tests;
