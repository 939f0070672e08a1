//! Reads the logs of many sandboxes, each from where it left off.
//!
//! A log is two files at most: `<sandbox>/agent.log`, and `.log.1`, which was the former until it was full. A file is told by its
//! inode, so that one that was renamed meanwhile is read on under its new name.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use innkeep_protocol::link::{LOG_FILE, LOG_FILE_BYTES, LOG_LINE_BYTES, LogLine, LogStream};
use innkeep_protocol::operator::LogEntry;
use innkeep_sandbox::open_own;
use innkeep_store::{SandboxFilter, SandboxRecord, Store};
use innkeep_types::{Clock, SandboxId, UnixMillis};

use crate::respond::Refused;

/// Sandboxes looked into at most: those that live, and of the others those that ended last.
const MAX_SANDBOXES: u32 = 2500;

/// Lines of the past that are sent at most, and their bytes: the newest ones.
const MAX_PAST_LINES: usize = 10_000;
const MAX_PAST_BYTES: usize = 32 << 20;

/// What is read at most of one file before what was found is sent, when following. Bytes.
const READ_AT_ONCE: u64 = 1 << 20;

/// The longest line as JSON, every byte of it escaped, bytes. The sandbox's ids own the file: nothing says that it has lines at all.
const MAX_LINE_BYTES: u64 = 6 * LOG_LINE_BYTES as u64 + 256;

/// What is read of one file, however long it is, bytes.
const MAX_FILE_BYTES: u64 = LOG_FILE_BYTES + MAX_LINE_BYTES;

/// For how long the log of a sandbox that has ended is looked at when following: its end is recorded after its last line.
const AFTERGLOW: Duration = Duration::from_secs(60);

/// Which lines are wanted.
#[derive(Debug, Clone)]
pub(super) struct Wanted {
    pub(super) sandboxes: SandboxFilter,
    pub(super) since: UnixMillis,
    pub(super) grep: Option<String>,
}

/// Some lines, oldest first.
#[derive(Debug)]
pub(super) struct Lot {
    pub(super) entries: Vec<LogEntry>,
    /// There are more already.
    pub(super) more: bool,
}

#[derive(Debug)]
pub(super) struct Reader {
    store: Store,
    clock: Arc<dyn Clock>,
    logs_dir: PathBuf,
    wanted: Wanted,
    places: HashMap<SandboxId, Place>,
}

/// How far a log was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place {
    inode: u64,
    offset: u64,
}

impl Reader {
    pub(super) fn new(store: Store, clock: Arc<dyn Clock>, logs_dir: PathBuf, wanted: Wanted) -> Self {
        Self { store, clock, logs_dir, wanted, places: HashMap::new() }
    }

    /// Returns the newest of the wanted lines that are there.
    pub(super) async fn past(&mut self) -> Result<Vec<LogEntry>, Refused> {
        let lot = self.read(self.wanted.sandboxes.ended_since, u64::MAX, keep_newest).await?;
        Ok(lot.entries)
    }

    /// Returns wanted lines that were written since the last call.
    pub(super) async fn next(&mut self) -> Result<Lot, Refused> {
        let lately = UnixMillis(self.clock.now().0.saturating_sub(i64::try_from(AFTERGLOW.as_millis()).unwrap_or(0)));
        self.read(lately.max(self.wanted.since), READ_AT_ONCE, |_| {}).await
    }

    /// Reads up to `most` bytes of each file. `bound` is called after each sandbox.
    async fn read(
        &mut self,
        ended_since: UnixMillis,
        most: u64,
        bound: fn(&mut Vec<LogEntry>),
    ) -> Result<Lot, Refused> {
        let filter = SandboxFilter { ended_since, ..self.wanted.sandboxes.clone() };
        let sandboxes = self.store.list_sandboxes(filter, MAX_SANDBOXES).await.map_err(|e| Refused::internal(&e))?;
        let (wanted, logs_dir, mut before) =
            (self.wanted.clone(), self.logs_dir.clone(), std::mem::take(&mut self.places));
        let read = tokio::task::spawn_blocking(move || {
            let (mut lot, mut places) = (Lot { entries: Vec::new(), more: false }, HashMap::new());
            for sandbox in sandboxes {
                let mut place = before.remove(&sandbox.id);
                let log = logs_dir.join(sandbox.id.as_str()).join(LOG_FILE);
                let mut take = |line: LogLine| {
                    if wanted.wants(&line) {
                        lot.entries.push(entry(&sandbox, line));
                    }
                };
                lot.more |= read_on(&log, &mut place, most, &mut take);
                places.extend(place.map(|place| (sandbox.id, place)));
                bound(&mut lot.entries);
            }
            lot.entries.sort_by_key(|e| e.time_ms);
            (lot, places)
        });
        let (lot, places) = read.await.map_err(|e| Refused::internal(&e))?;
        self.places = places;
        Ok(lot)
    }
}

