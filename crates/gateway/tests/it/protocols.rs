//! Runtimes that do not speak plain HTTP: errors in their words to whoever may know what they speak, and the cards of agents.

use http::Method;
use http_body_util::BodyExt;
use innkeep_auth::policy::ready;
use innkeep_testkit::TestIssuer;
use innkeep_types::ServerProtocol;
use serde_json::{Value, json};

use crate::agent::{Step, chunk, chunked_head, json as answer, write};
use crate::client::{Answer, Call, encode};
use crate::world::{ARN, PLAIN_KEY, SESSION, World};

const BROKEN: &str = "HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n";
const CALL: &str = r#"{"jsonrpc":"2.0","id":"r-1","method":"message/send","params":{}}"#;

async fn speaking(protocol: ServerProtocol, steps: Vec<Step>) -> World {
    let world = World::new(steps).await;
    world.update(|config| config.protocol = protocol.into()).await;
    world
}

fn event(answer: &Answer) -> Value {
    assert_eq!(answer.header("content-type"), "text/event-stream");
    let data = answer.body.strip_prefix(b"data: ").unwrap().strip_suffix(b"\n\n").unwrap();
    serde_json::from_slice(data).unwrap()
}

fn card(path: &str) -> Call {
    Call::to(path, "").method(Method::GET)
}

fn card_path() -> String {
    format!("/runtimes/{}/invocations/.well-known/agent-card.json", encode(ARN))
}

#[tokio::test]
async fn a2a_errors_have_the_id_of_the_request_and_the_status_of_what_they_mean() {
    let world = speaking(ServerProtocol::A2a, vec![write(BROKEN)]).await;
    let mut client = world.client().await;
    let failed = client.send(Call::invoke(CALL)).await;
    let message = "Received error (500 Internal Server Error) from runtime. Please check your CloudWatch logs for more information";
    let expect = json!({"jsonrpc": "2.0", "id": "r-1", "error": {"code": -32055, "message": message, "data": {"message": message}}});
    assert_eq!((failed.status.as_u16(), failed.json()), (424, expect));
    assert_eq!(
        (failed.header("content-type"), failed.header("x-amzn-errortype"), failed.header("x-innkeep-error-source")),
        ("application/json", "RuntimeClientError", "agent")
    );
    assert_eq!(failed.header("x-amzn-bedrock-agentcore-runtime-session-id"), SESSION);
    assert_eq!(failed.header("x-amzn-requestid").len(), 36);

    let refused = client.send(Call::invoke(CALL).session("short")).await;
    assert_eq!((refused.status.as_u16(), &refused.json()["error"]["code"]), (400, &json!(-32052)));
    assert_eq!(refused.json()["id"], "r-1");
    assert_eq!(refused.json()["error"]["data"]["fieldList"][0]["name"], "runtimeSessionId");
}

#[tokio::test]
async fn ag_ui_errors_are_one_event() {
    let world = speaking(ServerProtocol::AgUi, vec![write(BROKEN)]).await;
    let mut client = world.client().await;
    let failed = client.send(Call::invoke("{}")).await;
    let message = "Received error (500 Internal Server Error) from runtime. Please check your CloudWatch logs for more information";
    assert_eq!(failed.status, 200);
    assert_eq!(event(&failed), json!({"type": "RUN_ERROR", "code": "AGENT_ERROR", "message": message}));
    assert_eq!(failed.header("x-amzn-errortype"), "RuntimeClientError");

    let refused = client.send(Call::invoke("{}").header("tracestate", &"x".repeat(513))).await;
    assert_eq!((refused.status.as_u16(), &event(&refused)["code"]), (400, &json!("VALIDATION_ERROR")));
}

