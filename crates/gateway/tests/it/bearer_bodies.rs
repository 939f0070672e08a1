//! Bodies of callers who show a token: they pass as they come, because no signature covers them.

use innkeep_gateway::{AsyncLimits, Limits};
use innkeep_testkit::{TestIssuer, wait_for};
use innkeep_types::{RuntimeId, UnixMillis};
use serde_json::json;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::agent::{Step, json as answer, write};
use crate::client::Call;
use crate::world::{ARN, Ahead, RUNTIME, SOON, World};

async fn with_limits(limits: Limits) -> (World, TestIssuer) {
    let (world, issuer) = (World::with_limits(answer("{}"), limits).await, TestIssuer::start().await);
    world.take_tokens(&issuer, json!({})).await;
    (world, issuer)
}

/// Returns request line and headers of an invocation with a good token, without framing and without the empty line.
fn head(issuer: &TestIssuer) -> String {
    let request = Call::invoke("").bearer(&issuer.token(&json!({"client_id": "client"}))).sign();
    let mut head = format!("POST {} HTTP/1.1\r\n", request.uri());
    for (name, value) in request.headers() {
        head += &format!("{name}: {}\r\n", value.to_str().unwrap());
    }
    head
}

async fn status(connection: &mut tokio::net::TcpStream) -> String {
    let mut answer = [0; 12];
    connection.read_exact(&mut answer).await.unwrap();
    String::from_utf8_lossy(&answer[9..]).into_owned()
}

#[tokio::test]
async fn a_large_body_passes_whole_and_waits_nowhere() {
    let (world, issuer) =
        with_limits(Limits { spool_total_bytes: 0, spool_memory_total_bytes: 0, ..Limits::default() }).await;
    let body = vec![b'x'; 20 << 20];
    let call = Call::invoke(body.clone()).bearer(&issuer.token(&json!({"client_id": "client"})));
    assert_eq!(world.client().await.send(call).await.status, 200);
    let received = world.agent.last();
    assert_eq!((received.header("content-length"), received.body == body), (Some("20971520"), true));
}