impl Wanted {
    fn wants(&self, line: &LogLine) -> bool {
        line.t >= self.since && self.grep.as_ref().is_none_or(|text| line.m.contains(text))
    }
}

fn keep_newest(entries: &mut Vec<LogEntry>) {
    entries.sort_by_key(|e| e.time_ms);
    let mut bytes = 0;
    let sizes = entries.iter().rev().take(MAX_PAST_LINES).map(|e| e.message.len());
    let n_kept = sizes
        .take_while(|size| {
            bytes += size;
            bytes <= MAX_PAST_BYTES
        })
        .count();
    entries.drain(..entries.len() - n_kept);
}

/// Reads on in the log at `path` and moves `place`. Returns whether there is more than the `most` bytes that were read.
fn read_on(path: &Path, place: &mut Option<Place>, most: u64, take: &mut impl FnMut(LogLine)) -> bool {
    // Not there: nothing was written yet, it was too old, or a new file is about to be begun.
    let Some(current) = open(path) else { return false };
    let from = |inode, place: &Option<Place>| place.filter(|p| p.inode == inode).map_or(0, |p| p.offset);
    if place.is_none_or(|place| place.inode != current.1)
        && let Some((file, inode)) = open(&path.with_extension("log.1")).filter(|before| before.1 != current.1)
    {
        let (offset, more) = read_file(file, from(inode, place), most, take);
        if more {
            *place = Some(Place { inode, offset });
            return true;
        }
    }
    let (file, inode) = current;
    let (offset, more) = read_file(file, from(inode, place), most, take);
    *place = Some(Place { inode, offset });
    more
}

fn open(path: &Path) -> Option<(File, u64)> {
    let file = open_own(path).ok()?;
    let inode = file.metadata().ok()?.ino();
    Some((file, inode))
}

/// Returns how far the file was read, and whether there is more.
fn read_file(mut file: File, from: u64, most: u64, take: &mut impl FnMut(LogLine)) -> (u64, bool) {
    let mut offset = from;
    if file.metadata().is_ok_and(|m| m.len() <= from) || file.seek(SeekFrom::Start(from)).is_err() {
        return (offset, false);
    }
    let (mut reader, mut line) = (BufReader::new(file.take(MAX_FILE_BYTES.saturating_sub(from))), Vec::new());
    // A line without its end is still being written; the next call reads it whole.
    while read_line(&mut reader, &mut line).is_ok_and(|whole| whole) {
        offset += u64::try_from(line.len()).unwrap_or(0);
        if let Ok(line) = serde_json::from_slice(&line) {
            take(line);
        }
        if offset - from >= most {
            return (offset, true);
        }
    }
    (offset, false)
}

/// Returns whether the line is whole, or no sidecar wrote it: of one that is too long comes a piece at a time, which is no JSON.
fn read_line(reader: &mut impl BufRead, line: &mut Vec<u8>) -> io::Result<bool> {
    line.clear();
    let n_read = reader.take(MAX_LINE_BYTES).read_until(b'\n', line)?;
    Ok(line.ends_with(b"\n") || u64::try_from(n_read).is_ok_and(|n| n == MAX_LINE_BYTES))
}

fn entry(sandbox: &SandboxRecord, line: LogLine) -> LogEntry {
    LogEntry {
        time_ms: line.t.0,
        session_id: sandbox.key.session.clone(),
        version: sandbox.version,
        stream: match line.s {
            LogStream::Stdout => "stdout".to_owned(),
            LogStream::Stderr => "stderr".to_owned(),
        },
        message: line.m,
    }
}

#[cfg(test)]
mod tests {
    use std::fs::rename;
    use std::io::Write;

    use super::*;

    /// A log, and what a reader that comes by now and then has seen of it.
    struct Log {
        dir: tempfile::TempDir,
        place: Option<Place>,
        n_written: usize,
    }

    impl Log {
        fn new() -> Self {
            Self { dir: tempfile::tempdir().unwrap(), place: None, n_written: 0 }
        }

        fn path(&self) -> PathBuf {
            self.dir.path().join("aaaaaaaaaa.log")
        }

