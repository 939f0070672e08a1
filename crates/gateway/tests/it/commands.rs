//! InvokeAgentRuntimeCommand. The fake sandbox runs commands on this machine.

use http_body_util::BodyExt;
use hyper::body::Incoming;
use innkeep_gateway::{Limit, Limits};
use innkeep_protocol::event_stream::{Decoder, Message};
use innkeep_testkit::wait_for;
use innkeep_types::{AgentExit, RuntimeVersion};
use serde_json::{Value, json};

use crate::agent::json as answering;
use crate::client::{Answer, Call, encode};
use crate::world::{ARN, PLAIN_KEY, SESSION, SOON, World};

fn call(body: impl Into<bytes::Bytes>) -> Call {
    Call::to(&format!("/runtimes/{}/commands", encode(ARN)), body)
        .header("accept", "application/vnd.amazon.eventstream")
        .header("content-type", "application/json")
}

fn command(text: &str) -> Call {
    call(json!({"command": text}).to_string())
}

/// Reads an answer as it comes.
struct Events {
    body: Incoming,
    decoder: Decoder,
}

impl Events {
    fn new(body: Incoming) -> Self {
        Self { body, decoder: Decoder::default() }
    }

    async fn next(&mut self) -> Option<Message> {
        loop {
            if let Some(message) = self.decoder.next_message().unwrap() {
                return Some(message);
            }
            let frame = self.body.frame().await?.unwrap();
            self.decoder.push(&frame.into_data().unwrap());
        }
    }

    async fn json(&mut self) -> Value {
        serde_json::from_slice(&self.next().await.unwrap().payload).unwrap()
    }
}

/// Returns a whole answer: standard output, standard error, and the last message.
fn read(answer: &Answer) -> (String, String, Value) {
    assert_eq!((answer.status.as_u16(), answer.header("content-type")), (200, "application/vnd.amazon.eventstream"));
    let mut decoder = Decoder::default();
    decoder.push(&answer.body);
    let messages: Vec<_> = std::iter::from_fn(|| decoder.next_message().unwrap()).collect();
    let mut payloads: Vec<Value> = messages.iter().map(|m| serde_json::from_slice(&m.payload).unwrap()).collect();
    assert_eq!(payloads.remove(0), json!({"contentStart": {}}));
    let last = payloads.pop().unwrap();
    let all = |output: &str| payloads.iter().filter_map(|p| p["contentDelta"][output].as_str()).collect();
    (all("stdout"), all("stderr"), last)
}

fn stop(code: i32, status: &str) -> Value {
    json!({"contentStop": {"exitCode": code, "status": status}})
}

#[tokio::test]
async fn a_command_runs_in_a_session_that_is_started_for_it() {
    let world = World::new(answering("{}")).await;
    let mut client = world.client().await;
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let answer = client.send(command("echo out; echo err >&2; exit 3").header("traceparent", trace)).await;
    assert_eq!(read(&answer), ("out\n".to_owned(), "err\n".to_owned(), stop(3, "COMPLETED")));
    assert_eq!(answer.header("x-amzn-bedrock-agentcore-runtime-session-id"), SESSION);
    assert_eq!((answer.header("traceparent"), answer.header("x-innkeep-start")), (trace, "cold"));
    assert_eq!(answer.header("x-innkeep-version"), RuntimeVersion::FIRST.to_string());

    // The next one finds it, and one without a session gets one.
    let answer = client.send(command("read line || echo nothing to read")).await;
    assert_eq!((read(&answer).0.as_str(), answer.header("x-innkeep-start")), ("nothing to read\n", "warm"));
    let unnamed = client.send(command("kill -9 $$").without("x-amzn-bedrock-agentcore-runtime-session-id")).await;
    assert_eq!(read(&unnamed).2, stop(137, "COMPLETED"));
    assert_eq!((unnamed.header("x-amzn-bedrock-agentcore-runtime-session-id").len(), world.driver.launches()), (36, 2));
    let executed = world.driver.sandboxes()[0].executed();
    assert_eq!(executed[0].arguments, ["-c", "echo out; echo err >&2; exit 3"]);
    wait_for("the leases' end", SOON, || world.open_requests() == 0).await;
}

#[tokio::test]
async fn output_comes_as_it_is_written_and_characters_stay_whole() {
    let world = World::new(answering("{}")).await;
    let directory = tempfile::tempdir().unwrap();
    let go = directory.path().join("go");
    let made = std::process::Command::new("mkfifo").arg(&go).status().unwrap();
    assert!(made.success());
    let script = format!("printf 'one \\xc3'; read x < {0}; printf '\\xa4 two\\xff'; read x < {0}", go.display());
    let mut client = world.client().await;
    let mut events = Events::new(client.open(command(&script)).await.into_body());
    assert_eq!(events.json().await, json!({"contentStart": {}}));
    assert_eq!(events.json().await, json!({"contentDelta": {"stdout": "one "}}));
    assert_eq!(world.open_requests(), 1, "a command holds the session");
    assert_eq!(client_invokes(&world).await, 200, "an invocation does not wait for it");
    tokio::fs::write(&go, "\n").await.unwrap();
    assert_eq!(events.json().await, json!({"contentDelta": {"stdout": "\u{e4} two\u{fffd}"}}));
    tokio::fs::write(&go, "\n").await.unwrap();
    assert_eq!(events.json().await, stop(0, "COMPLETED"));
    assert!(events.next().await.is_none());
}

async fn client_invokes(world: &World) -> u16 {
    world.client().await.send(Call::invoke("{}")).await.status.as_u16()
}

