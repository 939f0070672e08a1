//! The client against a server that answers from a script and keeps what it was asked.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use innkeep_auth::sigv4::{Credentials, Signed, SigningKeys};
use innkeep_protocol::control::AgentRuntimeRequest;
use innkeep_protocol::operator::SplitEndpoint;
use innkeep_types::{
    AccountId, Clock, EndpointName, ErrorKind, HealthCheck, Region, RuntimeId, RuntimeVersion, SessionId, Settings,
    SystemClock,
};
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;

const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";

struct Asked {
    method: Method,
    target: String,
    headers: HeaderMap,
    body: Bytes,
}

fn client(url: String) -> Client {
    let endpoint = Endpoint {
        url,
        region: Region::parse("us-west-2").unwrap(),
        account: AccountId::parse("000000000000").unwrap(),
    };
    let credentials =
        Credentials { access_key_id: "AKIDEXAMPLE".to_owned(), secret: SECRET.to_owned(), session_token: None };
    Client::new(endpoint, credentials).unwrap()
}

fn runtime() -> RuntimeId {
    RuntimeId::parse("hello-Ab3dE6gH9j").unwrap()
}

fn invocation(payload: &'static str) -> Invocation {
    Invocation {
        runtime: runtime(),
        endpoint: EndpointName::default_endpoint(),
        session: SessionId::from_short("alice").unwrap(),
        content_type: HeaderValue::from_static("application/json"),
        headers: HeaderMap::new(),
        payload: Bytes::from_static(payload.as_bytes()),
        timeout: Duration::from_secs(5),
    }
}

/// Runs `calls` against a server that gives `answer` to every request; returns what `calls` returned and what was asked.
async fn with_server<T>(
    answer: impl Fn() -> Response<Full<Bytes>>,
    calls: impl AsyncFnOnce(Client) -> T,
) -> (T, Vec<Asked>) {
    let asked = Mutex::new(Vec::new());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = client(format!("http://{}", listener.local_addr().unwrap()));
    let serve = async {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let (asked, answer) = (&asked, &answer);
            let service = service_fn(move |request: Request<Incoming>| async move {
                let (parts, body) = request.into_parts();
                let body = body.collect().await.unwrap().to_bytes();
                let target = parts.uri.to_string();
                asked.lock().push(Asked { method: parts.method, target, headers: parts.headers, body });
                Ok::<_, Infallible>(answer())
            });
            let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        }
    };
    let result = tokio::select! { result = calls(client) => result, () = serve => unreachable!() };
    (result, asked.into_inner())
}

/// Runs `calls` against a server that reads one request's head and writes `answer`, raw.
async fn with_raw_server<T>(answer: &'static str, calls: impl AsyncFnOnce(Client) -> T) -> T {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = client(format!("http://{}", listener.local_addr().unwrap()));
    let serve = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut head = [0; 4096];
        let _ = stream.read(&mut head).await.unwrap();
        stream.write_all(answer.as_bytes()).await.unwrap();
        drop(stream);
        std::future::pending::<()>().await;
    };
    tokio::select! { result = calls(client) => result, () = serve => unreachable!() }
}

#[tokio::test]
async fn a_token_goes_in_place_of_a_signature() {
    let call = async |client: Client| {
        let mut invocation = invocation("{}");
        invocation.headers.insert(http::header::AUTHORIZATION, HeaderValue::from_static("Bearer a.b.c"));
        client.invoke(invocation).await.map(drop)
    };
    let (result, asked) = with_server(|| Response::new(Full::from("{}")), call).await;
    result.unwrap();
    let headers = &asked[0].headers;
    assert_eq!(headers.get_all("authorization").iter().collect::<Vec<_>>(), ["Bearer a.b.c"]);
    assert!(!headers.contains_key("x-amz-date"));
}

