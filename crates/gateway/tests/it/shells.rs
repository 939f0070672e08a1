//! Shells through the whole gateway; their programs are real, and their terminal a socket, so that nothing is echoed.

use std::time::Duration;

use http::Method;
use innkeep_gateway::{Limit, Limits};
use innkeep_testkit::wait_for;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::agent::json;
use crate::client::{Answer, Call, encode};
use crate::websockets::{open, rest};
use crate::world::{ARN, OPERATOR_KEY, PLAIN_KEY, SOON, World};

fn shell(query: &str) -> Call {
    Call::to(&format!("/runtimes/{}/ws/shells?{query}", encode(ARN)), "")
        .method(Method::GET)
        .header("connection", "Upgrade")
        .header("upgrade", "websocket")
        .header("sec-websocket-version", "13")
        .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")
}

async fn world(limits: Limits) -> World {
    World::with_limits(json("{}"), limits).await
}

/// A connection to a shell.
struct Connected {
    socket: TcpStream,
    answer: String,
}

impl Connected {
    async fn to(world: &World, query: &str) -> (Self, Value) {
        let (socket, answer) = open(world, shell(query)).await;
        let mut connected = Self { socket, answer };
        let (channel, told) = connected.hear().await;
        assert_eq!(channel, 3);
        (connected, serde_json::from_slice(&told).unwrap())
    }

    async fn say(&mut self, message: &[u8]) {
        let length = u8::try_from(message.len()).unwrap();
        assert!(length < 126);
        let frame = [&[0x82, 0x80 | length, 0, 0, 0, 0], message].concat();
        self.socket.write_all(&frame).await.unwrap();
    }

    /// Returns the next message's channel and what it carries; 8 and what is in the frame that closes.
    async fn hear(&mut self) -> (u8, Vec<u8>) {
        timeout(SOON, async {
            let first = self.socket.read_u8().await.unwrap();
            let length = match self.socket.read_u8().await.unwrap() {
                126 => usize::from(self.socket.read_u16().await.unwrap()),
                short => usize::from(short),
            };
            let mut payload = vec![0; length];
            self.socket.read_exact(&mut payload).await.unwrap();
            if first == 0x88 { (8, payload) } else { (payload.remove(0), payload) }
        })
        .await
        .unwrap()
    }

    /// Waits until the screen shows this.
    async fn sees(&mut self, expect: &[u8]) {
        let mut seen = Vec::new();
        while !seen.windows(expect.len()).any(|part| part == expect) {
            let (channel, shown) = self.hear().await;
            assert_eq!(channel, 1, "{} after {}", shown.escape_ascii(), seen.escape_ascii());
            seen.extend(shown);
            if seen.len() > 1 << 16 {
                seen.drain(..seen.len() - expect.len());
            }
        }
    }

    /// Returns the status that is told last, if one is, and the code that it is closed with.
    async fn closed(mut self) -> (Value, u16) {
        let mut told = Value::Null;
        loop {
            match self.hear().await {
                (3, status) => told = serde_json::from_slice(&status).unwrap(),
                (8, close) => return (told, u16::from_be_bytes(*close.first_chunk().unwrap())),
                _ => {}
            }
        }
    }
}

async fn refused(world: &World, call: Call) -> Answer {
    world.client().await.send(call).await
}

#[tokio::test]
async fn a_shell_is_opened_and_its_end_is_told() {
    let world = world(Limits::default()).await;
    let (mut connected, told) = Connected::to(&world, "shellId=debug").await;
    assert_eq!(told["metadata"], serde_json::json!({"shellId": "debug", "reconnected": false}));
    for header in ["x-amzn-bedrock-agentcore-shell-id: debug", "x-amzn-bedrock-agentcore-runtime-session-id: a-session"]
    {
        assert!(connected.answer.contains(header), "{}", connected.answer);
    }
    assert_eq!(world.open_requests(), 1);
    connected.say(b"\x00echo in $TERM; exit 3\n").await;
    connected.sees(b"in xterm-256color\n").await;
    let (told, code) = connected.closed().await;
    assert_eq!(
        (told["reason"].as_str(), &told["details"]["causes"][0]["message"], code),
        (Some("NonZeroExitCode"), &"3".into(), 1000)
    );
    wait_for("the session to be idle", SOON, || world.open_requests() == 0).await;
}

