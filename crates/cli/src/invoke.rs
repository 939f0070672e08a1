//! `innkeep invoke`: one request to an agent, its answer streamed as it comes.

use std::io::Read;
use std::time::Duration;

use bytes::Bytes;
use clap::Args;
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderName, HeaderValue};
use innkeep_protocol::server_timing::StartTiming;
use innkeep_sdk::{Answer, Client, Error, Invocation};
use innkeep_types::{EndpointName, RuntimeId, SessionId, limits};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::context::Context;
use crate::failure::{Code, Failure};
use crate::output::{Output, Style, human_duration};
use crate::sse::{Decoder, Event};
use crate::websocket::Conversation;
use crate::{args, invocations, phases, resolve, snippets};

/// Invoke an agent and print its answer as it comes
///
/// The answer goes to standard output, and a line about session, time and version to standard error. Of an event stream, the
/// data is printed; --raw prints what came.
#[derive(Debug, Args)]
pub(crate) struct Invoke {
    /// A runtime: name, id, ARN, or the name of the folder it came from
    #[arg(value_name = "NAME|ID|ARN")]
    runtime: String,
    /// Sent as {"prompt": PROMPT}
    #[arg(required_unless_present_any = ["data", "ws"], conflicts_with = "data")]
    prompt: Option<String>,
    /// Send this instead: JSON or any text, @FILE, or - for standard input
    #[arg(short, long, value_name = "JSON|@FILE|-", allow_hyphen_values = true)]
    data: Option<String>,
    /// The session to use; short names are turned into valid ids, the same way every time [default: a new one]
    #[arg(short, long, value_parser = resolve::session)]
    session: Option<SessionId>,
    /// The endpoint to use [default: DEFAULT, or the ARN's]
    #[arg(long)]
    endpoint: Option<EndpointName>,
    /// A token of the issuer whose tokens the runtime takes, or @FILE with one, in place of a signature
    #[arg(long, value_name = "TOKEN|@FILE")]
    token: Option<String>,
    /// A further request header
    #[arg(short = 'H', long = "header", value_name = "K: V", value_parser = header)]
    headers: Vec<(HeaderName, HeaderValue)>,
    /// Give up after this time, such as 30s or 5m
    #[arg(long, value_parser = args::duration)]
    timeout: Option<Duration>,
    /// Print the answer's bytes as they are
    #[arg(long, conflicts_with = "json")]
    raw: bool,
    /// Talk over a WebSocket: send PROMPT or --data as one text, or each line of standard input; print what the agent says, a line each
    #[arg(long, conflicts_with_all = ["raw", "curl"])]
    ws: bool,
    /// With --ws: hang up when nothing has come for this long after the last was sent
    #[arg(long, requires = "ws", value_parser = args::duration, default_value = "5s")]
    wait: Duration,
    /// Do not wait: print the invocation's id at once; `innkeep invocations get ID` has its answer
    #[arg(long = "async", conflicts_with_all = ["ws", "curl"])]
    is_async: bool,
    /// Do not invoke: print the curl command that does
    #[arg(long)]
    curl: bool,
}

