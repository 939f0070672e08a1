//! WebSockets through the whole gateway, to agents that no library wrote.

use bytes::Bytes;
use http::Method;
use innkeep_gateway::Limits;
use innkeep_testkit::wait_for;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::agent::{Step, json, write};
use crate::client::{Answer, Call, encode};
use crate::world::{ARN, PLAIN_KEY, SOON, World};

const AGREED: &str = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                      Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

/// An agent that agrees and then does this.
fn agreeing(steps: impl IntoIterator<Item = Step>) -> Vec<Step> {
    std::iter::once(write(AGREED)).chain(steps).collect()
}

fn bytes(bytes: &'static [u8]) -> Step {
    Step::Write(Bytes::from_static(bytes))
}

pub(crate) fn handshake() -> Call {
    Call::to(&format!("/runtimes/{}/ws", encode(ARN)), "")
        .method(Method::GET)
        .header("connection", "Upgrade")
        .header("upgrade", "websocket")
        .header("sec-websocket-version", "13")
        .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")
}

/// Returns the socket of a handshake that must succeed, and its answer's head.
pub(crate) async fn open(world: &World, call: Call) -> (TcpStream, String) {
    let request = call.sign();
    let mut head = format!("GET {} HTTP/1.1\r\n", request.uri());
    for (name, value) in request.headers() {
        head.push_str(&format!("{name}: {}\r\n", value.to_str().unwrap()));
    }
    let mut socket = world.connect().await;
    socket.write_all(format!("{head}\r\n").as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        answer.push(socket.read_u8().await.unwrap());
    }
    let answer = String::from_utf8(answer).unwrap().to_ascii_lowercase();
    assert!(answer.starts_with("http/1.1 101 "), "{answer}");
    (socket, answer)
}

async fn refused(world: &World, call: Call) -> Answer {
    world.client().await.send(call).await
}

/// Returns all that still comes.
pub(crate) async fn rest(mut socket: TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    // A reset is an end too.
    let _ = timeout(SOON, socket.read_to_end(&mut bytes)).await.unwrap();
    bytes
}

#[tokio::test]
async fn the_handshake_tells_the_agent_what_an_invocation_does_and_no_more() {
    let world = World::new(agreeing([bytes(b"\x81\x02hi"), Step::WaitForClose])).await;
    let call =
        handshake().header("sec-websocket-protocol", "chat").header("sec-websocket-extensions", "permessage-deflate");
    let (mut socket, answer) = open(&world, call.header("baggage", "b=2")).await;
    for line in [
        "sec-websocket-accept: s3pplmbitxaq9kygzzhzrbk+xoo=",
        "x-innkeep-start: cold",
        "upgrade: websocket",
        "baggage: b=2",
    ] {
        assert!(answer.contains(line), "{answer}");
    }
    assert!(!answer.contains("sec-websocket-protocol") && !answer.contains("content-"), "{answer}");
    let received = world.agent.last();
    assert_eq!(received.head[0], "GET /ws HTTP/1.1");
    let is_known = |name: &str| received.header(name).is_some();
    assert!(is_known("x-amzn-bedrock-agentcore-runtime-session-id") && is_known("traceparent"));
    assert!(
        !["sec-websocket-protocol", "sec-websocket-extensions", "authorization", "x-amz-date"]
            .into_iter()
            .any(is_known)
    );
    let mut heard = [0; 4];
    socket.read_exact(&mut heard).await.unwrap();
    assert_eq!((&heard, world.open_requests()), (b"\x81\x02hi", 1));
    drop(socket);
    timeout(SOON, world.agent.saw_close()).await.unwrap();
}

#[tokio::test]
async fn an_agent_that_agrees_to_nothing_or_to_something_else_is_424() {
    let world = World::new(json("{}")).await;
    let other_key = AGREED.replace("s3pP", "aaaa");
    let extended = AGREED.replace("\r\n\r\n", "\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n");
    let not_one = AGREED.replace("websocket\r\n", "h2c\r\n");
    for said in [other_key, extended, not_one, "garbage\r\n\r\n".to_owned()] {
        world.agent.does(vec![write(said.clone()), Step::WaitForClose]);
        assert_eq!(refused(&world, handshake()).await.status, 424, "{said}");
    }
    for steps in [json("{}"), vec![Step::Close]] {
        world.agent.does(steps);
        assert_eq!(refused(&world, handshake()).await.status, 424);
    }
    assert_eq!(world.open_requests(), 0);
}

