//! What agents wrote: `GET logs`, newline-delimited JSON, oldest first; with `follow=true` it goes on until the caller leaves.

mod reader;

use std::io;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Response, header};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use innkeep_protocol::operator::LogEntry;
use innkeep_sandbox::tasks::Kind;
use innkeep_store::SandboxFilter;
use innkeep_types::UnixMillis;
use tokio::sync::mpsc;

use crate::operator::Operator;
use crate::operator::query::Query;
use crate::respond::{Body, Refused};
use reader::{Lot, Reader, Wanted};

/// How often a followed log is looked at.
const FOLLOW_INTERVAL: Duration = Duration::from_millis(100);

impl Operator {
    pub(crate) async fn logs(&self, query: &Query) -> Result<Response<Body>, Refused> {
        let since = UnixMillis(query.parsed("sinceMs")?.unwrap_or(0));
        let sandboxes = SandboxFilter {
            runtime: query.parsed("runtime")?,
            endpoint: query.parsed("endpoint")?,
            session: query.parsed("session")?,
            ended_since: since,
        };
        let wanted = Wanted { sandboxes, since, grep: query.get("grep").map(str::to_owned) };
        let clock = self.authenticator.signatures.clock.clone();
        let mut reader = Reader::new(self.store.clone(), clock, self.logs_dir.clone(), wanted);
        let past = reader.past().await?;
        // Bounded: a slow caller is waited for; the agent's log is a file and does not mind.
        let (lines, receiver) = mpsc::channel::<Result<Frame<Bytes>, io::Error>>(16);
        let (follow, stopping) = (query.flag("follow"), self.tasks.stopping().clone());
        self.tasks.spawn(Kind::Connection, async move {
            let send = async {
                let mut lot = Lot { entries: past, more: false };
                loop {
                    if !lot.entries.is_empty()
                        && lines.send(Ok(Frame::data(to_json_lines(&lot.entries)))).await.is_err()
                    {
                        return;
                    }
                    if !follow {
                        return;
                    }
                    if !lot.more {
                        tokio::select! {
                            () = tokio::time::sleep(FOLLOW_INTERVAL) => {}
                            () = lines.closed() => return,
                        }
                    }
                    lot = match reader.next().await {
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
