//! MCP: what its clients must accept, and whose id stands for which session.

use http::Method;
use innkeep_types::{EndpointName, RuntimeId, ServerProtocol, SessionId, SessionKey, StopReason};
use serde_json::json;

use crate::agent::{Step, json as answer, write};
use crate::client::{Answer, Call};
use crate::world::{RUNTIME, SESSION, SOON, World};

const SESSION_HEADER: &str = "x-amzn-bedrock-agentcore-runtime-session-id";
const INITIALIZE: &str = r#"{"jsonrpc":"2.0","id":0,"method":"initialize","params":{}}"#;
const LIST: &str = r#"{"method":"tools/list","jsonrpc":"2.0","id":1}"#;

async fn world(steps: Vec<Step>) -> World {
    let world = World::new(steps).await;
    world.update(|config| config.protocol = ServerProtocol::Mcp.into()).await;
    world
}

/// Returns a message of a client that names no session.
fn post(body: &str) -> Call {
    Call::invoke(body.to_owned()).without(SESSION_HEADER).header("accept", "application/json, text/event-stream")
}

/// Returns the steps of a server that keeps sessions, and calls this one so.
fn of_session(id: &str) -> Vec<Step> {
    vec![write(format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nMcp-Session-Id: {id}\r\nContent-Length: 2\r\n\r\n{{}}"
    ))]
}

fn ours(answer: &Answer) -> String {
    answer.header("mcp-session-id").to_owned()
}

async fn stop(world: &World, session: &str) {
    let key = SessionKey {
        runtime: RuntimeId::parse(RUNTIME).unwrap(),
        endpoint: EndpointName::default_endpoint(),
        session: SessionId::parse(session).unwrap(),
    };
    world.registry.stop(&key, StopReason::StoppedByCaller, SOON).await.unwrap();
}

#[tokio::test]
async fn a_client_that_names_no_session_is_given_one_and_comes_back_by_it() {
    let world = world(answer("{}")).await;
    let mut client = world.client().await;
    let first = client.send(post(INITIALIZE)).await;
    let id = ours(&first);
    assert_eq!((first.status.as_u16(), id.len(), first.header(SESSION_HEADER)), (200, 36, &*id));
    assert_eq!(world.agent.last().header("mcp-session-id"), None, "a server that keeps sessions would look for it");
    assert_eq!(world.agent.last().header(SESSION_HEADER), Some(&*id));
    assert_eq!(world.agent.last().head[0], "POST /mcp HTTP/1.1");

    let call = post(LIST).header("mcp-session-id", &id).header("mcp-method", "tools/list").header("mcp-name", "n");
    let second = client.send(call).await;
    assert_eq!((second.header("x-innkeep-start"), ours(&second)), ("warm", id.clone()));
    let received = world.agent.last();
    assert_eq!((received.header("mcp-session-id"), received.header("mcp-method")), (Some(&*id), Some("tools/list")));
    assert_eq!(received.header("mcp-name"), Some("n"));

    let third = client.send(post(LIST)).await;
    assert_eq!(third.header("x-innkeep-start"), "cold");
    assert_eq!(world.agent.last().header("mcp-session-id"), Some(&*ours(&third)), "generated, forwarded and returned");
}

#[tokio::test]
async fn the_servers_own_id_stays_behind_ours() {
    let world = world(of_session("its-own")).await;
    let mut client = world.client().await;
    let id = ours(&client.send(post(INITIALIZE)).await);
    assert_eq!(id.len(), 36);
    world.agent.does(answer("{}"));
    for _ in 0..2 {
        let answer = client.send(post(LIST).header("mcp-session-id", &id)).await;
        assert_eq!((answer.header("x-innkeep-start"), ours(&answer)), ("warm", id.clone()));
        assert_eq!(world.agent.last().header("mcp-session-id"), Some("its-own"));
    }
}

#[tokio::test]
async fn clients_that_share_a_runtime_session_are_told_apart() {
    let world = world(of_session("first")).await;
    let mut client = world.client().await;
    let named = |body: &str| post(body).session(SESSION);
    let first = client.send(named(INITIALIZE)).await;
    assert_eq!((&*ours(&first), first.header(SESSION_HEADER)), (SESSION, SESSION));
    world.agent.does(of_session("second"));
    let second = ours(&client.send(named(INITIALIZE)).await);
    assert_ne!(second, SESSION);
    world.agent.does(answer("{}"));
    for (id, own) in [(SESSION, "first"), (&*second, "second")] {
        let answer = client.send(named(LIST).header("mcp-session-id", id)).await;
        assert_eq!((&*ours(&answer), answer.header(SESSION_HEADER)), (id, SESSION));
        assert_eq!(world.agent.last().header("mcp-session-id"), Some(own));
    }
    assert_eq!(world.driver.launches(), 1);
}

