//! Whatever a client does to the framing of its request, the agent gets exactly one, with a body that its signature covers.

use innkeep_testkit::wait_for;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::agent::json;
use crate::client::Call;
use crate::world::{SOON, World};

/// Returns request line and headers of a signed invocation with this body, without framing and without the empty line.
fn head(body: &'static str) -> String {
    let request = Call::invoke(body).sign();
    let mut head = format!("POST {} HTTP/1.1\r\n", request.uri());
    for (name, value) in request.headers() {
        head += &format!("{name}: {}\r\n", value.to_str().unwrap());
    }
    head
}

/// Sends bytes and returns the statuses of all answers until the connection's end.
async fn exchange(world: &World, bytes: &str) -> Vec<String> {
    let mut connection = world.connect().await;
    connection.write_all(bytes.as_bytes()).await.unwrap();
    connection.shutdown().await.unwrap();
    let mut answers = Vec::new();
    // Closing with unread data is a reset, which is as good.
    let _ = connection.read_to_end(&mut answers).await;
    let answers = String::from_utf8(answers).unwrap();
    answers.match_indices("HTTP/1.1 ").map(|(at, _)| answers[at + 9..at + 12].to_owned()).collect()
}

/// Sends bytes; the agent must get the one request with body `hello`.
async fn passes_once(framed: &str) {
    let world = World::new(json("{}")).await;
    let mut connection = world.connect().await;
    connection.write_all(framed.as_bytes()).await.unwrap();
    let mut answer = [0; 12];
    connection.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 200", "{framed}");
    drop(connection);
    let got = world.agent.last();
    assert_eq!((got.body.as_ref(), got.header("content-length")), (&b"hello"[..], Some("5")), "{framed}");
    assert_eq!(got.header("transfer-encoding"), None);
    // Had more than one request left, the agent would find the rest of it before this one.
    world.client().await.send(Call::invoke("next")).await;
    assert_eq!((world.agent.n_received(), world.agent.last().body.as_ref()), (2, &b"next"[..]), "{framed}");
}

/// Sends bytes; the agent must get nothing.
async fn is_refused(framed: &str) {
    let world = World::new(json("{}")).await;
    let answers = exchange(&world, framed).await;
    assert!(answers.iter().all(|status| status.starts_with('4')), "{answers:?} to {framed}");
    assert_eq!((world.agent.n_received(), world.driver.launches()), (0, 0), "{framed}");
}

const CHUNKED: &str = "5\r\nhello\r\n0\r\n\r\n";

#[tokio::test]
async fn a_length_besides_chunks_is_not_believed() {
    for framing in [
        "Transfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n",
        "Content-Length: 5000\r\nTransfer-Encoding: chunked\r\n",
        "Content-Length: 0\r\nTransfer-Encoding: ChUnKeD\r\n",
        "Transfer-Encoding: gzip, chunked\r\n",
    ] {
        passes_once(&format!("{}{framing}\r\n{CHUNKED}", head("hello"))).await;
    }
    passes_once(&format!("{}Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello", head("hello"))).await;
}

#[tokio::test]
async fn framing_that_can_be_read_in_two_ways_is_refused() {
    for framing in [
        "Content-Length: 5\r\nContent-Length: 6\r\n",
        "Content-Length: 5, 6\r\n",
        "Content-Length: -5\r\n",
        "Content-Length: +5\r\n",
        "Content-Length: 0x5\r\n",
        "Content-Length: 5\0\r\n",
        "Content-Length : 5\r\n",
        " Content-Length: 5\r\n",
        "X: y\r\n Content-Length: 5\r\n",
        "Content-Length: 99999999999999999999999\r\n",
        "Transfer-Encoding: chunked, identity\r\n",
        "Transfer-Encoding: xchunked\r\n",
        "Transfer-Encoding : chunked\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
    ] {
        is_refused(&format!("{}{framing}\r\nhello", head("hello"))).await;
        is_refused(&format!("{}{framing}\r\n{CHUNKED}", head("hello"))).await;
    }
    let old = head("hello").replace("HTTP/1.1", "HTTP/1.0");
    is_refused(&format!("{old}Transfer-Encoding: chunked\r\n\r\n{CHUNKED}")).await;
}

#[tokio::test]
async fn chunks_that_are_none_are_refused() {
    for body in [
        "5\r\nhelloX0\r\n\r\n",
        "zz\r\nhello\r\n0\r\n\r\n",
        "fffffffffffffffff\r\nhello",
        "5\r\nhel",
        "5\r\nhello\r\n0\r\nX\0",
    ] {
        is_refused(&format!("{}Transfer-Encoding: chunked\r\n\r\n{body}", head("hello"))).await;
    }
}

#[tokio::test]
async fn lines_may_end_in_a_bare_line_feed_and_still_make_one_request() {
    let bare = format!("{}Content-Length: 5\r\n\r\nhello", head("hello")).replace("\r\n", "\n");
    passes_once(&bare).await;
}

/// What follows a request on its connection is a request of its own, which nobody signed.
#[tokio::test]
async fn what_follows_a_request_is_no_part_of_it() {
    let forged = "POST /invocations HTTP/1.1\r\nHost: localhost\r\nContent-Length: 6\r\n\r\nforged";
    let short = format!("{}Content-Length: 5\r\n\r\nhello{forged}", head("hello"));
    let chunked =
        format!("{}Transfer-Encoding: chunked\r\nContent-Length: 100\r\n\r\n{CHUNKED}{forged}", head("hello"));
    for framed in [short, chunked] {
        passes_once(&framed).await;
    }
}

#[tokio::test]
async fn pipelined_requests_reach_the_agent_one_by_one() {
    let world = World::new(json("{}")).await;
    let mut connection = world.connect().await;
    let requests = ["one", "two", "six"].map(|body| format!("{}Content-Length: 3\r\n\r\n{body}", head(body)));
    connection.write_all(requests.concat().as_bytes()).await.unwrap();
    wait_for("the last request", SOON, || world.agent.n_received() == 3).await;
    assert_eq!(world.agent.last().body, "six");
    let mut answers = Vec::new();
    while answers.windows(12).filter(|bytes| bytes == b"HTTP/1.1 200").count() < 3 {
        assert_ne!(connection.read_buf(&mut answers).await.unwrap(), 0);
    }
}
