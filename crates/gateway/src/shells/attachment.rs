//! What a shell and the client that has it hold of each other: four channels, each bounded, and each with one reader.

use bytes::Bytes;
use innkeep_protocol::shell::{Exit, Size};
use tokio::sync::{mpsc, oneshot, watch};

/// Messages of the screen that are on their way to the client; full, the terminal is read no further.
const SCREEN: usize = 2;

/// Messages of keys that are on their way to the terminal; full, the client's are collected.
const KEYS: usize = 1;

/// The client's half. Dropping it leaves the shell.
#[derive(Debug)]
pub(crate) struct Attachment {
    /// Whether the shell was there before.
    pub(crate) reconnected: bool,
    /// What it printed last, before the client came.
    pub(crate) replay: Vec<u8>,
    pub(crate) screen: mpsc::Receiver<Bytes>,
    pub(crate) keys: mpsc::Sender<Bytes>,
    pub(crate) wishes: watch::Sender<Wishes>,
    /// Comes after the last of the screen. Dropped without a word: the server ends.
    pub(crate) farewell: oneshot::Receiver<Farewell>,
}

/// The shell's half.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) screen: mpsc::Sender<Bytes>,
    pub(crate) keys: mpsc::Receiver<Bytes>,
    pub(crate) wishes: watch::Receiver<Wishes>,
    pub(crate) farewell: oneshot::Sender<Farewell>,
}

/// What a client asks of a shell; the last one counts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Wishes {
    pub(crate) size: Option<Size>,
    /// The shell shall end.
    pub(crate) end: bool,
}

/// Why a client loses a shell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Farewell {
    /// Its program has ended; none: with the place where it ran.
    Exited(Option<Exit>),
    /// Another client has it now.
    Replaced,
}

/// Returns both halves.
pub(crate) fn attachment(reconnected: bool, replay: Vec<u8>) -> (Attachment, Place) {
    let (to_screen, screen) = mpsc::channel(SCREEN);
    let (keys, from_keys) = mpsc::channel(KEYS);
    let (wishes, wished) = watch::channel(Wishes::default());
    let (say_farewell, farewell) = oneshot::channel();
    let place = Place { screen: to_screen, keys: from_keys, wishes: wished, farewell: say_farewell };
    (Attachment { reconnected, replay, screen, keys, wishes, farewell }, place)
}
