//! Agents that break every rule of HTTP: their caller gets the contract's error or a cut connection, never a clean end that was
//! none, and the next request finds a session that works.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt;
use innkeep_gateway::Limits;
use innkeep_testkit::wait_for;

use crate::agent::{Step, chunk, chunked_head, json, write};
use crate::client::Call;
use crate::world::{SOON, World};

/// More than all the buffers between client and agent hold.
const LARGE: usize = 20 << 20;

/// What the caller of a hostile agent gets.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    /// 424 or 504, as the contract words it.
    Error(u16),
    /// A head, then a connection that ends before the answer does.
    Cut,
    Whole(u16, Bytes),
}

fn whole(body: &'static str) -> Outcome {
    Outcome::Whole(200, Bytes::from_static(body.as_bytes()))
}

async fn outcome(world: &World, body: impl Into<Bytes>) -> Outcome {
    let mut client = world.client().await;
    let (head, body) = client.open(Call::invoke(body)).await.into_parts();
    let source = head.headers.get("x-innkeep-error-source").cloned();
    match body.collect().await {
        Err(_) => Outcome::Cut,
        Ok(_) if source.is_some_and(|source| source == "agent") => Outcome::Error(head.status.as_u16()),
        Ok(body) => Outcome::Whole(head.status.as_u16(), body.to_bytes()),
    }
}

/// Has an agent do `steps` about a request, and then answer the next one as it should.
async fn check(steps: Vec<Step>, expect: Outcome) {
    let world = World::new(steps.clone()).await;
    assert_eq!(outcome(&world, "{}").await, expect, "{steps:?}");
    recovers(&world).await;
}

async fn recovers(world: &World) {
    world.agent.does(json("[1]"));
    assert_eq!(outcome(world, "next").await, whole("[1]"), "the next answer is the next request's");
    assert_eq!(world.agent.last().body, "next");
    wait_for("the leases' end", SOON, || world.open_requests() == 0).await;
    assert_eq!(world.driver.launches(), 1, "the session went on");
}

fn impatient() -> Limits {
    Limits { sync_request_timeout: Duration::from_millis(300), ..Limits::default() }
}

#[tokio::test]
async fn heads_that_are_none() {
    for head in [
        "\x16\x03\x01\x02\x00\x01\x00\x01",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "hello\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Type\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Nul: a\0b\r\n\r\n{}",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Folded: a\r\n b\r\n\r\n{}",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n: nameless\r\n\r\n{}",
        "HTTP/1.1 200 OK\r\nContent-Le",
        "HTTP/1.1 99999 Odd\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
        "HTTP/1.1 304 Not Modified\r\n\r\nbody",
    ] {
        check(vec![write(head), Step::Close], Outcome::Error(424)).await;
    }
}

#[tokio::test]
async fn heads_without_measure() {
    let one_large = format!("HTTP/1.1 200 OK\r\nX-Large: {}\r\nContent-Length: 2\r\n\r\n{{}}", "x".repeat(1 << 20));
    let many = format!("HTTP/1.1 200 OK\r\n{}Content-Length: 2\r\n\r\n{{}}", "X-Many: x\r\n".repeat(1000));
    check(vec![write(one_large)], Outcome::Error(424)).await;
    check(vec![write(many)], Outcome::Error(424)).await;
    let endless_name = Step::WriteForEver(Bytes::from(vec![b'x'; 4096]));
    let endless_headers = Step::WriteForEver(Bytes::from_static(b"X-Endless: x\r\n"));
    for endless in [endless_name, endless_headers] {
        check(vec![write("HTTP/1.1 200 OK\r\n"), endless, Step::Close], Outcome::Error(424)).await;
    }
}

