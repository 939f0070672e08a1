//! The warm-up request, against a real listener.

use std::sync::Arc;
use std::time::Duration;

use innkeep_sandbox::{Deployment, Error, Limits, Registry};
use innkeep_testkit::{FakeDriver, wait_for};
use innkeep_types::{AgentExit, ErrorKind, Warmup, limits};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use super::world::{World, deployment, limited};

/// An agent that is healthy at once, and what its registry made of it.
struct Agent {
    listener: TcpListener,
    world: World,
}

impl Agent {
    async fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let driver = FakeDriver::reaching(listener.local_addr().unwrap());
        Self { listener, world: limited(driver, Limits::default()) }
    }

    /// Boots a version with a warm-up, while `answer` plays the agent.
    async fn boot<T>(&self, port: Option<u16>, answer: impl Future<Output = T>) -> (Result<(), Error>, T) {
        let warmup = Some(Warmup { path: "/warm".to_owned(), port });
        let deployment = Arc::new(Deployment { warmup, ..(*deployment(1)).clone() });
        let registry: &Registry = &self.world.registry;
        let booted = tokio::join!(registry.boot_once(&deployment), answer);
        assert_eq!(self.world.driver.alive(), 0);
        booted
    }

    /// Returns the agent's end of the connection, and what came on it.
    async fn asked(&self) -> (TcpStream, String) {
        let mut connection = self.listener.accept().await.unwrap().0;
        let mut request = Vec::new();
        while !request.ends_with(b"{}") {
            assert_ne!(connection.read_buf(&mut request).await.unwrap(), 0);
        }
        (connection, String::from_utf8(request).unwrap())
    }

    async fn answer(&self, answer: &str) -> String {
        let (mut connection, request) = self.asked().await;
        connection.write_all(answer.as_bytes()).await.unwrap();
        request
    }
}

#[track_caller]
fn failed(booted: Result<(), Error>) -> (String, Vec<String>) {
    let error = booted.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Agent);
    match error {
        Error::StartFailed { message, log_tail, .. } => (message, log_tail),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_version_is_booted_once_its_agent_has_warmed_up() {
    for status in ["200 OK", "204 No Content", "299 Whatever"] {
        let agent = Agent::new().await;
        let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n");
        let (booted, request) = agent.boot(None, agent.answer(&answer)).await;
        booted.unwrap();
        let request = request.to_ascii_lowercase();
        assert!(request.starts_with("post /warm http/1.1\r\n"), "{request}");
        for line in ["host: localhost:8080\r\n", "content-type: application/json\r\n", "content-length: 2\r\n"] {
            assert!(request.contains(line), "{request}");
        }
        assert_eq!(agent.world.driver.last().dialled(), [None]);
    }
}

#[tokio::test]
async fn another_port_is_dialled_by_its_number() {
    let agent = Agent::new().await;
    let (booted, request) = agent.boot(Some(9002), agent.answer("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")).await;
    booted.unwrap();
    assert!(request.to_ascii_lowercase().contains("host: localhost:9002\r\n"), "{request}");
    assert_eq!(agent.world.driver.last().dialled(), [Some(9002)]);
}

#[tokio::test]
async fn any_other_status_fails_the_version_and_is_named() {
    for status in ["500 Internal Server Error", "404 Not Found", "302 Found"] {
        let agent = Agent::new().await;
        let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n");
        let (booted, _) = agent.boot(None, agent.answer(&answer)).await;
        let (message, _) = failed(booted);
        let expect = format!(
            "The agent was ready, but the warm-up request POST /warm to port 8080 was answered with status {status}; it must be \
             answered with 200 to 299"
        );
        assert_eq!(message, expect);
    }
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_does_not_answer_in_two_minutes_fails_the_version() {
    let agent = Agent::new().await;
    let begun = tokio::time::Instant::now();
    // The connection stays open until the server gives up. Paused time may run out before it is there.
    let hang = async {
        if let Ok(accepted) = timeout(limits::WARMUP_TIMEOUT * 2, agent.listener.accept()).await {
            accepted.unwrap().0.read_to_end(&mut Vec::new()).await.unwrap();
        }
    };
    let (booted, ()) = agent.boot(None, hang).await;
    let expect = "The agent was ready, but the warm-up request POST /warm to port 8080 was not answered within 120 s";
    assert_eq!(failed(booted).0, expect);
    assert!(begun.elapsed() >= limits::WARMUP_TIMEOUT, "{:?}", begun.elapsed());
}

#[tokio::test]
async fn an_agent_that_ends_while_it_warms_up_is_told_with_its_last_words() {
    let agent = Agent::new().await;
    let die = async {
        let (connection, _) = agent.asked().await;
        // What an agent's death looks like: first its connection, then the news.
        drop(connection);
        agent.world.driver.last().exit(AgentExit::Code(3), &["no model"]);
    };
    let (booted, ()) = agent.boot(None, die).await;
    let expect = "The agent ended with exit code 3 before it answered the warm-up request POST /warm to port 8080";
    assert_eq!(failed(booted), (expect.to_owned(), vec!["no model".to_owned()]));
}

#[tokio::test]
async fn an_agent_that_hangs_up_or_listens_nowhere_is_told_apart() {
    let agent = Agent::new().await;
    let (booted, _) = agent.boot(None, async { drop(agent.asked().await) }).await;
    let (message, _) = failed(booted);
    assert!(message.contains("port 8080 failed: agent closed the connection without an answer"), "{message}");

    let agent = Agent::new().await;
    agent.world.driver.refuse_dials_to_first(1);
    let (booted, ()) = agent.boot(Some(9002), async {}).await;
    let (message, _) = failed(booted);
    assert!(message.contains("port 9002 failed: agent does not accept connections: "), "{message}");
    assert!(message.contains("its port is closed"), "{message}");
}

#[tokio::test]
async fn the_rest_of_a_good_answer_is_not_waited_for_long() {
    let agent = Agent::new().await;
    let drip = async {
        let (mut connection, _) = agent.asked().await;
        connection.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 999\r\n\r\nx").await.unwrap();
        // Until the server hangs up.
        while connection.read(&mut [0; 1]).await.is_ok_and(|n| n > 0) {}
    };
    let (booted, ()) = timeout(Duration::from_secs(10), agent.boot(None, drip)).await.unwrap();
    booted.unwrap();
}

#[tokio::test(start_paused = true)]
async fn sessions_are_not_warmed_up() {
    let agent = Agent::new().await;
    let warmup = Some(Warmup { path: "/warm".to_owned(), port: None });
    let deployment = Arc::new(Deployment { warmup, ..(*deployment(1)).clone() });
    drop(agent.world.acquire("alice", &deployment).await.unwrap());
    wait_for("the session", Duration::from_secs(1), || agent.world.states() == ["Idle"]).await;
    assert!(agent.world.driver.last().dialled().is_empty());
}