#[tokio::test]
async fn the_request_s_trace_comes_back() {
    let world = world(Limits::default()).await;
    let (_socket, answer) = open(&world, shell("shellId=a").header("tracestate", "a=1")).await;
    assert!(answer.contains("tracestate: a=1"), "{answer}");
}

#[tokio::test]
async fn a_command_may_take_the_shells_place() {
    let world = world(Limits::default()).await;
    let (connected, _) = Connected::to(&world, "command=/bin/sh&command=-c&command=exit%207").await;
    assert_eq!(connected.closed().await.0["message"], "command terminated with exit code 7");
    let answer = refused(&world, shell("command=/nonexistent")).await;
    let error = answer.json();
    assert_eq!((answer.status.as_u16(), error["error"].as_str()), (424, Some("ShellUnreachable")), "{error}");
}

#[tokio::test]
async fn who_comes_again_finds_the_shell_and_what_it_printed() {
    let world = world(Limits { shell_replay_bytes: 16, ..Limits::default() }).await;
    let (mut first, _) = Connected::to(&world, "shellId=a").await;
    first.say(b"\x00word=remembered; echo 0123456789abcdefghij\n").await;
    first.sees(b"ghij\n").await;
    drop(first);
    wait_for("the session to be idle", SOON, || world.open_requests() == 0).await;
    let (mut again, told) = Connected::to(&world, "shellId=a").await;
    assert_eq!(told["metadata"]["reconnected"], true);
    assert_eq!(again.hear().await, (1, b"56789abcdefghij\n".to_vec()));
    again.say(b"\x00echo $word\n").await;
    again.sees(b"remembered\n").await;
}

#[tokio::test]
async fn the_second_client_of_a_shell_replaces_the_first() {
    let world = world(Limits::default()).await;
    let (first, _) = Connected::to(&world, "shellId=a").await;
    let (mut second, told) = Connected::to(&world, "shellId=a").await;
    assert_eq!(told["metadata"]["reconnected"], true);
    assert_eq!(first.closed().await, (Value::Null, 4000));
    second.say(b"\x00echo still here\n").await;
    second.sees(b"still here\n").await;
}

#[tokio::test]
async fn a_session_has_so_many_shells_and_those_without_a_client_count() {
    let world = world(Limits { max_shells_per_session: 2, ..Limits::default() }).await;
    let (first, _) = Connected::to(&world, "shellId=a").await;
    drop(first);
    let (mut second, _) = Connected::to(&world, "shellId=b").await;
    let answer = refused(&world, shell("shellId=c")).await;
    let error = answer.json();
    assert_eq!((answer.status.as_u16(), error["error"].as_str()), (424, Some("ShellLimitExceeded")), "{error}");
    assert_eq!(answer.header("x-amzn-errortype"), "RuntimeClientError");
    assert_eq!(world.gateway.crossings(Limit::Shells), 1);
    // One that is there is no further one.
    let (third, _) = Connected::to(&world, "shellId=a").await;
    // The client may end it, and then there is room.
    second.say(b"\xFF").await;
    let (told, code) = second.closed().await;
    assert_eq!((told["details"]["causes"][1]["message"].as_str(), code), (Some("9"), 1000));
    let (_fourth, told) = Connected::to(&world, "shellId=c").await;
    assert_eq!(told["metadata"]["reconnected"], false);
    drop(third);
}

#[tokio::test]
async fn a_shell_without_a_client_ends_after_its_time() {
    let world = world(Limits { shell_detached_timeout: Duration::from_millis(50), ..Limits::default() }).await;
    let (first, _) = Connected::to(&world, "shellId=a").await;
    drop(first);
    wait_for("the session to be idle", SOON, || world.open_requests() == 0).await;
    wait_for("the shell to end", SOON, || world.gateway.websockets().shells == 0).await;
    let (_again, told) = Connected::to(&world, "shellId=a").await;
    assert_eq!(told["metadata"]["reconnected"], false);
}

