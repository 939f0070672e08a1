//! Agents by name, for people with curl: what is said in short, and what is told.

use http::Method;
use innkeep_testkit::TestIssuer;
use innkeep_types::SessionId;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::agent::json as answer;
use crate::client::Call;
use crate::world::{PLAIN_KEY, SESSION, World};

const HEADER: &str = "x-amzn-bedrock-agentcore-runtime-session-id";
const ALICE: &str = "alice-innkeep-session-000000000000000000";

fn by_name(path: &str, body: &str) -> Call {
    Call::to(path, body.to_owned()).without(HEADER)
}

#[tokio::test]
async fn an_agent_is_invoked_by_its_name_in_a_session_of_a_short_name() {
    let world = World::new(answer("{}")).await;
    let mut client = world.client().await;
    let body = r#"{"prompt": "hi", "session_id": "alice"}"#;
    for call in [
        by_name("/agents/hello/invocations?session_id=alice", "{}"),
        by_name("/agents/hello/invocations", "{}").session("alice"),
        by_name("/agents/hello/invocations?qualifier=DEFAULT", body),
        by_name("/agents/h%65llo/invocations/", body).session(ALICE),
    ] {
        let sent = call.body.clone();
        let found = client.send(call).await;
        assert_eq!((found.status.as_u16(), found.header(HEADER)), (200, ALICE));
        let received = world.agent.last();
        assert_eq!((received.header(HEADER), &received.body), (Some(ALICE), &sent), "the body stays as it is");
    }
    let fresh = client.send(by_name("/agents/hello/invocations", "no JSON")).await;
    assert_eq!((fresh.status.as_u16(), fresh.header(HEADER).len()), (200, 36));
    assert_eq!(world.registry.list().len(), 2);
}