#[tokio::test]
async fn lengths_that_lie() {
    let length = |value: &str| format!("HTTP/1.1 200 OK\r\nContent-Length: {value}\r\n");
    for bad in ["-1", "+2", "0x2", "2 2", "99999999999999999999999", ""] {
        check(vec![write(length(bad) + "\r\n{}"), Step::Close], Outcome::Error(424)).await;
    }
    check(vec![write(length("2") + "Content-Length: 3\r\n\r\n{}"), Step::Close], Outcome::Error(424)).await;
    check(vec![write(length("1000") + "\r\n{}"), Step::Close], Outcome::Cut).await;
    check(vec![write(length("2") + "\r\n{}more than that")], whole("{}")).await;
    check(vec![write(length("2") + "Content-Length: 2\r\n\r\n{}")], whole("{}")).await;
}

/// An agent that answers more than it was asked must not have the surplus taken for the next answer.
#[tokio::test]
async fn answers_that_nobody_asked_for() {
    let forged = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged";
    let answer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}";
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n";
    let both = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n";
    for first in [answer, chunked, both] {
        check(vec![write(format!("{first}{forged}"))], whole("{}")).await;
    }
    let none = Outcome::Whole(204, Bytes::new());
    check(vec![write(format!("HTTP/1.1 204 No Content\r\n\r\n{forged}"))], none).await;
}

#[tokio::test]
async fn chunks_that_are_none() {
    let endless_extension = [write("2;x="), Step::WriteForEver(Bytes::from(vec![b'x'; 4096])), Step::Close].to_vec();
    let endless_trailers =
        [write("0\r\n"), Step::WriteForEver(Bytes::from_static(b"X-Endless: x\r\n")), Step::Close].to_vec();
    let text = |text: &str| vec![write(text), Step::Close];
    for garbage in [
        text("zz\r\nabc\r\n"),
        text("-2\r\n{}\r\n"),
        text("fffffffffffffffff\r\n{}\r\n"),
        text("2\r\n{}garbage"),
        text("2\n{}\n0\n\n"),
        text("\r\n\r\n"),
        text("0\r\n"),
        endless_extension,
        endless_trailers,
    ] {
        check([vec![chunked_head()], garbage].concat(), Outcome::Cut).await;
    }
    let trailers = [chunked_head(), chunk("{}"), write("0\r\nX-Trailer: x\r\nContent-Length: 7\r\n\r\n")];
    check(trailers.to_vec(), whole("{}")).await;
}

#[tokio::test]
async fn interim_answers_are_skipped_but_not_for_ever() {
    let interim = "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n";
    check([vec![write(interim.repeat(500))], json("{}")].concat(), whole("{}")).await;
    let world = World::with_limits(vec![Step::WriteForEver(Bytes::from(interim.repeat(100)))], impatient()).await;
    assert_eq!(outcome(&world, "{}").await, Outcome::Error(504));
    recovers(&world).await;
}

#[tokio::test]
async fn agents_that_do_not_read() {
    let world = World::with_limits(Vec::new(), impatient()).await;
    world.agent.does_unasked(vec![Step::Wait]);
    assert_eq!(outcome(&world, vec![7; LARGE]).await, Outcome::Error(504));
    recovers(&world).await;
    // Done before the request was sent whole.
    world.agent.does_unasked([json("early"), vec![Step::WaitForClose]].concat());
    assert_eq!(outcome(&world, vec![7; LARGE]).await, whole("early"));
    world.agent.saw_close().await;
    recovers(&world).await;
}

/// A stalled session keeps no other one waiting.
#[tokio::test]
async fn sessions_do_not_feel_each_others_agents() {
    let world = World::new(vec![Step::WaitForClose]).await;
    let mut stalled = world.client().await;
    let mut other = world.client().await;
    tokio::select! {
        _ = stalled.send(Call::invoke("{}")) => unreachable!("it never answers"),
        () = async {
            wait_for("the request", SOON, || world.agent.n_received() == 1).await;
            world.agent.does(json("{}"));
            for _ in 0..20 {
                let call = Call::invoke("{}").session("another-session-of-thirty-six-charac");
                assert_eq!(other.send(call).await.status, 200);
            }
        } => {}
    }
}