#[tokio::test]
async fn an_invocation_carries_a_signature_that_verifies() {
    let answer = || {
        Response::builder()
            .header("content-type", "application/json; charset=utf-8")
            .header("x-amzn-bedrock-agentcore-runtime-session-id", "alice-innkeep-session-000000000000000000")
            .header("x-innkeep-start", "cold")
            .header("x-innkeep-version", "7")
            .header("server-timing", "cdn-cache;desc=MISS")
            .header("server-timing", "start;desc=cold, queue;dur=0.1, launch;dur=4.2")
            .body(Full::from("{}"))
            .unwrap()
    };
    let (mut answer, asked) =
        with_server(answer, async |client| client.invoke(invocation("{\"prompt\":\"hi\"}")).await.unwrap()).await;
    assert_eq!(answer.session(), SessionId::from_short("alice"));
    assert_eq!(
        (answer.version().unwrap().get(), answer.is_cold(), answer.media_type()),
        (7, Some(true), "application/json")
    );
    let start = answer.start().unwrap();
    assert_eq!((start.way.as_str(), start.phases[1].0.as_str(), start.phases.len()), ("cold", "launch", 2));
    assert_eq!(answer.body.collect(100).await.unwrap(), b"{}");

    let Asked { method, target, headers, body } = &asked[0];
    assert_eq!(
        (method.as_str(), target.as_str()),
        (
            "POST",
            "/runtimes/arn%3Aaws%3Abedrock-agentcore%3Aus-west-2%3A000000000000%3Aruntime%2Fhello-Ab3dE6gH9j/invocations?qualifier=DEFAULT"
        )
    );
    assert_eq!(&body[..], b"{\"prompt\":\"hi\"}");
    let signed = Signed::parse(method, target, headers, SystemClock.now()).unwrap();
    signed.verify(&SigningKeys::default(), SECRET, &sha256(&body[..]).unwrap()).unwrap();
}

#[tokio::test]
async fn a_file_is_streamed_with_its_length_and_digest() {
    let answer = || {
        let json = r#"{"bucket":"innkeep","prefix":"p","runtime":"PYTHON_3_11","entryPoint":["main.py"],"notes":[]}"#;
        Response::new(Full::from(json))
    };
    let content = "x".repeat(300_000);
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(content.as_bytes()).unwrap();
    let kind = UploadKind::Project { layer: Some("ab".to_owned()) };
    let sent = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&sent);
    let meter = Meter::new(move |n| {
        count.fetch_add(n, Ordering::Relaxed);
    });
    let upload = Upload { file, meter };
    let (uploaded, asked) = with_server(answer, async |c| c.upload_artifact(upload, &kind).await.unwrap()).await;
    assert_eq!(sent.load(Ordering::Relaxed), 300_000, "the meter is told of every byte");
    assert_eq!(uploaded.entry_point, ["main.py"]);
    let Asked { target, headers, body, .. } = &asked[0];
    assert_eq!(target, "/innkeep/v1/artifacts?kind=project&layer=ab");
    assert_eq!(headers["content-length"], "300000");
    assert_eq!(body, content.as_bytes());
    let hex: String = sha256(&body[..]).unwrap().iter().map(|b| format!("{b:02x}")).collect();
    assert_eq!(headers["x-amz-content-sha256"], hex);
}

#[tokio::test]
async fn settings_travel_as_a_header() {
    let answer = || {
        let json = r#"{"agentRuntimeArn":"a","agentRuntimeId":"hello-Ab3dE6gH9j","agentRuntimeVersion":"2",
            "createdAt":"2026-11-20T10:00:00.000Z","status":"UPDATING"}"#;
        Response::new(Full::from(json))
    };
    let settings = Settings { health: Some(HealthCheck::Tcp), ..Settings::default() };
    let (accepted, asked) = with_server(answer, async |client| {
        client.update_runtime(&runtime(), &AgentRuntimeRequest::default(), Some(&settings)).await.unwrap()
    })
    .await;
    assert_eq!(accepted.agent_runtime_version, "2");
    assert_eq!((asked[0].method.as_str(), asked[0].target.as_str()), ("PUT", "/runtimes/hello-Ab3dE6gH9j/"));
    assert_eq!(asked[0].headers["x-innkeep-settings"], r#"{"health":"tcp"}"#);
}