#[tokio::test]
async fn events_pass_as_they_come() {
    for protocol in [ServerProtocol::A2a, ServerProtocol::AgUi] {
        let event = "data: {\"n\":1}\n\n";
        let world = speaking(protocol, vec![chunked_head(), chunk(event), Step::Wait, write("0\r\n\r\n")]).await;
        let mut client = world.client().await;
        let mut answer = client.open(Call::invoke(CALL)).await;
        let first = answer.body_mut().frame().await.unwrap().unwrap();
        assert_eq!(first.into_data().unwrap(), event, "before the agent is done");
        world.agent.go_on();
        assert!(answer.body_mut().frame().await.is_none());
    }
}

#[tokio::test]
async fn who_is_not_let_in_does_not_learn_what_a_runtime_speaks() {
    for protocol in [ServerProtocol::Mcp, ServerProtocol::A2a, ServerProtocol::AgUi] {
        let world = speaking(protocol, answer("{}")).await;
        world.principal_of(PLAIN_KEY, &[ready("read-only").unwrap().to_owned()]);
        let mut client = world.client().await;
        let absent = format!("/runtimes/{}/invocations", encode(&ARN.replace("hello", "other")));
        for key in [None, Some(PLAIN_KEY)] {
            let mut errors = Vec::new();
            for call in [Call::invoke(CALL).key(key), Call::to(&absent, CALL).key(key)] {
                let refused = client.send(call.clone()).await;
                assert_eq!(refused.status, 403);
                let message = refused.json()["message"].as_str().unwrap().replace("other", "hello");
                errors.push((message, refused.header("mcp-session-id").to_owned()));
                let refused = client.send(call.session("short")).await;
                assert_eq!(
                    (refused.status.as_u16(), &refused.json()["reason"]),
                    (400, &json!("FieldValidationFailed"))
                );
            }
            assert_eq!(errors[0], errors[1]);
        }
    }
}

#[tokio::test]
async fn who_shows_no_token_is_told_so_in_the_runtimes_words() {
    for protocol in ServerProtocol::ALL {
        let (world, issuer) = (speaking(protocol, answer("{}")).await, TestIssuer::start().await);
        world.take_tokens(&issuer, json!({})).await;
        let mut client = world.client().await;
        let refused = client.send(Call::invoke(CALL).key(None)).await;
        assert_eq!(refused.status, 401, "{protocol:?}");
        assert!(refused.header("www-authenticate").starts_with("Bearer resource_metadata="), "{refused:?}");
        match protocol {
            ServerProtocol::Mcp => {
                assert_eq!((&refused.json()["error"]["code"], &refused.json()["id"]), (&json!(-32001), &Value::Null))
            }
            ServerProtocol::AgUi => assert_eq!(event(&refused)["code"], "UNAUTHORIZED"),
            ServerProtocol::Http | ServerProtocol::A2a => assert!(refused.json()["message"].is_string()),
        }
        let signed = client.send(Call::invoke(CALL)).await;
        assert_eq!(signed.status, 403);
        match protocol {
            ServerProtocol::Mcp => {
                assert_eq!((&signed.json()["error"]["code"], &signed.json()["id"]), (&json!(-32002), &json!("r-1")))
            }
            ServerProtocol::AgUi => assert_eq!(event(&signed)["code"], "ACCESS_DENIED"),
            ServerProtocol::Http | ServerProtocol::A2a => assert!(signed.json()["message"].is_string()),
        }
    }
}

