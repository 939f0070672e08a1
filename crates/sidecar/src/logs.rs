//! The agent's output: read as fast as it comes, kept as one JSON line per line in a file of bounded size.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::rc::Rc;

use innkeep_protocol::link::{LOG_FILE_BYTES, LOG_LINE_BYTES, LOG_TAIL_LINE_BYTES, LOG_TAIL_LINES, LogLine, LogStream};
use innkeep_types::{Clock, SystemClock};
use tokio::net::unix::pipe;

use crate::place::Place;

/// The file, and the last lines in memory.
pub(crate) struct Logs {
    place: Rc<Place>,
    file: File,
    size: u64,
    tail: VecDeque<String>,
}

/// One of the agent's outputs.
pub(crate) struct Output {
    pipe: Option<pipe::Receiver>,
    stream: LogStream,
    /// The start of a line that has no end yet.
    partial: Vec<u8>,
}

impl Output {
    pub(crate) fn new(pipe: impl Into<OwnedFd>, stream: LogStream) -> io::Result<Self> {
        Ok(Self { pipe: Some(pipe::Receiver::from_owned_fd(pipe.into())?), stream, partial: Vec::new() })
    }

    /// Waits until there is something to read; for ever once the output has ended.
    async fn readable(&self) {
        match &self.pipe {
            // An error shows again when reading.
            Some(pipe) => drop(pipe.readable().await),
            None => std::future::pending().await,
        }
    }
}

impl Logs {
    /// Opens the log, or goes on with the one that is there.
    pub(crate) fn open(place: Rc<Place>) -> io::Result<Self> {
        let (file, size) = place.open_log()?;
        Ok(Self { place, file, size, tail: VecDeque::with_capacity(LOG_TAIL_LINES) })
    }

    /// Keeps what both outputs say, until both have ended.
    /// # Cancel safety
    /// Safe: nothing that was read is lost.
    pub(crate) async fn pump(&mut self, stdout: &mut Output, stderr: &mut Output) {
        let mut buffer = vec![0; LOG_LINE_BYTES];
        while stdout.pipe.is_some() || stderr.pipe.is_some() {
            let output = tokio::select! {
                () = stdout.readable() => &mut *stdout,
                () = stderr.readable() => &mut *stderr,
            };
            let read = output.pipe.as_ref().map_or(Ok(0), |pipe| pipe.try_read(&mut buffer));
            match read {
                Ok(n) if n > 0 => self.take(output, buffer.get(..n).unwrap_or_default()),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                _ => output.pipe = None,
            }
            // An agent that writes without a pause must not keep us from everything else.
            tokio::task::coop::consume_budget().await;
        }
    }

    /// Keeps the lines that never got an end, and returns the last lines, oldest first.
    pub(crate) fn finish(mut self, outputs: [Output; 2]) -> Vec<String> {
        for mut output in outputs {
            if !output.partial.is_empty() {
                self.take(&mut output, b"\n");
            }
        }
        self.tail.into()
    }

    fn take(&mut self, output: &mut Output, mut bytes: &[u8]) {
        let mut entries = Vec::with_capacity(bytes.len() * 2);
        while !bytes.is_empty() {
            let room = LOG_LINE_BYTES - output.partial.len();
            let line_end = bytes.iter().take(room).position(|&byte| byte == b'\n');
            let (part, rest) = bytes.split_at(line_end.unwrap_or_else(|| room.min(bytes.len())));
            output.partial.extend_from_slice(part);
            bytes = if line_end.is_some() { rest.get(1..).unwrap_or_default() } else { rest };
            if line_end.is_some() || output.partial.len() == LOG_LINE_BYTES {
                self.line(output, &mut entries);
            }
        }
        self.write(&entries);
    }

    fn line(&mut self, output: &mut Output, entries: &mut Vec<u8>) {
        let text = String::from_utf8_lossy(&output.partial).into_owned();
        output.partial.clear();
        if self.tail.len() == LOG_TAIL_LINES {
            self.tail.pop_front();
        }
        self.tail.push_back(text.get(..text.floor_char_boundary(LOG_TAIL_LINE_BYTES)).unwrap_or_default().to_owned());
        let line = LogLine { t: SystemClock.now(), s: output.stream, m: text };
        serde_json::to_writer(&mut *entries, &line).expect("a LogLine is JSON and a Vec takes everything");
        entries.push(b'\n');
    }

    /// Appends, beginning a new file when this one is full. A disk that is full loses lines: the agent is not to stop for it.
    fn write(&mut self, entries: &[u8]) {
        let len = u64::try_from(entries.len()).unwrap_or(u64::MAX);
        if self.size > 0
            && self.size.saturating_add(len) > LOG_FILE_BYTES
            && let Ok((file, size)) = self.place.rotate_log()
        {
            (self.file, self.size) = (file, size);
        }
        if self.file.write_all(entries).is_ok() {
            self.size += len;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn lines_are_kept_whatever_the_pieces_they_come_in() {
        let path = std::env::temp_dir().join(format!("innkeep-logs-{}.log", std::process::id()));
        let place = Place::at(&std::env::temp_dir(), &path).unwrap();
        let mut logs = Logs::open(Rc::new(place)).unwrap();
        let (pipe, _) = std::io::pipe().unwrap();
        let mut output = Output::new(pipe, LogStream::Stderr).unwrap();
        let long = "x".repeat(LOG_LINE_BYTES + 5);
        for piece in ["first li", "ne\nsecond\n\n", &long, "\nno end"] {
            logs.take(&mut output, piece.as_bytes());
        }
        let (pipe, _) = std::io::pipe().unwrap();
        let tail = logs.finish([output, Output::new(pipe, LogStream::Stdout).unwrap()]);
        let kept = std::fs::read_to_string(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        let kept: Vec<LogLine> = kept.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let texts: Vec<_> = kept.iter().map(|line| line.m.as_str()).collect();
        assert_eq!(texts, ["first line", "second", "", &long[..LOG_LINE_BYTES], "xxxxx", "no end"]);
        assert!(kept.iter().all(|line| line.s == LogStream::Stderr));
        assert_eq!(tail.len(), 6);
        assert_eq!(tail[3].len(), LOG_TAIL_LINE_BYTES);
    }
}