        fn append(&self, text: &str) {
            File::options().create(true).append(true).open(self.path()).unwrap().write_all(text.as_bytes()).unwrap();
        }

        fn write(&mut self, n: usize) {
            for _ in 0..n {
                self.append(&format!("{{\"t\":5,\"s\":\"o\",\"m\":\"{}\"}}\n", self.n_written));
                self.n_written += 1;
            }
        }

        /// As the sidecar does it.
        fn rotate(&self) {
            rename(self.path(), self.path().with_extension("log.1")).unwrap();
        }

        fn read(&mut self, most: u64) -> (Vec<String>, bool) {
            let mut seen = Vec::new();
            let more = read_on(&self.path(), &mut self.place, most, &mut |line: LogLine| seen.push(line.m));
            (seen, more)
        }

        fn expect(&mut self, lines: std::ops::Range<usize>) {
            assert_eq!(self.read(u64::MAX), (lines.map(|n| n.to_string()).collect(), false));
        }
    }

    #[test]
    fn a_log_is_read_on_from_where_it_was_left_and_only_in_whole_lines() {
        let mut log = Log::new();
        log.expect(0..0);
        log.write(2);
        log.append("no json\n{\"t\":6,\"s\":\"e\"");
        log.expect(0..2);
        log.append(",\"m\":\"2\"}\n");
        log.expect(2..3);
        log.expect(3..3);
    }

    #[test]
    fn no_line_is_lost_or_doubled_when_a_new_file_is_begun() {
        let mut log = Log::new();
        log.write(3);
        log.expect(0..3);
        log.write(2);
        log.rotate();
        log.expect(0..0);
        // Longer than what was read of the old file: its length tells nothing.
        log.write(9);
        log.expect(3..14);
        log.rotate();
        log.write(1);
        log.expect(14..15);
        log.write(1);
        log.expect(15..16);
    }

    #[test]
    fn the_longest_line_is_read_and_a_longer_one_skipped() {
        let mut log = Log::new();
        let longest = LogLine { t: UnixMillis(i64::MIN), s: LogStream::Stdout, m: "\u{1}".repeat(LOG_LINE_BYTES) };
        log.append(&format!("{}\n", serde_json::to_string(&longest).unwrap()));
        assert_eq!(log.read(u64::MAX), (vec![longest.m], false));
        log.append(&format!("{{\"t\":5,\"s\":\"o\",\"m\":\"{}\"}}\n", "x".repeat(7 * LOG_LINE_BYTES)));
        log.write(1);
        log.expect(0..1);
    }

    #[test]
    fn of_a_file_that_no_sidecar_wrote_only_what_a_log_may_be_is_read() {
        let mut log = Log::new();
        log.write(1);
        File::options().write(true).open(log.path()).unwrap().set_len(1 << 40).unwrap();
        log.write(1);
        log.expect(0..1);
        log.expect(1..1);
        assert!(log.place.is_some_and(|place| place.offset <= MAX_FILE_BYTES));
    }

    #[test]
    fn who_comes_late_reads_both_files() {
        let mut log = Log::new();
        log.write(3);
        log.rotate();
        log.write(2);
        log.expect(0..5);
    }

    #[test]
    fn a_long_log_comes_in_pieces() {
        let mut log = Log::new();
        log.write(3);
        log.rotate();
        log.write(2);
        let mut all = Vec::new();
        loop {
            let (seen, more) = log.read(1);
            assert!(seen.len() <= 2, "at most one line of each file: {seen:?}");
            all.extend(seen);
            if !more {
                break;
            }
        }
        assert_eq!(all, ["0", "1", "2", "3", "4"]);
    }

    #[test]
    fn of_too_many_lines_the_newest_stay() {
        let entry = |n: usize| LogEntry {
            time_ms: i64::try_from(n).unwrap(),
            session_id: innkeep_types::SessionId::from_short("alice").unwrap(),
            version: innkeep_types::RuntimeVersion::FIRST,
            stream: "stdout".to_owned(),
            message: String::new(),
        };
        let mut entries: Vec<_> = (0..MAX_PAST_LINES + 5).rev().map(entry).collect();
        keep_newest(&mut entries);
        assert_eq!((entries.len(), entries[0].time_ms), (MAX_PAST_LINES, 5));
        let large = |n| LogEntry { message: "x".repeat(MAX_PAST_BYTES / 2), ..entry(n) };
        let mut entries = vec![large(1), large(3), large(2)];
        keep_newest(&mut entries);
        assert_eq!(entries.iter().map(|e| e.time_ms).collect::<Vec<_>>(), [2, 3]);
    }
}