#[tokio::test]
async fn a_list_is_read_to_its_last_page() {
    let pages = Mutex::new(
        [
            r#"{"runtimeEndpoints":[{"name":"DEFAULT","more":1}],"nextToken":"a b"}"#,
            r#"{"runtimeEndpoints":[{"name":"prod"}]}"#,
        ]
        .into_iter(),
    );
    let answer = || Response::new(Full::from(pages.lock().next().unwrap()));
    let (endpoints, asked) = with_server(answer, async |client| client.endpoints(&runtime()).await.unwrap()).await;
    let names: Vec<_> = endpoints.iter().map(|endpoint| endpoint["name"].as_str().unwrap()).collect();
    assert_eq!((names.as_slice(), endpoints[0]["more"].as_i64()), (["DEFAULT", "prod"].as_slice(), Some(1)));
    let targets: Vec<_> = asked.iter().map(|asked| asked.target.as_str()).collect();
    let base = "/runtimes/hello-Ab3dE6gH9j/runtime-endpoints/?maxResults=100";
    assert_eq!(targets, [base, &format!("{base}&nextToken=a%20b")]);
}

#[tokio::test]
async fn an_endpoint_s_body_has_what_was_given_and_no_more() {
    let answer = || Response::new(Full::from("{}"));
    let prod = EndpointName::parse("prod").unwrap();
    let (_, asked) = with_server(answer, async |client| {
        let version = RuntimeVersion::new(7);
        client.create_endpoint(&runtime(), &prod, version, Some("for customers")).await.unwrap();
        client.update_endpoint(&runtime(), &prod, version, None).await.unwrap();
        client.delete_endpoint(&runtime(), &prod).await.unwrap();
    })
    .await;
    let asked: Vec<_> =
        asked.iter().map(|a| (a.method.as_str(), a.target.as_str(), std::str::from_utf8(&a.body).unwrap())).collect();
    let base = "/runtimes/hello-Ab3dE6gH9j/runtime-endpoints/";
    let prod = format!("{base}prod/");
    assert_eq!(
        asked,
        [
            ("PUT", base, r#"{"agentRuntimeVersion":"7","description":"for customers","name":"prod"}"#),
            ("PUT", &prod, r#"{"agentRuntimeVersion":"7"}"#),
            ("DELETE", &prod, ""),
        ]
    );
}

#[tokio::test]
async fn a_split_names_versions_and_weights() {
    let answer = || {
        let json = r#"{"name":"prod","liveVersion":8,"targetVersion":8,"split":{"7":90,"8":10},"status":"READY"}"#;
        Response::new(Full::from(json))
    };
    let version = |n| RuntimeVersion::new(n).unwrap();
    let weights = BTreeMap::from([(version(7), 90), (version(8), 10)]);
    let split = SplitEndpoint { weights: weights.clone() };
    let prod = EndpointName::parse("prod").unwrap();
    let (view, asked) =
        with_server(answer, async |client| client.split_endpoint(&runtime(), &prod, &split).await.unwrap()).await;
    assert_eq!(view.split, weights);
    let Asked { method, target, body, .. } = &asked[0];
    assert_eq!(
        (method.as_str(), target.as_str(), &body[..]),
        ("PUT", "/innkeep/v1/runtimes/hello-Ab3dE6gH9j/endpoints/prod/split", &br#"{"weights":{"7":90,"8":10}}"#[..])
    );
}

#[tokio::test]
async fn an_api_error_keeps_name_message_and_log_lines() {
    let answer = || {
        let mut response = Response::new(Full::from(r#"{"message":"the agent exited","logTail":["boom"]}"#));
        *response.status_mut() = http::StatusCode::FAILED_DEPENDENCY;
        response.headers_mut().insert("x-amzn-errortype", HeaderValue::from_static("RuntimeClientError"));
        response
    };
    let (error, _) = with_server(answer, async |client| client.invoke(invocation("{}")).await.unwrap_err()).await;
    assert_eq!((error.kind(), error.to_string().as_str()), (ErrorKind::Agent, "the agent exited"));
    let Error::Service { exception, log_tail, .. } = error else { panic!("{error:?}") };
    assert_eq!((exception.as_str(), log_tail), ("RuntimeClientError", vec!["boom".to_owned()]));
}

#[tokio::test]
async fn an_error_of_another_protocol_is_an_error_whatever_its_status() {
    let rpc = r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32010,"message":"Tool execution error","data":{"message":"it exited","logTail":["boom"]}}}"#;
    let event = "data: {\"type\":\"RUN_ERROR\",\"code\":\"AGENT_ERROR\",\"message\":\"it exited\"}\n\n";
    for (body, log_lines) in [(rpc, vec!["boom".to_owned()]), (event, Vec::new())] {
        let answer = || {
            let mut response = Response::new(Full::from(body));
            response.headers_mut().insert("x-amzn-errortype", HeaderValue::from_static("RuntimeClientError"));
            response
        };
        let (error, _) = with_server(answer, async |client| client.invoke(invocation("{}")).await.unwrap_err()).await;
        assert_eq!((error.kind(), error.to_string().as_str()), (ErrorKind::Agent, "it exited"));
        let Error::Service { log_tail, .. } = error else { panic!("{error:?}") };
        assert_eq!(log_tail, log_lines);
    }
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_not_taken_for_a_whole_one() {
    let answer = "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf";
    let error = with_raw_server(answer, async |client| {
        let mut answer = client.invoke(invocation("{}")).await.unwrap();
        assert_eq!(answer.body.chunk().await.unwrap().unwrap(), "half");
        answer.body.chunk().await.unwrap_err()
    })
    .await;
    assert!(matches!(error, Error::BrokenOff(_)), "{error:?}");
}

#[tokio::test]
async fn log_lines_are_cut_from_the_stream_whatever_its_pieces() {
    let line = r#"{"timeMs":1,"sessionId":"alice-innkeep-session-000000000000000000","version":1,"stream":"stdout","message":"a"}"#;
    let mut buffer = LineBuffer::default();
    for piece in ["a\r", "\n\nb", "c\nd"] {
        buffer.push(piece.as_bytes());
    }
    let lines: Vec<_> = std::iter::from_fn(|| buffer.next_line()).collect();
    assert_eq!(lines, [b"a".to_vec(), b"".to_vec(), b"bc".to_vec()]);
    assert_eq!(buffer.finish(), Some(b"d".to_vec()));

    let answer: &'static str =
        Box::leak(format!("HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n{line}\n\n{line}").into_boxed_str());
    let messages = with_raw_server(answer, async |client| {
        let mut logs = client.logs(&LogQuery { follow: true, ..LogQuery::default() }).await.unwrap();
        let mut messages = Vec::new();
        while let Some(entry) = logs.next().await.unwrap() {
            messages.push(entry.message);
        }
        messages
    })
    .await;
    assert_eq!(messages, ["a", "a"]);
}

#[tokio::test]
async fn a_silent_server_and_an_absent_one_are_told_apart() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = client(format!("http://{}", listener.local_addr().unwrap()));
    let mut silent = invocation("{}");
    silent.timeout = Duration::from_millis(20);
    assert!(matches!(client.invoke(silent).await, Err(Error::Timeout { .. })));
    drop(listener);
    assert!(matches!(client.invoke(invocation("{}")).await, Err(Error::Connect { .. })));
    assert!(!client.is_healthy().await);
}

#[test]
fn urls_that_cannot_be_used_say_why() {
    let base = client("http://127.0.0.1:7080/".to_owned());
    for (url, reason) in [
        ("ftp://example.org", "https://"),
        ("127.0.0.1:7080", "http://"),
        ("http://h/path", "path"),
        ("ftp://h", "http://"),
        ("http://", "URL"),
    ] {
        let endpoint = Endpoint { url: url.to_owned(), ..base.endpoint().clone() };
        let error = Client::new(endpoint, base.credentials().cloned()).unwrap_err().to_string();
        assert!(error.contains(reason), "{url}: {error}");
    }
}