#[tokio::test]
async fn what_names_the_session_in_the_head_wins_over_the_body_and_must_agree_with_itself() {
    let world = World::new(answer("{}")).await;
    let mut client = world.client().await;
    let body = r#"{"session_id": "bob"}"#;
    let found = client.send(by_name("/agents/hello/invocations?session_id=alice", body)).await;
    assert_eq!(found.header(HEADER), ALICE);
    for call in [
        by_name("/agents/hello/invocations?session_id=alice", "{}").session("bob"),
        by_name("/agents/hello/invocations?session_id=", "{}"),
        by_name("/agents/hello/invocations", r#"{"session_id": 7}"#),
        by_name("/agents/hello/invocations", r#"{"session_id": "two words"}"#),
        by_name("/agents/hello/invocations", r#"{"session_id": "a", "session_id": "b"}"#),
        by_name("/agents/42/invocations", "{}"),
        by_name("/agents/hello/invocations?qualifier=a-b", "{}"),
    ] {
        let path = call.path.clone();
        assert_eq!(client.send(call).await.status, 400, "{path}");
    }
    // At the API's own door a session has its full length, and bodies are nobody's business.
    assert_eq!(client.send(Call::invoke("{}").session("alice")).await.status, 400);
    let found = client.send(Call::invoke(body).without(HEADER)).await;
    assert_ne!(found.header(HEADER), SessionId::from_short("bob").unwrap().as_str());
}

#[tokio::test]
async fn a_large_body_is_looked_at_where_it_begins_and_passes_whole() {
    let issuer = TestIssuer::start().await;
    let filler = "x".repeat(3 << 20);
    let early = format!(r#"{{"session_id": "alice", "filler": "{filler}"}}"#);
    let late = format!(r#"{{"filler": "{filler}", "session_id": "alice"}}"#);
    for is_token in [false, true] {
        let world = World::new(answer("{}")).await;
        let mut client = world.client().await;
        if is_token {
            world.take_tokens(&issuer, json!({})).await;
        }
        for (body, is_found) in [(&early, true), (&late, false)] {
            let mut call = by_name("/agents/hello/invocations", body);
            if is_token {
                call = call.bearer(&issuer.token(&json!({"client_id": "client"})));
            }
            let found = client.send(call).await;
            assert_eq!((found.status.as_u16(), found.header(HEADER) == ALICE), (200, is_found), "token: {is_token}");
            let received = world.agent.last();
            assert!(received.body == body.as_bytes());
            assert_eq!(received.header("content-length"), Some(&*body.len().to_string()));
        }
    }
}

#[tokio::test]
async fn a_body_in_pieces_under_a_token_is_looked_at_and_passes_whole() {
    let world = World::new(answer("{}")).await;
    let issuer = TestIssuer::start().await;
    world.take_tokens(&issuer, json!({})).await;
    let token = issuer.token(&json!({"client_id": "client"}));
    for framing in ["content-length: 34\r\n", "transfer-encoding: chunked\r\n"] {
        let mut socket = world.connect().await;
        let head = format!(
            "POST /agents/hello/invocations HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {token}\r\n{framing}\r\n"
        );
        socket.write_all(head.as_bytes()).await.unwrap();
        for piece in ["{\"session", "_id\": \"alice\",", " \"n\": 1234"] {
            let piece =
                if framing.starts_with('t') { format!("{:x}\r\n{piece}\r\n", piece.len()) } else { piece.to_owned() };
            socket.write_all(piece.as_bytes()).await.unwrap();
            socket.flush().await.unwrap();
        }
        socket.write_all(if framing.starts_with('t') { b"1\r\n}\r\n0\r\n\r\n" } else { b"}" }).await.unwrap();
        let mut found = [0; 12];
        socket.read_exact(&mut found).await.unwrap();
        assert_eq!(&found, b"HTTP/1.1 200");
        let received = world.agent.last();
        assert_eq!(received.header(HEADER), Some(ALICE));
        assert_eq!(received.body, "{\"session_id\": \"alice\", \"n\": 1234}");
    }
}

#[tokio::test]
async fn who_may_not_is_told_the_same_of_names_that_are_there_and_of_others() {
    let world = World::new(answer("{}")).await;
    let mut client = world.client().await;
    let nobody = |name: &str| by_name(&format!("/agents/{name}/invocations"), "{}").key(None);
    let there = client.send(nobody("hello")).await.error();
    assert_eq!(there, client.send(nobody("nowhere")).await.error());
    assert!(there.starts_with("403 "), "{there}");

    world.principal_of(PLAIN_KEY, &[]);
    let plain = |name: &str| by_name(&format!("/agents/{name}/invocations"), "{}").key(Some(PLAIN_KEY));
    let there = client.send(plain("hello")).await.error();
    assert!(there.contains("on resource: agents/hello because"), "{there}");
    assert_eq!(there, client.send(plain("nowhere")).await.error().replace("nowhere", "hello"));
    let missing = client.send(by_name("/agents/no-where/invocations", "{}")).await.error();
    assert_eq!(
        missing,
        "404 ResourceNotFoundException (caller)\n{\"message\":\"No endpoint or agent found with qualifier 'DEFAULT' for agent \
         'no-where'\"}"
    );
    assert_eq!(world.agent.n_received(), 0);
    // The log says what was asked for, and not for an id that nobody has.
    let events = world.events.lock();
    let resources: Vec<_> = events.iter().filter_map(|event| event.resource.as_deref()).collect();
    assert_eq!(resources.iter().filter(|resource| **resource == "nowhere").count(), 2, "{resources:?}");
    assert!(resources.iter().any(|resource| resource.contains("hello-Ab3dE6gH9j")));
}

#[tokio::test]
async fn a_name_is_found_as_soon_as_it_is_there() {
    let world = World::new(answer("{}")).await;
    let mut client = world.client().await;
    let call = || by_name("/agents/later/invocations", "{}");
    assert_eq!(client.send(call()).await.status, 404);
    world.create_ready("later-Ab3dE6gH9j").await;
    assert_eq!(client.send(call()).await.status, 200);

    let failed = || by_name("/agents/broken/invocations", "{}");
    assert_eq!(client.send(failed()).await.status, 404);
    world.create_failed("broken-Ab3dE6gH9j", "it exited with code 3", "a line").await;
    let told = client.send(failed()).await;
    assert_eq!((told.status.as_u16(), told.json()["logTail"][0].as_str()), (404, Some("a line")), "{}", told.json());
}

#[tokio::test]
async fn tokens_open_by_name_what_they_open_by_arn() {
    let world = World::new(answer("{}")).await;
    let issuer = TestIssuer::start().await;
    world.take_tokens(&issuer, json!({})).await;
    let mut client = world.client().await;
    let call = || by_name("/agents/hello/invocations?session_id=alice", "{}");
    let token = issuer.token(&json!({"client_id": "client"}));
    assert_eq!(client.send(call().bearer(&token)).await.status, 200);
    assert_eq!(client.send(call().bearer(&issuer.token(&json!({"client_id": "other"})))).await.status, 401);
    let unknown = client.send(call().key(None)).await;
    assert_eq!(unknown.status, 401);
    assert!(unknown.header("www-authenticate").contains("runtime%2Fhello-Ab3dE6gH9j"));
    assert_eq!(client.send(call()).await.status, 403, "a signature does not open it");
}

#[tokio::test]
async fn a_socket_is_asked_for_by_name_too() {
    let world = World::new(answer("{}")).await;
    let call = |path: &str| {
        by_name(path, "")
            .method(Method::GET)
            .header("connection", "Upgrade")
            .header("upgrade", "websocket")
            .header("sec-websocket-version", "13")
            .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")
    };
    // The agent does not agree, and was asked in the right session.
    let found = world.client().await.send(call("/agents/hello/ws?session_id=alice")).await;
    assert_eq!((found.status.as_u16(), found.header(HEADER)), (424, ALICE));
    assert_eq!(world.agent.last().header(HEADER), Some(ALICE));
    let refused = world.client().await.send(call("/agents/hello/ws?session_id=alice").session(SESSION)).await;
    assert_eq!(refused.status, 400);
}