#[tokio::test]
async fn one_that_is_connected_as_long_as_it_may_be_is_told_so_and_the_shell_stays() {
    let world = world(Limits { stream_timeout: Duration::from_millis(700), ..Limits::default() }).await;
    let (mut first, _) = Connected::to(&world, "shellId=a").await;
    first.say(b"\x00word=remembered\n").await;
    assert_eq!(first.hear().await, (0xFF, vec![]));
    assert_eq!(first.closed().await.1, 1008);
    let (mut again, told) = Connected::to(&world, "shellId=a").await;
    assert_eq!(told["metadata"]["reconnected"], true);
    again.say(b"\x00echo $word\n").await;
    again.sees(b"remembered\n").await;
}

#[tokio::test]
async fn a_client_that_does_not_read_is_given_up_and_the_program_goes_on() {
    let world = world(Limits { write_stall_timeout: Duration::from_millis(200), ..Limits::default() }).await;
    let (mut first, _) = Connected::to(&world, "shellId=a").await;
    first.say(b"\x00yes | head -c 50000000; echo done\n").await;
    wait_for("it to be given up", SOON, || world.open_requests() == 0).await;
    let (mut again, _) = Connected::to(&world, "shellId=a").await;
    again.sees(b"done\n").await;
    drop(first);
}

#[tokio::test]
async fn a_session_that_is_stopped_says_so() {
    let world = world(Limits::default()).await;
    let (mut connected, _) = Connected::to(&world, "shellId=a").await;
    assert_eq!(world.client().await.send(Call::stop()).await.status, 200);
    assert_eq!(connected.hear().await, (0xFF, vec![]));
    assert_eq!(connected.closed().await.1, 1001);
}

#[tokio::test]
async fn what_cannot_be_asked_for_is_refused_before_anything_starts() {
    let world = world(Limits::default()).await;
    for (query, status, error) in [
        ("shellId=-a", 424, Some("InvalidShellId")),
        ("shellId=a%2Fb", 424, Some("InvalidShellId")),
        ("shellId=a&shellId=b", 400, None),
        ("width=0", 400, None),
        ("command=", 400, None),
        ("qualifier=nowhere", 404, None),
    ] {
        let answer = refused(&world, shell(query)).await;
        assert_eq!((answer.status.as_u16(), answer.json()["error"].as_str()), (status, error), "{query}");
    }
    assert_eq!(refused(&world, shell("").without("upgrade")).await.status, 400);
    assert_eq!(refused(&world, shell("").key(None)).await.status, 403);
    assert!(world.registry.list().is_empty());
}

#[tokio::test]
async fn policies_are_asked_for_the_operation_and_the_audit_log_is_told() {
    let world = world(Limits::default()).await;
    let allow = |action: &str| {
        format!(
            r#"{{"Version":"2012-10-17","Statement":[{{"Effect":"Allow","Action":"bedrock-agentcore:{action}","Resource":"*"}}]}}"#
        )
    };
    let as_plain = || shell("shellId=a").key(Some(PLAIN_KEY));
    for not_enough in ["InvokeAgentRuntime", "InvokeAgentRuntimeCommand", "InvokeAgentRuntimeWithWebSocketStream"] {
        world.principal_of(PLAIN_KEY, &[allow(not_enough)]);
        assert_eq!(refused(&world, as_plain()).await.status, 403, "{not_enough}");
    }
    world.principal_of(PLAIN_KEY, &[allow("InvokeAgentRuntimeCommandShell")]);
    let (socket, _) = open(&world, as_plain()).await;
    // The session is his who started it.
    assert_eq!(refused(&world, shell("shellId=a").key(Some(OPERATOR_KEY)).session(&"b".repeat(33))).await.status, 101);
    drop(rest(socket));
    let events = world.events.lock();
    let told: Vec<_> = events.iter().map(|event| (event.action.as_str(), format!("{:?}", event.outcome))).collect();
    assert!(told.contains(&("InvokeAgentRuntimeCommandShell", "Allowed".to_owned())), "{told:?}");
}
