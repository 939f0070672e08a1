//! Every way in to the data plane asks for its own action, and for no other.

use http::Method;
use innkeep_testkit::wait_for;
use innkeep_types::InvocationState;
use serde_json::{Value, json};

use crate::agent::json as answer;
use crate::client::{Answer, Call, encode};
use crate::websockets::handshake;
use crate::world::{ARN, PLAIN_KEY, SOON, World};

const USER: &str = "x-amzn-bedrock-agentcore-runtime-user-id";
const INVOKE: &str = "InvokeAgentRuntime";
const INVOKE_FOR_USER: &str = "InvokeAgentRuntimeForUser";
const SOCKET: &str = "InvokeAgentRuntimeWithWebSocketStream";
const SOCKET_FOR_USER: &str = "InvokeAgentRuntimeWithWebSocketStreamForUser";
const SHELL: &str = "InvokeAgentRuntimeCommandShell";
const COMMAND: &str = "InvokeAgentRuntimeCommand";

/// A way in.
struct Door {
    name: &'static str,
    /// All that it takes.
    actions: &'static [&'static str],
    call: fn(&str) -> Call,
    /// What becomes of those who are let in.
    open: u16,
}

/// All of them, and how each is asked; `pending` is where an invocation of the caller's is found that he did not wait for.
const DOORS: [Door; 13] = [
    Door { name: "invoke", actions: &[INVOKE], call: |_| Call::invoke("{}"), open: 200 },
    Door {
        name: "invoke for a user",
        actions: &[INVOKE, INVOKE_FOR_USER],
        call: |_| Call::invoke("{}").header(USER, "somebody"),
        open: 200,
    },
    Door {
        name: "invoke by name",
        actions: &[INVOKE],
        call: |_| Call::to("/agents/hello/invocations", "{}"),
        open: 200,
    },
    Door {
        name: "invoke by name for a user",
        actions: &[INVOKE, INVOKE_FOR_USER],
        call: |_| Call::to("/agents/hello/invocations", "{}").header(USER, "somebody"),
        open: 200,
    },
    Door {
        name: "invoke without waiting",
        actions: &[INVOKE],
        call: |_| Call::invoke("{}").header("prefer", "respond-async"),
        open: 202,
    },
    // The agent speaks HTTP, and no WebSocket; its caller learns that much once he is in.
    Door {
        name: "card",
        actions: &["GetAgentCard"],
        call: |_| get("invocations/.well-known/agent-card.json"),
        open: 400,
    },
    Door { name: "socket", actions: &[SOCKET], call: |_| handshake(), open: 424 },
    Door {
        name: "socket for a user",
        actions: &[SOCKET, SOCKET_FOR_USER],
        call: |_| handshake().header(USER, "somebody"),
        open: 424,
    },
    Door {
        name: "socket by name",
        actions: &[SOCKET],
        call: |_| Call { path: "/agents/hello/ws".to_owned(), ..handshake() },
        open: 424,
    },
    Door {
        name: "terminal",
        actions: &[SHELL],
        // A program that is not there leaves nothing behind.
        call: |_| Call { path: format!("/runtimes/{}/ws/shells?command=/nonexistent", encode(ARN)), ..handshake() },
        open: 424,
    },
    Door {
        name: "command",
        actions: &[COMMAND],
        call: |_| Call::to(&format!("/runtimes/{}/commands", encode(ARN)), r#"{"command": "true"}"#),
        open: 200,
    },
    Door { name: "answer", actions: &[INVOKE], call: |pending| Call::to(pending, "").method(Method::GET), open: 200 },
    Door { name: "stop", actions: &["StopRuntimeSession"], call: |_| Call::stop(), open: 200 },
];

fn get(path: &str) -> Call {
    Call::to(&format!("/runtimes/{}/{path}", encode(ARN)), "").method(Method::GET)
}

fn statement(effect: &str, actions: &[&str]) -> Value {
    let actions: Vec<String> = actions.iter().map(|action| format!("bedrock-agentcore:{action}")).collect();
    json!({"Effect": effect, "Action": actions, "Resource": format!("{ARN}*")})
}

fn document(statements: &[Value]) -> String {
    json!({"Version": "2012-10-17", "Statement": statements}).to_string()
}

async fn send(world: &World, call: Call) -> Answer {
    world.client().await.send(call.key(Some(PLAIN_KEY))).await
}

/// Returns where an invocation is found that the caller did not wait for, and that has ended.
async fn pending(world: &World) -> String {
    world.principal_of(PLAIN_KEY, &[document(&[statement("Allow", &["*"])])]);
    let accepted = send(world, Call::invoke("{}").header("prefer", "respond-async")).await;
    let location = accepted.header("location").to_owned();
    wait_for("the answer", SOON, || {
        world.gateway.invocations().iter().all(|view| view.state != InvocationState::Running)
    })
    .await;
    location
}

/// Asks at every door, and compares what happens with what is allowed.
async fn walk(world: &World, pending: &str, document: &str, is_open: impl Fn(&Door) -> bool, because: &str) {
    world.principal_of(PLAIN_KEY, &[document.to_owned()]);
    for door in &DOORS {
        world.start().await;
        let answer = send(world, (door.call)(pending)).await;
        if is_open(door) {
            assert_eq!(answer.status, door.open, "{} with {document}: {:?}", door.name, answer.body);
        } else {
            let error = answer.error();
            let refused = error.starts_with("403 AccessDeniedException (caller)\n");
            assert!(refused && error.contains(because), "{} with {document}: {error}", door.name);
            let asked = door.actions.iter().any(|action| error.contains(&format!("bedrock-agentcore:{action} on ")));
            assert!(asked, "{} asks for another action: {error}", door.name);
        }
    }
}

#[tokio::test]
async fn each_door_opens_with_its_own_actions_and_with_no_others() {
    let world = World::new(answer("{}")).await;
    let pending = pending(&world).await;
    for key in &DOORS {
        let document = document(&[statement("Allow", key.actions)]);
        let fits = |door: &Door| door.actions.iter().all(|action| key.actions.contains(action));
        walk(&world, &pending, &document, fits, "because no identity-based policy allows the").await;
    }
}

#[tokio::test]
async fn an_explicit_deny_of_a_doors_action_shuts_it_whatever_else_is_allowed() {
    let world = World::new(answer("{}")).await;
    let pending = pending(&world).await;
    for action in
        [INVOKE, INVOKE_FOR_USER, "GetAgentCard", SOCKET, SOCKET_FOR_USER, SHELL, COMMAND, "StopRuntimeSession"]
    {
        let document = document(&[statement("Allow", &["*"]), statement("Deny", &[action])]);
        let is_open = |door: &Door| !door.actions.contains(&action);
        walk(&world, &pending, &document, is_open, "with an explicit deny in an identity-based policy").await;
    }
}