impl Invoke {
    pub(crate) async fn run(self, context: &Context) -> Result<(), Failure> {
        let client = context.client()?;
        let (runtime, of_arn) = match resolve::arn(&self.runtime) {
            Some(named) => named,
            None => (resolve::runtime(&client, &self.runtime).await?.id, None),
        };
        let to_say = match (&self.prompt, self.data.as_deref()) {
            (None, None | Some("-")) => None,
            (Some(prompt), _) => Some(prompt_payload(prompt)),
            (None, Some(data)) if self.ws => Some(read_payload(data)?),
            (None, Some(_)) => None,
        };
        let payload = match (self.prompt, self.data) {
            _ if self.ws => Bytes::new(),
            (Some(prompt), _) => prompt_payload(&prompt),
            (None, data) => read_payload(&data.unwrap_or_default())?,
        };
        let mut headers = HeaderMap::from_iter(self.headers);
        if let Some(given) = &self.token {
            headers.insert(AUTHORIZATION, bearer(given)?);
        }
        let has_token = headers.contains_key(AUTHORIZATION);
        let is_json = serde_json::from_slice::<serde::de::IgnoredAny>(&payload).is_ok();
        let content_type = if is_json { "application/json" } else { "application/octet-stream" };
        let invocation = Invocation {
            runtime,
            endpoint: self.endpoint.or(of_arn).unwrap_or_else(EndpointName::default_endpoint),
            session: self.session.unwrap_or_else(SessionId::generate),
            content_type: HeaderValue::from_static(content_type),
            headers,
            payload,
            timeout: self.timeout.unwrap_or(limits::SYNC_REQUEST_TIMEOUT),
        };
        if self.ws {
            let conversation = Conversation { invocation, to_say, wait: self.wait };
            let talking = tokio::time::timeout(
                self.timeout.unwrap_or(limits::STREAM_TIMEOUT),
                conversation.hold(&client, context.out),
            );
            return talking.await.unwrap_or(Ok(()));
        }
        if self.curl {
            return context.out.data(snippets::curl(&client, &invocation));
        }
        let timeout = self.timeout.unwrap_or(limits::STREAM_TIMEOUT);
        let name = RuntimeId::clone(&invocation.runtime);
        let is_async = self.is_async;
        let invoking = tokio::time::timeout(timeout, async {
            if is_async {
                return invocations::accept(&client, context.out, invocation, self.raw).await;
            }
            invoke(&client, context.out, invocation, self.raw).await
        });
        let late = |_| Failure::new(Code::TimedOut, format!("no whole answer within {}", human_duration(timeout)));
        invoking.await.map_err(late)?.map_err(|failure| match failure.code {
            Code::AgentFailed => failure.with_fix(format!("innkeep logs {name}")),
            Code::NotFound => failure.with_fix(format!("innkeep status {name}")),
            // What is wrong with a token, the server has said.
            Code::NotAuthorised if has_token => Failure { fix: None, ..failure },
            Code::NotAuthorised if failure.message.contains("Authorization method mismatch") => {
                failure.with_fix("the runtime takes tokens of its issuer alone: --token TOKEN")
            }
            _ => failure,
        })
    }
}

/// Returns the payload that PROMPT stands for.
pub(crate) fn prompt_payload(prompt: &str) -> Bytes {
    json!({"prompt": prompt}).to_string().into()
}

/// Prints an answer that was kept as one that was waited for.
pub(crate) async fn show(mut answer: Answer, out: Output, raw: bool) -> Result<(), Failure> {
    if !out.json {
        return print(&mut answer, out, raw).await;
    }
    let body = collect(&mut answer).await?;
    let (status, kind) = (answer.status.as_u16(), answer.media_type());
    let session = answer.session();
    out.json(&json!({"sessionId": session, "status": status, "contentType": kind, "body": body}))
}

/// Invokes and prints: the answer as it comes, then the footer; or, with `--json`, one object with both.
pub(crate) async fn invoke(client: &Client, out: Output, invocation: Invocation, raw: bool) -> Result<(), Failure> {
    let started = Instant::now();
    let session = invocation.session.clone();
    let mut answer = client.invoke(invocation).await?;
    let head = Summary::new(&answer, session, started.elapsed());
    if out.json {
        let body = collect(&mut answer).await?;
        return out.json(&head.to_json(&answer, started.elapsed(), body));
    }
    let printed = print(&mut answer, out, raw).await;
    out.note(out.err(Style::Dim, &head.footer(started.elapsed())));
    printed
}

/// What is said about an answer besides its body.
struct Summary {
    session: SessionId,
    start: &'static str,
    phases: Option<StartTiming>,
    head: Duration,
    version: Option<u32>,
}

impl Summary {
    fn new(answer: &Answer, session: SessionId, head: Duration) -> Self {
        let start = if answer.is_cold() == Some(true) { "cold" } else { "warm" };
        let session = answer.session().unwrap_or(session);
        Self {
            session,
            start,
            phases: answer.start(),
            head,
            version: answer.version().map(innkeep_types::RuntimeVersion::get),
        }
    }

