//! What passes between caller and agent when all is well.

use bytes::Bytes;

use crate::agent::{json, write};
use crate::client::{Call, encode};
use crate::world::{ARN, RUNTIME, SESSION, World};

#[tokio::test]
async fn an_answer_carries_the_agents_bytes_and_our_headers() {
    let world = World::new(json(r#"{"result":4}"#)).await;
    let mut client = world.client().await;

    let cold = client.send(Call::invoke(r#"{"prompt":"2+2"}"#)).await;
    assert_eq!((cold.status.as_u16(), &cold.body[..]), (200, &br#"{"result":4}"#[..]));
    assert_eq!(cold.header("content-type"), "application/json");
    assert_eq!(cold.header("content-length"), "12");
    assert_eq!(cold.header("x-amzn-bedrock-agentcore-runtime-session-id"), SESSION);
    assert_eq!((cold.header("x-innkeep-start"), cold.header("x-innkeep-version")), ("cold", "1"));

    let request = world.agent.last();
    assert_eq!((&request.head[0][..], &request.body[..]), ("POST /invocations HTTP/1.1", &br#"{"prompt":"2+2"}"#[..]));
    assert_eq!(request.header("x-amzn-bedrock-agentcore-runtime-session-id"), Some(SESSION));
    assert_eq!(request.header("x-session-id"), Some(SESSION));
    assert_eq!(request.header("x-amzn-bedrock-agentcore-runtime-request-id"), Some(cold.header("x-amzn-requestid")));
    assert_eq!((request.header("authorization"), request.header("x-amz-date")), (None, None));

    let warm = client.send(Call::invoke("{}")).await;
    assert_eq!((warm.status.as_u16(), warm.header("x-innkeep-start")), (200, "warm"));
    assert_ne!(warm.header("x-amzn-requestid"), cold.header("x-amzn-requestid"));
    assert_eq!(world.driver.launches(), 1);
}

#[tokio::test]
async fn every_spelling_of_the_target_works() {
    let world = World::new(json("{}")).await;
    let mut client = world.client().await;
    let endpoint = format!("{ARN}/runtime-endpoint/DEFAULT");
    for path in [
        format!("/runtimes/{}/invocations", encode(ARN)),
        format!("/runtimes/{ARN}/invocations"),
        format!("/runtimes/{ARN}/invocations?qualifier=DEFAULT"),
        format!("/runtimes/{}/invocations", encode(&endpoint)),
        format!("/runtimes/{endpoint}/invocations?qualifier=DEFAULT"),
        format!("/runtimes/{RUNTIME}/invocations?accountId=000000000000"),
    ] {
        let answer = client.send(Call::to(&path, "{}")).await;
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
    }
    assert_eq!(world.driver.launches(), 1, "all of them are one session");
}

#[tokio::test]
async fn without_a_session_each_call_gets_a_fresh_one() {
    let world = World::new(json("{}")).await;
    let mut client = world.client().await;
    let call = Call::invoke("{}").without("x-amzn-bedrock-agentcore-runtime-session-id");
    let mut ids = Vec::new();
    for _ in 0..2 {
        let answer = client.send(call.clone()).await;
        ids.push(answer.header("x-amzn-bedrock-agentcore-runtime-session-id").to_owned());
    }
    assert_eq!((ids[0].len(), ids[1].len()), (36, 36));
    assert_ne!(ids[0], ids[1]);
    assert_eq!(world.driver.launches(), 2);
}

#[tokio::test]
async fn bodies_of_any_size_arrive_whole_and_with_their_length() {
    let world = World::new(json("{}")).await;
    let mut client = world.client().await;
    for len in [0, 1, 1 << 20, 5 << 20] {
        let body = Bytes::from((0..=250).cycle().take(len).collect::<Vec<u8>>());
        assert_eq!(client.send(Call::invoke(body.clone())).await.status, 200);
        let request = world.agent.last();
        assert_eq!(request.header("content-length"), Some(&*len.to_string()));
        assert!(request.body == body, "{len}");
    }
}

#[tokio::test]
async fn other_successes_and_trace_headers_pass_and_the_agents_own_headers_do_not() {
    let world = World::new(vec![write(
        "HTTP/1.1 202 Accepted\r\nContent-Type: text/plain\r\nMcp-Session-Id: m1\r\nBaggage: a=b\r\nServer: agent\r\n\
         Set-Cookie: c=d\r\nx-innkeep-start: forged\r\nContent-Length: 2\r\n\r\nok",
    )])
    .await;
    let answer = world.client().await.send(Call::invoke("{}")).await;
    assert_eq!((answer.status.as_u16(), &answer.body[..]), (202, &b"ok"[..]));
    assert_eq!((answer.header("mcp-session-id"), answer.header("baggage")), ("m1", "a=b"));
    assert_eq!(
        (answer.header("server"), answer.header("set-cookie"), answer.header("x-innkeep-start")),
        ("", "", "cold")
    );
}

#[tokio::test]
async fn the_request_s_trace_comes_back_where_the_agent_says_none() {
    let world =
        World::new(vec![write("HTTP/1.1 200 OK\r\ntraceparent: the-agents\r\nContent-Length: 2\r\n\r\nok")]).await;
    let mut client = world.client().await;
    let trace =
        [("traceparent", "the-callers"), ("tracestate", "a=1"), ("baggage", "b=2"), ("x-amzn-trace-id", "Root=1")];
    let call = trace.iter().fold(Call::invoke("{}"), |call, (name, value)| call.header(name, value));
    let answer = client.send(call).await;
    assert_eq!(trace.map(|(name, _)| answer.header(name)), ["the-agents", "a=1", "b=2", "Root=1"]);
    // What we begin for the agent is not the caller's.
    let answer = client.send(Call::invoke("{}")).await;
    assert_eq!(trace.map(|(name, _)| answer.header(name)), ["the-agents", "", "", ""]);
}

#[tokio::test]
async fn an_answer_without_a_body_has_none() {
    let world = World::new(vec![write("HTTP/1.1 204 No Content\r\n\r\n")]).await;
    let mut client = world.client().await;
    for _ in 0..2 {
        let answer = client.send(Call::invoke("{}")).await;
        assert_eq!((answer.status.as_u16(), answer.body.len()), (204, 0));
    }
}