#[tokio::test]
async fn a_session_that_is_over_is_said_to_be() {
    let world = world(of_session("its-own")).await;
    let mut client = world.client().await;
    let id = ours(&client.send(post(INITIALIZE)).await);
    let gone = |answer: &Answer| {
        assert_eq!((answer.status.as_u16(), &answer.json()["error"]["code"]), (200, &json!(-32004)), "{answer:?}");
        assert_eq!(answer.json()["error"]["message"], "Resource not found - Requested resource does not exist");
        let says = answer.json()["error"]["data"]["message"].as_str().unwrap().to_owned();
        assert!(says.contains("Initialize again, without Mcp-Session-Id"), "{says}");
        assert_eq!(answer.json()["id"], 1);
    };
    // The server ends it, or does not know it, as after a restart of ours.
    world.agent.does(vec![write("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")]);
    gone(&client.send(post(LIST).header("mcp-session-id", &id)).await);
    // Its sandbox ends.
    world.agent.does(answer("{}"));
    stop(&world, &id).await;
    let n_received = world.agent.n_received();
    gone(&client.send(post(LIST).header("mcp-session-id", &id)).await);
    assert_eq!(world.agent.n_received(), n_received, "the next sandbox is not asked for what it cannot know");
    // A server that keeps none goes on.
    let fresh = "an-id-that-nobody-knows-of-36-chars-1";
    assert_eq!(client.send(post(LIST).header("mcp-session-id", fresh)).await.status, 200);
    assert_eq!(world.agent.last().header("mcp-session-id"), Some(fresh));
}

#[tokio::test]
async fn what_a_client_must_accept_it_must_list() {
    let world = world(answer("{}")).await;
    let mut client = world.client().await;
    for accept in ["application/json", "text/event-stream", "*/*"] {
        let refused = client.send(post(LIST).header("accept", accept)).await;
        assert_eq!((refused.status.as_u16(), refused.header("x-amzn-errortype")), (406, "McpRequestUnacceptable"));
        let error = &refused.json()["error"];
        assert_eq!(error["code"], -32011);
        assert_eq!(
            error["message"],
            "Accept Header Error - MCP protocol requires Accept header: application/json, text/event-stream"
        );
        assert_eq!(refused.json()["id"], 1);
    }
    assert_eq!(client.send(post(LIST).without("accept")).await.status, 406);
    assert_eq!((world.agent.n_received(), world.driver.launches()), (0, 0));
}

#[tokio::test]
async fn failures_of_tools_are_json_rpc_and_name_their_request() {
    let world = world(vec![write("HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n")]).await;
    let mut client = world.client().await;
    let failed = client.send(post(LIST).session(SESSION)).await;
    assert_eq!((failed.status.as_u16(), failed.header("x-amzn-errortype")), (200, "RuntimeClientError"));
    let error = &failed.json()["error"];
    assert_eq!((&failed.json()["id"], &error["code"]), (&json!(1), &json!(-32010)));
    assert_eq!(error["message"], "Tool execution error - Please check your CloudWatch logs for more information");
    assert_eq!(ours(&failed), SESSION);

    let refused = client.send(post(LIST).header("mcp-session-id", "short")).await;
    assert_eq!((refused.status.as_u16(), &refused.json()["error"]["code"]), (200, &json!(-32006)));
    assert_eq!(refused.json()["error"]["data"]["fieldList"][0]["name"], "mcpSessionId");
}

#[tokio::test]
async fn listening_and_ending_are_refused_as_mcp_has_it() {
    for is_mcp in [true, false] {
        let world = if is_mcp { world(answer("{}")).await } else { World::new(answer("{}")).await };
        let mut client = world.client().await;
        for method in [Method::GET, Method::DELETE] {
            for key in [None, Some(crate::world::OPERATOR_KEY)] {
                let refused = client.send(post("").method(method.clone()).key(key)).await;
                assert_eq!((refused.status.as_u16(), refused.header("allow")), (405, "POST"));
                assert_eq!(refused.json()["error"]["code"], -32600);
            }
        }
        assert_eq!(world.agent.n_received(), 0);
    }
}

#[tokio::test]
async fn elsewhere_mcps_header_names_nothing() {
    let world = World::new(answer("{}")).await;
    let mut client = world.client().await;
    for id in [SESSION, "short"] {
        let answer = client.send(post(LIST).header("mcp-session-id", id)).await;
        assert_eq!((answer.status.as_u16(), answer.header("x-innkeep-start")), (200, "cold"));
        assert_ne!(answer.header(SESSION_HEADER), id);
        assert_eq!(ours(&answer), "");
        assert_eq!(world.agent.last().header("mcp-session-id"), Some(id), "it passes");
    }
}
