//! Agents that fail: 424, with what is known of why.

use std::time::Duration;

use innkeep_gateway::Limits;
use innkeep_testkit::{FakeDriver, wait_for};
use innkeep_types::AgentExit;

use crate::agent::{Step, json, write};
use crate::client::Call;
use crate::world::{PLAIN_KEY, SOON, World};

#[tokio::test]
async fn any_status_but_success_is_the_agents_failure() {
    let world = World::new(Vec::new()).await;
    let mut client = world.client().await;
    for status in ["301 Moved", "400 Bad Request", "404 Not Found", "500 Internal Server Error", "999 Odd"] {
        let head =
            format!("HTTP/1.1 {status}\r\nContent-Type: text/plain\r\nLocation: /x\r\nContent-Length: 6\r\n\r\nsecret");
        world.agent.does(vec![write(head)]);
        let answer = client.send(Call::invoke("{}")).await;
        let (code, text) = (status.split(' ').next().unwrap(), answer.error());
        assert!(text.starts_with("424 RuntimeClientError (agent)\n"), "{text}");
        assert!(text.contains(&format!("Received error ({code}")), "{text}");
        assert!(text.contains("from runtime. Please check your CloudWatch logs for more information"), "{text}");
        assert!(!text.contains("secret") && answer.header("location").is_empty());
    }
    world.agent.does(json("{}"));
    assert_eq!(client.send(Call::invoke("{}")).await.status, 200, "the session goes on");
}

#[tokio::test]
async fn an_agent_that_hangs_up_gets_its_caller_a_424() {
    let world = World::new(vec![Step::Close]).await;
    let text = world.client().await.send(Call::invoke("{}")).await.error();
    assert_eq!(
        text,
        "424 RuntimeClientError (agent)\n{\"message\":\"The agent closed the connection without an answer\"}"
    );
    assert_eq!(world.agent.n_received(), 1, "not sent twice");
}

#[tokio::test]
async fn an_agent_that_exits_before_it_answers_is_reported_with_its_exit() {
    for (key, log_tail) in [(None, true), (Some(PLAIN_KEY), false)] {
        let world = World::new(vec![Step::Wait, Step::Close]).await;
        let mut client = world.client().await;
        let call = if key.is_some() { Call::invoke("{}").key(key) } else { Call::invoke("{}") };
        let (answer, ()) = tokio::join!(client.send(call), async {
            wait_for("the request", SOON, || world.agent.n_received() == 1).await;
            world.driver.last().exit(AgentExit::Code(3), &["Traceback"]);
            world.agent.go_on();
        });
        let tail = if log_tail { r#""logTail":["Traceback"],"# } else { "" };
        let expect = format!(
            "424 RuntimeClientError (agent)\n{{{tail}\"message\":\"The agent exited with exit code 3 before it answered\"}}"
        );
        assert_eq!(answer.error(), expect);
    }
}

/// Waits until a request is under way to the n-th sandbox, whose agent ends then.
async fn agent_ends(world: &World, n: u32) {
    wait_for("the request", SOON, || world.driver.launches() == n && world.open_requests() == 1).await;
    world.driver.last().exit(AgentExit::Code(0), &[]);
}

#[tokio::test]
async fn a_request_that_finds_its_agent_dead_goes_to_a_fresh_sandbox() {
    for body in ["{}".to_owned(), "x".repeat(3 << 20)] {
        let world = World::new(json("[1]")).await;
        world.driver.refuse_dials_to_first(1);
        let mut client = world.client().await;
        let (answer, ()) = tokio::join!(client.send(Call::invoke(body.clone())), agent_ends(&world, 1));
        assert_eq!((answer.status.as_u16(), answer.json()), (200, serde_json::json!([1])));
        assert_eq!(answer.header("x-innkeep-start"), "cold");
        assert_eq!((world.driver.launches(), world.agent.n_received()), (2, 1));
        assert!(world.agent.last().body == body, "the whole body");
    }
}

#[tokio::test]
async fn a_request_is_taken_to_a_fresh_sandbox_once_and_only_from_a_dead_one() {
    let world = World::new(json("[1]")).await;
    world.driver.refuse_dials_to_first(2);
    let mut client = world.client().await;
    let (answer, ()) = tokio::join!(client.send(Call::invoke("{}")), async {
        agent_ends(&world, 1).await;
        agent_ends(&world, 2).await;
    });
    let expect =
        "424 RuntimeClientError (agent)\n{\"message\":\"The agent exited with exit code 0 before it answered\"}";
    assert_eq!((answer.error().as_str(), world.driver.launches()), (expect, 2));

    let world = World::new(json("[1]")).await;
    world.driver.refuse_dials_to_first(1);
    let answer = world.client().await.send(Call::invoke("{}")).await;
    assert!(answer.error().starts_with("424 RuntimeClientError (agent)\n"), "{}", answer.error());
    assert_eq!((world.driver.launches(), world.driver.alive()), (1, 1), "it lives, and is deaf");
}

#[tokio::test]
async fn a_request_that_meets_a_stop_starts_nothing() {
    let world = World::new(json("[1]")).await;
    world.driver.refuse_dials_to_first(1);
    let (mut client, mut other) = (world.client().await, world.client().await);
    let (answer, ()) = tokio::join!(client.send(Call::invoke("{}")), async {
        wait_for("the request", SOON, || world.open_requests() == 1).await;
        assert_eq!(other.send(Call::stop()).await.status, 200);
    });
    assert!(answer.error().contains("The session was stopped before the agent answered"), "{}", answer.error());
    assert_eq!(world.driver.launches(), 1);
}

#[tokio::test]
async fn an_agent_that_exits_at_its_start_is_reported_at_once() {
    let world = World::with(json("{}"), Limits::default(), |_| FakeDriver::waiting()).await;
    let mut client = world.client().await;
    let (answer, ()) = tokio::join!(client.send(Call::invoke("{}")), async {
        wait_for("the launch", SOON, || world.driver.launches() == 1).await;
        world.driver.last().exit(AgentExit::Code(1), &["ImportError"]);
    });
    let text = answer.error();
    assert!(text.starts_with("424 RuntimeClientError (agent)\n"), "{text}");
    assert!(text.contains("exit code 1") && text.contains(r#""logTail":["ImportError"]"#), "{text}");
}

#[tokio::test]
async fn an_agent_that_does_not_answer_in_time_gets_its_caller_a_504() {
    let limits = Limits { sync_request_timeout: Duration::from_millis(50), ..Limits::default() };
    let world = World::with_limits(vec![Step::WaitForClose], limits).await;
    let answer = world.client().await.send(Call::invoke("{}")).await;
    assert_eq!(
        answer.error(),
        "504 GatewayTimeoutException (agent)\n{\"message\":\"The agent did not answer within 50ms\"}"
    );
    world.agent.saw_close().await;
}

#[tokio::test]
async fn an_answer_that_says_it_is_too_large_is_refused() {
    let limits = Limits { max_body_bytes: 1000, ..Limits::default() };
    let world = World::with_limits(json(&"x".repeat(1001)), limits).await;
    let text = world.client().await.send(Call::invoke("{}")).await.error();
    assert!(text.starts_with("424 RuntimeClientError (agent)\n") && text.contains("1000 bytes"), "{text}");
}
