//! What is typed on this terminal.

use std::io::Read;

use tokio::sync::mpsc;

/// Ctrl-], the key that leaves. Source: telnet, and AWS's own `agentcore exec`.
const LEAVE: u8 = 0x1D;

/// Keys said at one time, bytes at most: half of what a frame holds. Source: our choice.
const MOST: usize = 32 * 1024;

/// What was pressed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Pressed {
    Keys(Vec<u8>),
    /// The key that leaves, or the terminal was closed.
    Leave,
}

/// Reads standard input.
#[derive(Debug)]
pub(crate) struct Keys {
    read: mpsc::Receiver<Vec<u8>>,
    /// What was read and not given out.
    kept: Vec<u8>,
    is_over: bool,
}

impl Keys {
    pub(crate) fn read() -> Self {
        // Full, the reader waits.
        let (say, read) = mpsc::channel(4);
        // A thread of its own, which no runtime waits for: nothing ends a read of a terminal.
        std::thread::spawn(move || {
            let mut chunk = vec![0; 4096];
            let mut input = std::io::stdin().lock();
            while let Ok(n @ 1..) = input.read(&mut chunk) {
                if say.blocking_send(chunk.get(..n).unwrap_or_default().to_vec()).is_err() {
                    return;
                }
            }
        });
        Self::of(read)
    }

    fn of(read: mpsc::Receiver<Vec<u8>>) -> Self {
        Self { read, kept: Vec::new(), is_over: false }
    }

    /// Waits for what is pressed next: all that is there, up to the key that leaves.
    ///
    /// # Cancel safety
    /// Safe: what was read is kept.
    pub(crate) async fn next(&mut self) -> Pressed {
        if self.kept.is_empty() && !self.is_over {
            match self.read.recv().await {
                Some(keys) => self.kept = keys,
                None => self.is_over = true,
            }
        }
        while self.kept.len() < MOST
            && let Ok(more) = self.read.try_recv()
        {
            self.kept.extend(more);
        }
        match self.kept.iter().position(|key| *key == LEAVE) {
            Some(0) => Pressed::Leave,
            Some(at) => {
                let rest = self.kept.split_off(at);
                Pressed::Keys(std::mem::replace(&mut self.kept, rest))
            }
            None if self.kept.is_empty() => Pressed::Leave,
            None => Pressed::Keys(std::mem::take(&mut self.kept)),
        }
    }

    /// Waits for the key that leaves. All others are lost: there is nobody to hear them.
    ///
    /// # Cancel safety
    /// Safe.
    pub(crate) async fn leave(&mut self) {
        while self.next().await != Pressed::Leave {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn pressed(typed: &[&[u8]]) -> Vec<Pressed> {
        let (say, read) = mpsc::channel(16);
        for keys in typed {
            say.send(keys.to_vec()).await.unwrap();
        }
        drop(say);
        let mut keys = Keys::of(read);
        let mut all = Vec::new();
        while all.last() != Some(&Pressed::Leave) {
            all.push(keys.next().await);
        }
        all
    }

    #[tokio::test]
    async fn keys_are_said_together_up_to_the_one_that_leaves() {
        let keys = |keys: &[u8]| Pressed::Keys(keys.to_vec());
        assert_eq!(pressed(&[b"l", b"s", b"\n"]).await, [keys(b"ls\n"), Pressed::Leave]);
        assert_eq!(pressed(&[b"ab\x1dcd"]).await, [keys(b"ab"), Pressed::Leave]);
        assert_eq!(pressed(&[b"\x1d"]).await, [Pressed::Leave]);
        assert_eq!(pressed(&[b"\x03\x04\xFF"]).await, [keys(b"\x03\x04\xFF"), Pressed::Leave]);
    }
}
