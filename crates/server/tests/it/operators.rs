//! What only operators may ask for, by the operator's token.

use http::Method;
use innkeep_server::Config;
use serde_json::Value;

use crate::wire::{Answer, Draft};
use crate::world::World;

/// Asks with what the test makes of an Authorization header.
async fn ask(world: &World, target: &str, authorization: &str) -> Answer {
    let mut wire = world.wire().await;
    let authorization =
        if authorization.is_empty() { String::new() } else { format!("authorization: {authorization}\r\n") };
    wire.send(format!("{target} HTTP/1.1\r\nhost: localhost\r\ncontent-length: 0\r\n{authorization}\r\n")).await;
    wire.answer().await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_token_opens_metrics_and_the_operator_api_and_nothing_else() {
    let world = World::new(Config::default()).await;
    let token = world.operator_token();
    let bearer = format!("Bearer {token}");
    for target in ["GET /metrics", "GET /innkeep/v1/sessions", "GET /innkeep/v1/openapi.json", "GET /innkeep/v1/logs"] {
        for wrong in [
            "",
            "Bearer ",
            &format!("Bearer {}", "0".repeat(64)),
            &format!("Bearer {token}0"),
            &format!("Basic {token}"),
        ] {
            let answer = ask(&world, target, wrong).await;
            assert_eq!(answer.status, 403, "{target} {wrong}: {answer:?}");
            assert!(answer.head.contains("x-amzn-errortype: accessdeniedexception"), "{answer:?}");
            assert!(!answer.body.contains(&token), "{answer:?}");
        }
    }
    for target in ["GET /innkeep/v1/openapi.json", "GET /innkeep/v1/runtimes", "GET /metrics"] {
        let answer = ask(&world, target, &bearer.replace("Bearer", "bearer")).await;
        assert_eq!(answer.status, 200, "{target}: {answer:?}");
    }
    let upload = ask(&world, "POST /innkeep/v1/artifacts?kind=zip", &bearer).await;
    assert_eq!(upload.status, 400, "an empty body is no zip: {upload:?}");
    for target in [
        "POST /runtimes/",
        "POST /runtimes/arn%3Aaws%3Abedrock-agentcore%3Aus-west-2%3A000000000000%3Aruntime%2Fcounter-0123456789/invocations",
    ] {
        assert_eq!(ask(&world, target, &bearer).await.status, 403, "{target}");
    }
    assert_eq!(ask(&world, "POST /metrics", &bearer).await.status, 404);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_is_counted_and_described_with_its_isolation_and_what_is_weak_about_it() {
    let world = World::new(Config::default()).await;
    let bearer = format!("Bearer {}", world.operator_token());
    let metrics = ask(&world, "GET /metrics", &bearer).await;
    assert!(metrics.head.contains("content-type: text/plain; version=0.0.4"), "{metrics:?}");
    for line in [
        "innkeep_sessions{state=\"Idle\",tier=\"process\"} 1",
        "innkeep_session_starts_total{tier=\"process\",result=\"ready\"} 1",
        "innkeep_session_starts_total{tier=\"process\",result=\"failed\"} 0",
        "innkeep_session_stops_total{reason=\"IdleTimeout\"} 0",
        "innkeep_session_start_seconds_count{tier=\"process\"} 1",
    ] {
        assert!(metrics.body.lines().any(|found| found == line), "{line} is not in {}", metrics.body);
    }
    let digest = innkeep_auth::digest(b"");
    let signed = Draft { method: Method::GET, target: "/metrics".to_owned(), digest, headers: Vec::new() };
    let mut wire = world.wire().await;
    wire.send(format!("{}\r\n", world.sign(signed))).await;
    assert_eq!(wire.answer().await.unwrap().status, 200, "a signature by a key with operator rights will do");
    drop(wire);

    let sessions = ask(&world, "GET /innkeep/v1/sessions", &bearer).await;
    let sessions: Value = serde_json::from_str(&sessions.body).unwrap();
    let session = &sessions["sessions"][0];
    assert_eq!(session["tier"], "process");
    assert!(session["caveats"][0].as_str().unwrap().contains("without isolation"), "{session}");
    world.finish().await;
}