#[tokio::test]
async fn a_handshake_that_is_none_is_refused_before_anything_starts() {
    let world = World::new(agreeing([])).await;
    for (call, field) in [
        (handshake().without("upgrade"), "Upgrade"),
        (handshake().without("connection"), "Upgrade"),
        (handshake().header("sec-websocket-version", "8"), "Sec-WebSocket-Version"),
        (handshake().header("sec-websocket-key", "short"), "Sec-WebSocket-Key"),
        (handshake().without("sec-websocket-key"), "Sec-WebSocket-Key"),
        (handshake().session("short"), "runtimeSessionId"),
    ] {
        let answer = refused(&world, call).await;
        assert_eq!((answer.status.as_u16(), answer.json()["fieldList"][0]["name"].as_str()), (400, Some(field)));
    }
    assert_eq!(refused(&world, handshake().key(None)).await.status, 403);
    assert_eq!(world.agent.n_received(), 0);
    assert!(world.registry.list().is_empty());
}

#[tokio::test]
async fn policies_are_asked_for_the_operation_and_for_acting_for_a_user() {
    let world = World::new(agreeing([Step::Close])).await;
    let allow = |actions: &str| {
        format!(r#"{{"Version":"2012-10-17","Statement":[{{"Effect":"Allow","Action":{actions},"Resource":"*"}}]}}"#)
    };
    let as_plain = || handshake().key(Some(PLAIN_KEY));
    let for_user = || as_plain().header("x-amzn-bedrock-agentcore-runtime-user-id", "somebody");
    world.principal_of(PLAIN_KEY, &[allow(r#""bedrock-agentcore:InvokeAgentRuntime""#)]);
    assert_eq!(refused(&world, as_plain()).await.status, 403);
    let action = r#""bedrock-agentcore:InvokeAgentRuntimeWithWebSocketStream""#;
    world.principal_of(PLAIN_KEY, &[allow(action)]);
    open(&world, as_plain()).await;
    assert_eq!(refused(&world, for_user()).await.status, 403);
    let more = r#"["bedrock-agentcore:InvokeAgentRuntimeWithWebSocketStream*"]"#;
    world.principal_of(PLAIN_KEY, &[allow(more)]);
    open(&world, for_user()).await;
}

#[tokio::test]
async fn an_agent_that_leaves_tells_so_only_between_two_frames() {
    let world = World::new(agreeing([bytes(b"\x81\x02hi"), Step::Close])).await;
    let (socket, _) = open(&world, handshake()).await;
    assert_eq!(rest(socket).await, b"\x81\x02hi\x88\x14\x03\xf3the agent has gone");
    world.agent.does(agreeing([bytes(b"\x81\x05hi"), Step::Close]));
    let (socket, _) = open(&world, handshake()).await;
    assert_eq!(rest(socket).await, b"\x81\x05hi");
}

#[tokio::test]
async fn an_agent_that_talks_without_end_to_a_client_that_does_not_read_is_held_back() {
    let limits = Limits {
        max_frames_per_second: u32::MAX,
        write_stall_timeout: std::time::Duration::from_millis(200),
        ..Limits::default()
    };
    let flood = Step::WriteForEver(Bytes::from([b"\x82\x7e\x40\x00".as_slice(), &[7; 0x4000]].concat()));
    let world = World::with_limits(agreeing([flood]), limits).await;
    let (socket, _) = open(&world, handshake()).await;
    wait_for("it to be given up", SOON, || world.open_requests() == 0).await;
    drop(socket);
}

#[tokio::test]
async fn one_that_is_open_as_long_as_it_may_be_is_told_so() {
    let limits = Limits { stream_timeout: std::time::Duration::from_millis(300), ..Limits::default() };
    let world = World::with_limits(agreeing([Step::WaitForClose]), limits).await;
    let (socket, _) = open(&world, handshake()).await;
    let said = rest(socket).await;
    assert!(said.starts_with(b"\x88") && said[2..4] == 1008_u16.to_be_bytes(), "{}", said.escape_ascii());
}
