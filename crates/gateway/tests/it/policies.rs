//! Who may invoke and stop what.

use innkeep_auth::policy::ready;
use innkeep_types::{EndpointName, RuntimeId, UnixMillis};
use serde_json::{Value, json};

use crate::agent::json as answer;
use crate::client::{Call, encode};
use crate::websockets::handshake;
use crate::world::{ARN, OPERATOR_KEY, PLAIN_KEY, RUNTIME, World};

const USER: &str = "x-amzn-bedrock-agentcore-runtime-user-id";

fn endpoint() -> String {
    format!("{ARN}/runtime-endpoint/DEFAULT")
}

fn document(statement: &Value) -> String {
    json!({"Statement": statement}).to_string()
}

fn allow(actions: &Value, resources: &Value) -> String {
    document(&json!({"Effect": "Allow", "Action": actions, "Resource": resources}))
}

async fn put(world: &World, arn: &str, effect: &str, principal: &Value) {
    let (runtime, endpoint) = (RuntimeId::parse(RUNTIME).unwrap(), EndpointName::default_endpoint());
    let policy = document(&json!({"Effect": effect, "Principal": principal, "Action": "*", "Resource": arn}));
    let endpoint = (arn != ARN).then_some(&endpoint);
    world.store.put_policy(&runtime, endpoint, policy, UnixMillis(1)).await.unwrap();
}

async fn status(world: &World, call: Call) -> u16 {
    world.client().await.send(call.key(Some(PLAIN_KEY))).await.status.as_u16()
}

#[tokio::test]
async fn an_invocation_needs_runtime_and_endpoint_and_for_a_user_more() {
    let world = World::new(answer("{}")).await;
    let (invoke, for_user) = ("bedrock-agentcore:InvokeAgentRuntime", "bedrock-agentcore:InvokeAgentRuntimeForUser");
    let plain = || Call::invoke("{}");
    let on_behalf = || Call::invoke("{}").header(USER, "somebody");
    for (actions, resources, expect) in [
        (json!([]), json!([]), [403, 403, 403]),
        (json!(invoke), json!(ARN), [403, 403, 403]),
        (json!(invoke), json!(endpoint()), [403, 403, 403]),
        (json!(for_user), json!("*"), [403, 403, 403]),
        (json!(invoke), json!([ARN, endpoint()]), [200, 403, 403]),
        (json!([invoke, for_user]), json!("*"), [200, 200, 403]),
        (json!("bedrock-agentcore:StopRuntimeSession"), json!(format!("{ARN}*")), [403, 403, 200]),
    ] {
        let documents = if actions == json!([]) { Vec::new() } else { vec![allow(&actions, &resources)] };
        world.principal_of(PLAIN_KEY, &documents);
        world.start().await;
        let mut found = Vec::new();
        for call in [plain(), on_behalf(), Call::stop()] {
            found.push(status(&world, call).await);
        }
        assert_eq!(found, expect, "{actions} {resources}");
    }
}

#[tokio::test]
async fn a_socket_needs_its_own_actions_and_for_a_user_more() {
    // The agent speaks no WebSocket: 424 is what becomes of those who are let in.
    let world = World::new(answer("{}")).await;
    let socket = "bedrock-agentcore:InvokeAgentRuntimeWithWebSocketStream";
    let for_user = format!("{socket}ForUser");
    let invoke = json!(["bedrock-agentcore:InvokeAgentRuntime", "bedrock-agentcore:InvokeAgentRuntimeForUser"]);
    for (actions, resources, expect) in [
        (invoke, json!("*"), [403, 403]),
        (json!(socket), json!(ARN), [403, 403]),
        (json!(socket), json!(endpoint()), [403, 403]),
        (json!(for_user), json!("*"), [403, 403]),
        (json!(socket), json!([ARN, endpoint()]), [424, 403]),
        (json!([socket, for_user]), json!("*"), [424, 424]),
    ] {
        world.principal_of(PLAIN_KEY, &[allow(&actions, &resources)]);
        let found = [status(&world, handshake()).await, status(&world, handshake().header(USER, "somebody")).await];
        assert_eq!(found, expect, "{actions} {resources}");
    }
}

