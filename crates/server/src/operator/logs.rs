//! What agents wrote: `GET logs`, newline-delimited JSON, oldest first; with `follow=true` it goes on until the caller leaves.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Response, header};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use innkeep_protocol::link::{LogLine, LogStream};
use innkeep_protocol::operator::LogEntry;
use innkeep_sandbox::tasks::Kind;
use innkeep_store::{SessionRecord, Store};
use innkeep_types::{EndpointName, RuntimeId, SandboxId, SessionId};
use tokio::sync::mpsc;

use crate::operator::Operator;
use crate::operator::query::Query;
use crate::respond::{Body, Refused};

/// Sandboxes looked into, newest first.
const MAX_SANDBOXES: u32 = 200;

/// Lines of the past that are sent at most, the newest ones.
const MAX_PAST_LINES: usize = 10_000;

/// How often a followed log is looked at.
const FOLLOW_INTERVAL: Duration = Duration::from_millis(100);

/// Which lines are wanted.
#[derive(Debug, Clone)]
struct Filter {
    runtime: Option<RuntimeId>,
    endpoint: Option<EndpointName>,
    session: Option<SessionId>,
    since_ms: i64,
    grep: Option<String>,
}

impl Operator {
    pub(crate) async fn logs(&self, query: &Query) -> Result<Response<Body>, Refused> {
        let filter = Filter {
            runtime: query.parsed("runtime")?,
            endpoint: query.parsed("endpoint")?,
            session: query.parsed("session")?,
            since_ms: query.parsed("sinceMs")?.unwrap_or(0),
            grep: query.get("grep").map(str::to_owned),
        };
        let mut reader = Reader::new(self.store.clone(), self.logs_dir.clone(), filter);
        let past = reader.read().await?;
        // Bounded: a slow caller is waited for; the agent's log is a file and does not mind.
        let (lines, receiver) = mpsc::channel::<Result<Frame<Bytes>, io::Error>>(16);
        let (follow, stopping) = (query.flag("follow"), self.tasks.stopping().clone());
        self.tasks.spawn(Kind::Connection, async move {
            let send = async {
                let mut lot = past;
                loop {
                    if !lot.is_empty() && lines.send(Ok(Frame::data(to_json_lines(&lot)))).await.is_err() {
                        return;
                    }
                    if !follow {
                        return;
                    }
                    tokio::select! {
                        () = tokio::time::sleep(FOLLOW_INTERVAL) => {}
                        () = lines.closed() => return,
                    }
                    lot = match reader.read().await {
                        Ok(lot) => lot,
                        Err(_) => return,
                    };
                }
            };
            tokio::select! {
                () = send => {}
                () = stopping.cancelled() => {}
            }
        });
        let stream = StreamBody::new(ReceiverStream(receiver));
        let mut response = Response::new(stream.boxed_unsync());
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/x-ndjson"));
        Ok(response)
    }
}

/// A channel's receiving end as a stream of frames.
struct ReceiverStream(mpsc::Receiver<Result<Frame<Bytes>, io::Error>>);

impl futures_core::Stream for ReceiverStream {
    type Item = Result<Frame<Bytes>, io::Error>;
    fn poll_next(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Self::Item>> {
        self.0.poll_recv(cx)
    }
}

fn to_json_lines(entries: &[LogEntry]) -> Bytes {
    let mut text = Vec::with_capacity(entries.len() * 128);
    for entry in entries {
        if serde_json::to_writer(&mut text, entry).is_ok() {
            text.push(b'\n');
        }
    }
    text.into()
}

/// Reads the logs of the sandboxes that the filter names, each from where it left off.
#[derive(Debug)]
struct Reader {
    store: Store,
    logs_dir: PathBuf,
    filter: Filter,
    offsets: HashMap<SandboxId, u64>,
}

impl Reader {
    fn new(store: Store, logs_dir: PathBuf, filter: Filter) -> Self {
        Self { store, logs_dir, filter, offsets: HashMap::new() }
    }

    /// Returns the wanted lines written since the last call, oldest first.
    async fn read(&mut self) -> Result<Vec<LogEntry>, Refused> {
        let records = self.store.list_sessions(self.filter.runtime.as_ref(), false, MAX_SANDBOXES).await;
        let records = records.map_err(|e| Refused::internal(&e))?;
        let (filter, logs_dir) = (self.filter.clone(), self.logs_dir.clone());
        let mut offsets = std::mem::take(&mut self.offsets);
        let read = tokio::task::spawn_blocking(move || {
            let mut entries = Vec::new();
            for record in records.iter().filter(|r| filter.names(r)) {
                let offset = offsets.get(&record.sandbox).copied();
                let end = read_sandbox(&logs_dir, record, &filter, offset, &mut entries);
                offsets.insert(record.sandbox.clone(), end);
            }
            entries.sort_by_key(|e| e.time_ms);
            let surplus = entries.len().saturating_sub(MAX_PAST_LINES);
            entries.drain(..surplus);
            (entries, offsets)
        });
        let (entries, offsets) = read.await.map_err(|e| Refused::internal(&e))?;
        self.offsets = offsets;
        Ok(entries)
    }
}

impl Filter {
    fn names(&self, record: &SessionRecord) -> bool {
        self.endpoint.as_ref().is_none_or(|e| *e == record.key.endpoint)
            && self.session.as_ref().is_none_or(|s| *s == record.key.session)
    }