#[tokio::test]
async fn errors_have_the_id_of_a_request_that_came_with_a_token() {
    let (world, issuer) = (speaking(ServerProtocol::A2a, vec![write(BROKEN)]).await, TestIssuer::start().await);
    world.take_tokens(&issuer, json!({})).await;
    let token = issuer.token(&json!({"client_id": "client"}));
    let mut client = world.client().await;
    let failed = client.send(Call::invoke(CALL).bearer(&token)).await;
    assert_eq!((failed.status.as_u16(), &failed.json()["id"]), (424, &json!("r-1")));
    assert_eq!(world.agent.last().body, CALL);
    for body in ["[]", "hello", "", r#"{"id":{}}"#] {
        let failed = client.send(Call::invoke(body).bearer(&token)).await;
        assert_eq!((failed.status.as_u16(), &failed.json()["id"]), (424, &Value::Null), "{body}");
    }
    let large = format!(r#"{{"params":"{}","id":7}}"#, "x".repeat(1 << 20));
    let failed = client.send(Call::invoke(large).bearer(&token)).await;
    assert_eq!((failed.status.as_u16(), &failed.json()["id"]), (424, &Value::Null));
}

#[tokio::test]
async fn a_card_is_the_agents_own() {
    let world = speaking(ServerProtocol::A2a, answer(r#"{"name":"an agent"}"#)).await;
    let mut client = world.client().await;
    let got = client.send(card(&card_path())).await;
    assert_eq!((got.status.as_u16(), got.json()), (200, json!({"name": "an agent"})));
    assert_eq!((got.header("content-type"), got.header("x-innkeep-start")), ("application/json", "cold"));
    assert_eq!(got.header("x-amzn-bedrock-agentcore-runtime-session-id"), SESSION);
    let request = world.agent.last();
    assert_eq!(request.head[0], "GET /.well-known/agent-card.json HTTP/1.1");
    assert_eq!(request.header("x-amzn-bedrock-agentcore-runtime-session-id"), Some(SESSION));

    let call =
        card(&format!("{}?qualifier=DEFAULT", card_path())).without("x-amzn-bedrock-agentcore-runtime-session-id");
    let fresh = client.send(call).await;
    assert_eq!((fresh.status.as_u16(), fresh.header("x-innkeep-start")), (200, "cold"));

    // Which revision a caller speaks is for the agent, where there are such revisions.
    client.send(card(&card_path()).header("a2a-version", "1.0").header("a2a-extensions", "urn:x")).await;
    let received = world.agent.last();
    assert_eq!((received.header("a2a-version"), received.header("a2a-extensions")), (Some("1.0"), Some("urn:x")));

    // It is no JSON-RPC, and its errors are none.
    world.agent.does(vec![write("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")]);
    let failed = client.send(card(&card_path())).await;
    assert_eq!((failed.status.as_u16(), failed.header("x-amzn-errortype")), (424, "RuntimeClientError"));
    assert!(failed.json()["message"].as_str().unwrap().starts_with("Received error (404 Not Found)"));
    let nowhere = client.send(card(&format!("{}?qualifier=none", card_path()))).await;
    assert_eq!(nowhere.status, 404);
}

#[tokio::test]
async fn only_a2a_has_cards_and_they_have_an_action_of_their_own() {
    let world = World::new(answer("{}")).await;
    let refused = world.client().await.send(card(&card_path())).await.error();
    assert!(
        refused.contains("whose serverProtocol is A2A, since no others have cards; this one's is HTTP"),
        "{refused}"
    );
    assert_eq!(world.driver.launches(), 0);
    world.update(|config| config.protocol = ServerProtocol::A2a.into()).await;
    let mut client = world.client().await;
    let only = |action: &str| {
        let statement = json!({"Effect": "Allow", "Action": format!("bedrock-agentcore:{action}"), "Resource": "*"});
        json!({"Version": "2012-10-17", "Statement": [statement]}).to_string()
    };
    for (action, of_card, of_invocation) in [("GetAgentCard", 200, 403), ("InvokeAgentRuntime", 403, 200)] {
        world.principal_of(PLAIN_KEY, &[only(action)]);
        assert_eq!(client.send(card(&card_path()).key(Some(PLAIN_KEY))).await.status, of_card, "{action}");
        assert_eq!(client.send(Call::invoke("{}").key(Some(PLAIN_KEY))).await.status, of_invocation, "{action}");
    }
    let with_body = client.send(Call::to(&card_path(), "{}").method(Method::GET)).await;
    assert_eq!(with_body.status, 400);
}