#[tokio::test]
async fn a_refusal_is_in_the_words_of_iam() {
    let world = World::new(answer("{}")).await;
    world.principal_of(PLAIN_KEY, &[ready("read-only").unwrap().to_owned()]);
    let refused = world.client().await.send(Call::invoke("{}").key(Some(PLAIN_KEY))).await.error();
    let says = format!(
        "403 AccessDeniedException (caller)\n{{\"message\":\"User: arn:aws:iam::000000000000:user/plain is not authorized to perform: \
         bedrock-agentcore:InvokeAgentRuntime on resource: {ARN} because no identity-based policy allows the \
         bedrock-agentcore:InvokeAgentRuntime action\"}}"
    );
    assert_eq!(refused, says);
    assert_eq!((world.agent.n_received(), world.driver.launches()), (0, 0));
}

#[tokio::test]
async fn what_is_attached_counts_from_the_next_request_on() {
    let world = World::new(answer("{}")).await;
    world.principal_of(PLAIN_KEY, &[]);
    let mut client = world.client().await;
    let mut invoke = async |key| client.send(Call::invoke("{}").key(Some(key))).await.status.as_u16();
    let plain = json!({"AWS": "arn:aws:iam::000000000000:user/plain"});
    assert_eq!(invoke(PLAIN_KEY).await, 403);
    put(&world, ARN, "Allow", &plain).await;
    assert_eq!(invoke(PLAIN_KEY).await, 403, "the endpoint does not allow it");
    put(&world, &endpoint(), "Allow", &plain).await;
    assert_eq!(invoke(PLAIN_KEY).await, 200);
    assert_eq!(invoke(OPERATOR_KEY).await, 200);
    put(&world, &endpoint(), "Deny", &json!("*")).await;
    assert_eq!((invoke(PLAIN_KEY).await, invoke(OPERATOR_KEY).await), (403, 403));
    world
        .store
        .delete_policy(&RuntimeId::parse(RUNTIME).unwrap(), Some(&EndpointName::default_endpoint()))
        .await
        .unwrap();
    assert_eq!((invoke(PLAIN_KEY).await, invoke(OPERATOR_KEY).await), (403, 200));
}

#[tokio::test]
async fn a_stored_policy_that_cannot_be_read_lets_nobody_in() {
    let world = World::new(answer("{}")).await;
    let runtime = RuntimeId::parse(RUNTIME).unwrap();
    let old = r#"{"Statement":{"Effect":"Deny","NotPrincipal":"*","Action":"*","Resource":"*"}}"#;
    world.store.put_policy(&runtime, None, old.to_owned(), UnixMillis(1)).await.unwrap();
    let refused = world.client().await.send(Call::invoke("{}")).await.error();
    assert!(refused.contains("with an explicit deny in a resource-based policy"), "{refused}");
    assert_eq!(world.driver.launches(), 0);
}

#[tokio::test]
async fn who_may_not_invoke_is_not_told_what_there_is() {
    let world = World::new(answer("{}")).await;
    world.principal_of(PLAIN_KEY, &[ready("read-only").unwrap().to_owned()]);
    let absent = ARN.replace("hello", "other");
    for path in [
        format!("/runtimes/{}/invocations", encode(&absent)),
        format!("/runtimes/{}/stopruntimesession", encode(&absent)),
        format!("/runtimes/{}/invocations?qualifier=none", encode(ARN)),
    ] {
        assert_eq!(status(&world, Call::to(&path, "{}")).await, 403, "{path}");
    }
    assert_eq!(status(&world, Call::stop()).await, 403, "whether it runs is not told either");
}