    fn wants(&self, line: &LogLine) -> bool {
        line.t.0 >= self.since_ms && self.grep.as_ref().is_none_or(|text| line.m.contains(text))
    }
}

/// Appends the wanted lines of one sandbox and returns how far its log was read. A log that is not there has no lines; one that
/// became shorter was rotated, and is read from its beginning.
fn read_sandbox(
    logs_dir: &Path,
    record: &SessionRecord,
    filter: &Filter,
    offset: Option<u64>,
    entries: &mut Vec<LogEntry>,
) -> u64 {
    let path = logs_dir.join(format!("{}.log", record.sandbox));
    if offset.is_none() {
        read_file(&logs_dir.join(format!("{}.log.1", record.sandbox)), 0, record, filter, entries);
    }
    let length = std::fs::metadata(&path).map_or(0, |m| m.len());
    let from = offset.filter(|offset| *offset <= length).unwrap_or(0);
    if from == length { length } else { read_file(&path, from, record, filter, entries) }
}

fn read_file(path: &Path, from: u64, record: &SessionRecord, filter: &Filter, entries: &mut Vec<LogEntry>) -> u64 {
    let mut read = from;
    let Ok(mut file) = File::open(path) else { return read };
    if file.seek(SeekFrom::Start(from)).is_err() {
        return read;
    }
    let (mut reader, mut line) = (BufReader::new(file), Vec::new());
    // A line without its end is still being written; the next call reads it whole.
    while reader.read_until(b'\n', &mut line).is_ok_and(|n| n > 0) && line.ends_with(b"\n") {
        read += u64::try_from(line.len()).unwrap_or(0);
        if let Ok(line) = serde_json::from_slice::<LogLine>(&line)
            && filter.wants(&line)
        {
            entries.push(entry(record, line));
        }
        line.clear();
    }
    read
}

fn entry(record: &SessionRecord, line: LogLine) -> LogEntry {
    LogEntry {
        time_ms: line.t.0,
        session_id: record.key.session.clone(),
        version: record.version,
        stream: match line.s {
            LogStream::Stdout => "stdout".to_owned(),
            LogStream::Stderr => "stderr".to_owned(),
        },
        message: line.m,
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use innkeep_types::{RuntimeVersion, SessionKey, Tier, UnixMillis};

    use super::*;

    fn record() -> SessionRecord {
        SessionRecord {
            key: SessionKey {
                runtime: RuntimeId::parse("hello-Ab3dE6gH9j").unwrap(),
                endpoint: EndpointName::default_endpoint(),
                session: SessionId::from_short("alice").unwrap(),
            },
            sandbox: SandboxId::parse("aaaaaaaaaa").unwrap(),
            version: RuntimeVersion::FIRST,
            tier: Tier::Process,
            started_at: UnixMillis(0),
            stopped: None,
        }
    }

    fn append(dir: &Path, text: &str) {
        let path = dir.join("aaaaaaaaaa.log");
        let mut file = File::options().create(true).append(true).open(path).unwrap();
        file.write_all(text.as_bytes()).unwrap();
    }

    #[test]
    fn a_log_is_read_on_from_where_it_was_left_and_only_in_whole_lines() {
        let dir = tempfile::tempdir().unwrap();
        let filter = Filter { runtime: None, endpoint: None, session: None, since_ms: 5, grep: Some("e".to_owned()) };
        append(
            dir.path(),
            "{\"t\":4,\"s\":\"o\",\"m\":\"early\"}\n{\"t\":5,\"s\":\"o\",\"m\":\"one\"}\n{\"t\":6,\"s\":\"e\"",
        );
        let mut entries = Vec::new();
        let offset = read_sandbox(dir.path(), &record(), &filter, None, &mut entries);
        assert_eq!(entries.iter().map(|e| e.message.as_str()).collect::<Vec<_>>(), ["one"]);
        append(dir.path(), ",\"m\":\"three\"}\nno json\n{\"t\":7,\"s\":\"o\",\"m\":\"no\"}\n");
        entries.clear();
        read_sandbox(dir.path(), &record(), &filter, Some(offset), &mut entries);
        assert_eq!(
            entries.iter().map(|e| (e.message.as_str(), e.stream.as_str())).collect::<Vec<_>>(),
            [("three", "stderr")]
        );
    }
}