    fn footer(&self, total: Duration) -> String {
        let Self { session, start, phases, head, version } = self;
        let version = version.map(|version| format!(" v{version}")).unwrap_or_default();
        let phases = phases.as_ref().map(|start| format!(" ({})", phases::words(start))).unwrap_or_default();
        format!("session {session} {start} {}{phases} total {}{version}", human_duration(*head), human_duration(total))
    }

    fn to_json(&self, answer: &Answer, total: Duration, body: Value) -> Value {
        json!({
            "sessionId": self.session.as_str(),
            "start": self.start,
            "startWay": self.phases.as_ref().map(|start| &start.way),
            "startMs": self.phases.as_ref().map(phases::json),
            "version": self.version,
            "status": answer.status.as_u16(),
            "contentType": answer.media_type(),
            "headMs": u64::try_from(self.head.as_millis()).unwrap_or(u64::MAX),
            "totalMs": u64::try_from(total.as_millis()).unwrap_or(u64::MAX),
            "body": body,
        })
    }
}

async fn print(answer: &mut Answer, out: Output, raw: bool) -> Result<(), Failure> {
    let kind = answer.media_type().to_owned();
    let mut decoder = (kind == "text/event-stream" && !raw).then(Decoder::default);
    let mut line_open = false;
    while let Some(chunk) = answer.body.chunk().await.map_err(broken_off)? {
        match &mut decoder {
            None => {
                out.bytes(&chunk)?;
                line_open = chunk.last().map_or(line_open, |last| *last != b'\n');
            }
            Some(decoder) => {
                for event in decoder.push(&chunk) {
                    line_open = print_event(out, event, line_open)?;
                }
            }
        }
    }
    if let Some(event) = decoder.and_then(|mut decoder| decoder.finish()) {
        line_open = print_event(out, event, line_open)?;
    }
    if line_open && is_ended(&kind, raw, out.terminal) { out.bytes(b"\n") } else { Ok(()) }
}

/// Tells whether an answer's last line is ended where the agent did not. Only text has lines, and a byte more would spoil an image;
/// but not on a terminal, where the prompt would stand behind it.
fn is_ended(kind: &str, raw: bool, terminal: bool) -> bool {
    terminal || (!raw && (kind.starts_with("text/") || kind.ends_with("json")))
}

/// Prints pieces of text side by side and other data on lines of its own; returns whether a line is open.
fn print_event(out: Output, event: Event, line_open: bool) -> Result<bool, Failure> {
    match event {
        Event::Text(text) => {
            out.bytes(text.as_bytes())?;
            Ok(if text.is_empty() { line_open } else { !text.ends_with('\n') })
        }
        Event::Data(data) => {
            if line_open {
                out.bytes(b"\n")?;
            }
            out.data(data)?;
            Ok(false)
        }
        Event::Failed(message) => {
            if line_open {
                out.bytes(b"\n")?;
            }
            Err(failed_in_stream(&message))
        }
    }
}

/// Returns the whole body as JSON: a JSON answer as it is, the data of an event stream as an array, anything else as text.
async fn collect(answer: &mut Answer) -> Result<Value, Failure> {
    let kind = answer.media_type().to_owned();
    let limit = usize::try_from(limits::MAX_BODY_BYTES).unwrap_or(usize::MAX);
    let bytes = answer.body.collect(limit).await.map_err(broken_off)?;
    if kind == "text/event-stream" {
        let mut decoder = Decoder::default();
        let mut events = decoder.push(&bytes);
        events.extend(decoder.finish());
        let data = events.into_iter().map(|event| match event {
            Event::Text(text) => Ok(Value::String(text)),
            Event::Data(data) => Ok(serde_json::from_str(&data).unwrap_or(Value::String(data))),
            Event::Failed(message) => Err(failed_in_stream(&message)),
        });
        return data.collect::<Result<Vec<_>, _>>().map(Value::Array);
    }
    let text = || Value::String(String::from_utf8_lossy(&bytes).into_owned());
    Ok(serde_json::from_slice(&bytes).unwrap_or_else(|_| text()))
}