#[tokio::test]
async fn a_command_that_takes_too_long_is_killed_with_all_that_it_started() {
    let world = World::new(answering("{}")).await;
    let script = "sleep 999 & echo $!; echo waiting; wait";
    let answer = world.client().await.send(call(json!({"command": script, "timeout": 1}).to_string())).await;
    let (stdout, _, last) = read(&answer);
    assert_eq!(last, stop(-1, "TIMED_OUT"));
    let (pid, rest) = stdout.split_once('\n').unwrap();
    assert_eq!(rest, "waiting\n");
    wait_for("its end", SOON, || is_gone(pid)).await;
}

fn is_gone(pid: &str) -> bool {
    // Whose child it is by then takes note of its end when it likes.
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    status.is_empty() || status.contains("State:\tZ")
}

#[tokio::test]
async fn a_caller_who_leaves_ends_the_command() {
    let world = World::new(answering("{}")).await;
    let mut client = world.client().await;
    let mut events = Events::new(client.open(command("echo $$; sleep 999")).await.into_body());
    events.next().await.unwrap();
    let said = events.json().await;
    let pid = said["contentDelta"]["stdout"].as_str().unwrap().trim().to_owned();
    assert!(!is_gone(&pid));
    drop((client, events));
    wait_for("the command's end", SOON, || is_gone(&pid)).await;
    wait_for("the lease's end", SOON, || world.open_requests() == 0).await;
}

#[tokio::test]
async fn the_end_of_the_session_is_told_in_the_stream() {
    let world = World::new(answering("{}")).await;
    let mut client = world.client().await;
    let mut events = Events::new(client.open(command("echo up; sleep 999")).await.into_body());
    events.next().await.unwrap();
    events.next().await.unwrap();
    assert_eq!(world.client().await.send(Call::stop()).await.status, 200);
    let last = events.next().await.unwrap();
    assert_eq!(last.header(":exception-type"), Some("runtimeClientError"));
    let said: Value = serde_json::from_slice(&last.payload).unwrap();
    assert!(said["message"].as_str().unwrap().starts_with("The session ended before the command did: "), "{said}");
    assert!(events.next().await.is_none(), "and the stream ends cleanly");

    let mut events = Events::new(client.open(command("echo up; sleep 999")).await.into_body());
    events.next().await.unwrap();
    events.next().await.unwrap();
    world.driver.last().exit(AgentExit::Code(7), &[]);
    let last = events.next().await.unwrap();
    assert_eq!(last.header(":exception-type"), Some("runtimeClientError"));
}

#[tokio::test]
async fn a_command_that_says_too_much_is_ended() {
    let limits = Limits { max_command_output_bytes: 1_000_000, ..Limits::default() };
    let world = World::with_limits(answering("{}"), limits).await;
    let mut client = world.client().await;
    let mut events = Events::new(client.open(command("yes innkeep | tee /dev/stderr")).await.into_body());
    let mut n_bytes = 0;
    let last = loop {
        let message = events.next().await.unwrap();
        let payload: Value = serde_json::from_slice(&message.payload).unwrap();
        if message.header(":exception-type").is_some() {
            break payload;
        }
        let delta = &payload["contentDelta"];
        n_bytes += ["stdout", "stderr"].iter().filter_map(|output| delta[output].as_str()).map(str::len).sum::<usize>();
    };
    assert_eq!(last, json!({"message": "The command wrote more than 1000000 bytes, and was ended"}));
    assert!((900_000..=1_000_000).contains(&n_bytes), "{n_bytes}");
    assert_eq!(world.gateway.crossings(Limit::CommandOutput), 1);
    assert!(events.next().await.is_none());
    wait_for("the lease's end", SOON, || world.open_requests() == 0).await;
}

#[tokio::test]
async fn what_is_no_command_is_refused_before_anything_is_started() {
    let world = World::new(answering("{}")).await;
    let mut client = world.client().await;
    for (body, member, words) in [
        ("", "body", "must be a JSON object"),
        ("[]", "body", "must be a JSON object"),
        ("{}", "command", "must not be null"),
        (r#"{"command": "ls", "timeout": 0}"#, "timeout", "greater than or equal to 1"),
        (r#"{"command": "ls", "timeout": 3601}"#, "timeout", "less than or equal to 3600"),
    ] {
        let refused = client.send(call(body)).await;
        let error = refused.error();
        assert!(error.starts_with("400 ValidationException (caller)") && error.contains(words), "{error}");
        assert_eq!(refused.json()["fieldList"][0]["name"], member);
    }
    let long = json!({"command": "x".repeat(600_000)}).to_string();
    assert!(client.send(call(long)).await.error().starts_with("400 "));
    assert_eq!(client.send(command("ls").header("traceparent", &"x".repeat(1025))).await.status, 400);
    assert_eq!(world.driver.launches(), 0);
}

#[tokio::test]
async fn commands_have_an_action_of_their_own() {
    let world = World::new(answering("{}")).await;
    let allow = |action: &str| {
        json!({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": format!("bedrock-agentcore:{action}"), "Resource": "*"}]})
            .to_string()
    };
    let mut client = world.client().await;
    world.principal_of(PLAIN_KEY, &[allow("InvokeAgentRuntime")]);
    let refused = client.send(command("ls").key(Some(PLAIN_KEY))).await;
    assert!(refused.error().starts_with("403 AccessDeniedException"), "{}", refused.error());
    assert_eq!(client.send(command("ls").key(None)).await.status, 403);
    assert_eq!(world.driver.launches(), 0);
    world.principal_of(PLAIN_KEY, &[allow("InvokeAgentRuntimeCommand")]);
    assert_eq!(read(&client.send(command("true").key(Some(PLAIN_KEY))).await).2, stop(0, "COMPLETED"));
    assert_eq!(client.send(Call::invoke("{}").key(Some(PLAIN_KEY))).await.status, 403);
}