#[tokio::test]
async fn the_agent_gets_the_first_bytes_before_the_last_are_sent() {
    let (world, issuer) = with_limits(Limits::default()).await;
    // An agent that answers before it has read: it cannot have waited for the end.
    world.agent.does_unasked(vec![write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"), Step::Close]);
    let mut connection = world.connect().await;
    let sent = format!("{}content-length: 10\r\n\r\nhello", head(&issuer));
    connection.write_all(sent.as_bytes()).await.unwrap();
    assert_eq!(status(&mut connection).await, "200");
}

#[tokio::test]
async fn a_body_without_a_length_gets_one() {
    let (world, issuer) = with_limits(Limits::default()).await;
    let mut connection = world.connect().await;
    let sent = format!("{}transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", head(&issuer));
    connection.write_all(sent.as_bytes()).await.unwrap();
    assert_eq!(status(&mut connection).await, "200");
    let received = world.agent.last();
    assert_eq!((received.header("content-length"), received.body.as_ref()), (Some("5"), &b"hello"[..]));
    assert_eq!(received.header("transfer-encoding"), None);
}

#[tokio::test]
async fn what_is_too_large_is_refused_before_it_is_asked_for() {
    let (world, issuer) = with_limits(Limits { max_body_bytes: 1000, ..Limits::default() }).await;
    for framing in ["content-length: 1001\r\nexpect: 100-continue\r\n\r\n", "content-length: 1001\r\n\r\n"] {
        let mut connection = world.connect().await;
        connection.write_all(format!("{}{framing}", head(&issuer)).as_bytes()).await.unwrap();
        assert_eq!(status(&mut connection).await, "400", "{framing}");
    }
    assert_eq!(world.driver.launches(), 0);
}

#[tokio::test]
async fn a_caller_who_stops_sending_is_told_that_it_is_him() {
    let limits = Limits { body_stall_timeout: Duration::from_millis(100), ..Limits::default() };
    let (world, issuer) = with_limits(limits).await;
    let mut connection = world.connect().await;
    let sent = format!("{}content-length: 10\r\n\r\nhello", head(&issuer));
    connection.write_all(sent.as_bytes()).await.unwrap();
    assert_eq!(status(&mut connection).await, "400");
    wait_for("the end of the request", SOON, || world.open_requests() == 0).await;
}

#[tokio::test]
async fn a_caller_who_leaves_in_the_middle_leaves_nothing_behind() {
    let (world, issuer) = with_limits(Limits::default()).await;
    let mut connection = world.connect().await;
    let sent = format!("{}content-length: 10\r\n\r\nhello", head(&issuer));
    connection.write_all(sent.as_bytes()).await.unwrap();
    wait_for("the request", SOON, || world.open_requests() == 1).await;
    drop(connection);
    wait_for("the end of the request", SOON, || world.open_requests() == 0).await;
}

#[tokio::test]
async fn a_refused_body_is_drained_and_the_connection_goes_on() {
    let (world, issuer) = with_limits(Limits::default()).await;
    world.agent.does(vec![write("HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n")]);
    let mut client = world.client().await;
    let token = issuer.token(&json!({"client_id": "client"}));
    for body in ["hello".to_owned(), "x".repeat(300_000)] {
        let call = Call::invoke(body).bearer(&token);
        assert_eq!(client.send(call).await.error().split_once('\n').unwrap().0, "424 RuntimeClientError (agent)");
    }
    assert_eq!(client.send(Call::invoke("x".repeat(300_000)).bearer("abc")).await.status, 403);
    assert_eq!(client.send(Call::invoke("{}").key(None)).await.status, 401);
}

/// Sends the head of an invocation whose body has no length, and waits until he is let in: his body is asked for.
async fn let_in(world: &World, issuer: &TestIssuer) -> tokio::net::TcpStream {
    let mut connection = world.connect().await;
    let framing = "transfer-encoding: chunked\r\nexpect: 100-continue\r\n\r\n";
    connection.write_all(format!("{}{framing}", head(issuer)).as_bytes()).await.unwrap();
    let mut asked_for = [0; 25];
    connection.read_exact(&mut asked_for).await.unwrap();
    assert_eq!(&asked_for, b"HTTP/1.1 100 Continue\r\n\r\n");
    connection
}

/// Sends the rest of it.
async fn goes_on(mut connection: tokio::net::TcpStream) -> String {
    connection.write_all(b"5\r\nhello\r\n0\r\n\r\n").await.unwrap();
    status(&mut connection).await
}

#[tokio::test]
async fn who_may_no_longer_when_his_body_is_there_is_refused() {
    let (world, issuer) = with_limits(Limits::default()).await;
    let connection = let_in(&world, &issuer).await;
    world.take_tokens(&issuer, json!({"allowedClients": ["another"]})).await;
    assert_eq!(goes_on(connection).await, "401");
    assert_eq!(world.driver.launches(), 0);

    world.take_tokens(&issuer, json!({})).await;
    let connection = let_in(&world, &issuer).await;
    let deny = json!({"Statement": {"Effect": "Deny", "Principal": "*", "Action": "*", "Resource": ARN}}).to_string();
    world.store.put_policy(&RuntimeId::parse(RUNTIME).unwrap(), None, deny, UnixMillis(1)).await.unwrap();
    assert_eq!(goes_on(connection).await, "403");
    assert_eq!(world.driver.launches(), 0);
}

#[tokio::test]
async fn a_token_that_ends_while_its_body_comes_is_refused() {
    let clock = Ahead::default();
    let world = World::keeping(answer("{}"), AsyncLimits::default(), clock.clone()).await;
    let issuer = TestIssuer::start().await;
    world.take_tokens(&issuer, json!({})).await;
    let connection = let_in(&world, &issuer).await;
    // The tokens of tests end in 2100.
    clock.set(Duration::from_secs(100 * 365 * 24 * 60 * 60));
    assert_eq!(goes_on(connection).await, "401");
    assert_eq!(world.driver.launches(), 0);
    clock.set(Duration::ZERO);
    assert_eq!(goes_on(let_in(&world, &issuer).await).await, "200");
}

#[tokio::test]
async fn nothing_large_or_slow_is_read_of_a_stop_before_its_caller_is_known() {
    let patience = Duration::from_millis(100);
    let (world, _issuer) = with_limits(Limits { body_stall_timeout: patience, ..Limits::default() }).await;
    let request = Call::stop().bearer("none.at.all").sign();
    let mut head = format!("POST {} HTTP/1.1\r\n", request.uri());
    for (name, value) in request.headers().iter().filter(|(name, _)| *name != "content-length") {
        head += &format!("{name}: {}\r\n", value.to_str().unwrap());
    }
    let large = format!("transfer-encoding: chunked\r\n\r\n2000\r\n{}\r\n", "x".repeat(0x2000));
    for rest in ["content-length: 4097\r\nexpect: 100-continue\r\n\r\n", &large, "content-length: 9\r\n\r\nslow"] {
        let mut connection = world.connect().await;
        connection.write_all(format!("{head}{rest}").as_bytes()).await.unwrap();
        assert_eq!(status(&mut connection).await, "400", "{}", &rest[..40]);
    }
}