fn broken_off(error: Error) -> Failure {
    let failure = Failure::from(error);
    Failure { code: Code::AgentFailed, ..failure }
}

fn failed_in_stream(message: &str) -> Failure {
    Failure { cause: Some(message.to_owned()), ..Failure::new(Code::AgentFailed, "the agent failed in mid-stream") }
}

fn read_payload(data: &str) -> Result<Bytes, Failure> {
    if data == "-" {
        let mut bytes = Vec::new();
        let read = std::io::stdin().lock().read_to_end(&mut bytes);
        read.map_err(|e| Failure::io("cannot read standard input", &e))?;
        return Ok(bytes.into());
    }
    match data.strip_prefix('@') {
        Some(path) => std::fs::read(path)
            .map(Bytes::from)
            .map_err(|e| Failure { code: Code::Usage, ..Failure::io(format!("cannot read {path}"), &e) }),
        None => Ok(Bytes::from(data.to_owned())),
    }
}

/// Returns what shows a token. It is told to nobody else.
pub(crate) fn bearer(given: &str) -> Result<HeaderValue, Failure> {
    let token = match given.strip_prefix('@') {
        Some(path) => std::fs::read_to_string(path)
            .map_err(|e| Failure { code: Code::Usage, ..Failure::io(format!("cannot read {path}"), &e) })?,
        None => given.to_owned(),
    };
    let value = HeaderValue::try_from(format!("Bearer {}", token.trim()));
    let mut value =
        value.map_err(|_| Failure::usage("--token: a token has no line breaks and no control characters"))?;
    value.set_sensitive(true);
    Ok(value)
}

fn header(s: &str) -> Result<(HeaderName, HeaderValue), String> {
    let (name, value) = s.split_once(':').ok_or("expected 'Name: value'")?;
    let name = name.trim().parse().map_err(|_| format!("{name:?} is not a header name"))?;
    let value = value.trim().parse().map_err(|_| "the value holds what a header cannot carry".to_owned())?;
    Ok((name, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_read() {
        let (name, value) = header("X-Trace: a: b ").unwrap();
        assert_eq!((name.as_str(), value.to_str().unwrap()), ("x-trace", "a: b"));
        for bad in ["x-trace", "a b: c", "x: a\nb"] {
            assert!(header(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_last_line_of_text_is_ended_and_of_all_on_a_terminal() {
        let ended = |terminal| {
            [("text/plain", false), ("application/json", false), ("application/json", true), ("image/png", false)]
                .map(|(kind, raw)| is_ended(kind, raw, terminal))
        };
        assert_eq!(ended(false), [true, true, false, false]);
        assert_eq!(ended(true), [true; 4]);
    }

    #[test]
    fn payloads_come_from_text_and_files() {
        assert_eq!(prompt_payload("a \"b\""), r#"{"prompt":"a \"b\""}"#);
        assert_eq!(read_payload("{}").unwrap(), "{}");
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("p.json");
        std::fs::write(&path, "[1]").unwrap();
        assert_eq!(read_payload(&format!("@{}", path.display())).unwrap(), "[1]");
        assert_eq!(read_payload("@/no/such/file").unwrap_err().code, Code::Usage);
    }

    #[test]
    fn a_token_is_itself_or_in_a_file_and_is_not_shown() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        std::fs::write(&path, "a.b.c\n").unwrap();
        for given in ["a.b.c".to_owned(), format!("@{}", path.display())] {
            let value = bearer(&given).unwrap();
            assert_eq!((value.to_str().unwrap(), format!("{value:?}").as_str()), ("Bearer a.b.c", "Sensitive"));
        }
        assert_eq!(bearer("a\nb").unwrap_err().code, Code::Usage);
        assert_eq!(bearer("@/no/such/file").unwrap_err().code, Code::Usage);
    }
}
