//! Pages of browsers: what they are told before and after, and which of them get a socket.

use http::Method;

use crate::agent::json;
use crate::client::{Answer, Call, encode};
use crate::world::{ARN, PAGE, World};

fn preflight(path: &str, origin: &str) -> Call {
    Call::to(path, "")
        .key(None)
        .method(Method::OPTIONS)
        .header("origin", origin)
        .header("access-control-request-method", "POST")
        .header("access-control-request-headers", "authorization,content-type")
}

fn allowed(answer: &Answer) -> &str {
    answer.header("access-control-allow-origin")
}

#[tokio::test]
async fn a_page_asks_without_authentication_and_reads_answers_and_errors() {
    let world = World::new(json("{}")).await;
    let mut client = world.client().await;
    for path in [format!("/runtimes/{}/invocations", encode(ARN)), "/agents/hello/invocations".to_owned()] {
        let asked = client.send(preflight(&path, PAGE)).await;
        assert_eq!((asked.status.as_u16(), allowed(&asked), asked.body.len()), (204, PAGE, 0), "{path}");
        assert_eq!(asked.header("access-control-allow-headers"), "authorization,content-type");
        assert_eq!(asked.header("access-control-allow-credentials"), "true");
        let foreign = client.send(preflight(&path, "https://evil.example")).await;
        assert_eq!((foreign.status.as_u16(), allowed(&foreign)), (403, ""));

        let answered = client.send(Call::to(&path, "{}").header("origin", PAGE)).await;
        assert_eq!((answered.status.as_u16(), allowed(&answered), answered.header("vary")), (200, PAGE, "Origin"));
        assert!(answered.header("access-control-expose-headers").contains("Session-Id"));
        let refused = client.send(Call::to(&path, "{}").header("origin", PAGE).key(None)).await;
        assert_eq!((refused.status.as_u16(), allowed(&refused)), (403, PAGE), "the page reads why");
        let foreign = client.send(Call::to(&path, "{}").header("origin", "https://evil.example")).await;
        assert_eq!((foreign.status.as_u16(), allowed(&foreign)), (200, ""));
    }
    assert_eq!(world.agent.last().header("origin"), None);
}

#[tokio::test]
async fn a_page_that_is_not_listed_gets_no_socket_though_it_has_the_key() {
    let world = World::new(json("{}")).await;
    let socket = |origin: Option<&str>| {
        let call = Call::to(&format!("/runtimes/{}/ws", encode(ARN)), "")
            .method(Method::GET)
            .header("connection", "Upgrade")
            .header("upgrade", "websocket")
            .header("sec-websocket-version", "13")
            .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==");
        origin.iter().fold(call, |call, origin| call.header("origin", origin))
    };
    for origin in ["https://evil.example", "null", "https://app.example.evil.example"] {
        let refused = world.client().await.send(socket(Some(origin))).await.error();
        assert!(refused.starts_with("403 AccessDeniedException") && refused.contains("cors_origins"), "{refused}");
    }
    assert_eq!(world.agent.n_received(), 0);
    // The others come as far as the agent, who does not agree.
    for origin in [None, Some(PAGE)] {
        assert_eq!(world.client().await.send(socket(origin)).await.status, 424);
    }
}
