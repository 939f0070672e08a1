//! Two ends in memory, and what passes between them to the last byte.

use std::task::Waker;

use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio_util::task::{AbortOnDropHandle, TaskTracker};

use super::*;

const RULES: Rules = Rules {
    max_frame_bytes: 1000,
    max_frames_per_second: 5,
    stall_timeout: Duration::from_secs(300),
    ping_interval: INTERVAL,
};
const INTERVAL: Duration = Duration::from_secs(30);

/// A pipe that runs, and what is on its both sides.
struct World {
    client: DuplexStream,
    agent: DuplexStream,
    running: AbortOnDropHandle<End>,
}

fn piped() -> World {
    let (client, of_client) = duplex(64);
    let (agent, of_agent) = duplex(64);
    let running = TaskTracker::new().spawn(async move {
        let mut pipe = Pipe::new(TokioIo::new(of_client), TokioIo::new(of_agent), RULES);
        let end = pipe.pass().await;
        pipe.finish(&end).await;
        end
    });
    World { client, agent, running: AbortOnDropHandle::new(running) }
}

impl World {
    async fn end(self) -> End {
        self.running.await.unwrap()
    }
}

/// A short frame, whose mask is zeros.
fn frame(sender: Sender, first: u8, payload: &[u8]) -> Vec<u8> {
    let length = u8::try_from(payload.len()).unwrap();
    assert!(length < 126);
    match sender {
        Sender::Client => [&[first, 0x80 | length, 0, 0, 0, 0], payload].concat(),
        Sender::Agent => [&[first, length], payload].concat(),
    }
}

fn closed(sender: Sender, code: u16, reason: &str) -> Vec<u8> {
    frame(sender, 0x88, &[&code.to_be_bytes(), reason.as_bytes()].concat())
}

#[track_caller]
fn same(found: &[u8], expect: &[u8]) {
    assert_eq!(found.escape_ascii().to_string(), expect.escape_ascii().to_string());
}

async fn rest(stream: &mut DuplexStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).await.unwrap();
    bytes
}

async fn hear(stream: &mut DuplexStream, expect: &[u8]) {
    let mut bytes = vec![0; expect.len()];
    stream.read_exact(&mut bytes).await.unwrap();
    same(&bytes, expect);
}

#[tokio::test(start_paused = true)]
async fn frames_pass_unchanged_and_parts_of_them_at_once() {
    let mut world = piped();
    let ping = frame(Sender::Client, 0x89, b"are you there");
    world.client.write_all(&ping[..9]).await.unwrap();
    hear(&mut world.agent, &ping[..9]).await;
    world.client.write_all(&ping[9..]).await.unwrap();
    hear(&mut world.agent, &ping[9..]).await;
    let text = frame(Sender::Agent, 0x81, b"I am");
    world.agent.write_all(&text).await.unwrap();
    hear(&mut world.client, &text).await;
}

#[tokio::test(start_paused = true)]
async fn a_close_is_answered_by_the_other_side_and_nothing_is_added() {
    let mut world = piped();
    let (asked, agreed) = (closed(Sender::Client, 1000, "done"), closed(Sender::Agent, 1000, ""));
    world.client.write_all(&asked).await.unwrap();
    hear(&mut world.agent, &asked).await;
    let last = frame(Sender::Agent, 0x81, b"a last word");
    world.agent.write_all(&[last.clone(), agreed.clone()].concat()).await.unwrap();
    world.agent.shutdown().await.unwrap();
    same(&rest(&mut world.client).await, &[last, agreed].concat());
    world.client.shutdown().await.unwrap();
    same(&rest(&mut world.agent).await, b"");
    assert_eq!(world.end().await, End::Closed);
}

#[tokio::test(start_paused = true)]
async fn a_close_that_nobody_answers_ends_in_time() {
    let mut world = piped();
    let asked = closed(Sender::Client, 1000, "");
    world.client.write_all(&asked).await.unwrap();
    hear(&mut world.agent, &asked).await;
    same(&rest(&mut world.client).await, &closed(Sender::Agent, 1000, ""));
    assert_eq!(world.end().await, End::Closed);
}

#[tokio::test(start_paused = true)]
async fn who_breaks_a_rule_is_told_which_and_what_came_before_passes() {
    let mut world = piped();
    let good = frame(Sender::Client, 0x81, b"good");
    world.client.write_all(&[good.clone(), frame(Sender::Agent, 0x81, b"bare")].concat()).await.unwrap();
    same(&rest(&mut world.client).await, &closed(Sender::Agent, 1002, "masking is wrong"));
    drop(world.client);
    same(&rest(&mut world.agent).await, &[good, closed(Sender::Client, 1001, "the client has gone")].concat());
    drop(world.agent);
    assert_eq!(world.running.await.unwrap(), End::Refused(Sender::Client, Violation::Masking));
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_breaks_a_rule_is_told_so_and_its_client_that_it_was_the_agent() {
    let mut world = piped();
    world.agent.write_all(b"HTTP/1.1 500 garbage").await.unwrap();
    let why = "the agent broke a rule: reserved bits or opcode";
    same(&rest(&mut world.client).await, &closed(Sender::Agent, 1011, why));
    same(&rest(&mut world.agent).await, &closed(Sender::Client, 1002, "reserved bits or opcode"));
}

#[tokio::test(start_paused = true)]
async fn frames_are_counted_for_each_side_and_second() {
    let mut world = piped();
    let frame = frame(Sender::Agent, 0x81, b"");
    for _ in 0..2 {
        for _ in 0..5 {
            world.agent.write_all(&frame).await.unwrap();
            hear(&mut world.client, &frame).await;
        }
        tokio::time::advance(Duration::from_secs(1)).await;
    }
    world.agent.write_all(&frame.repeat(6)).await.unwrap();
    let why = "the agent broke a rule: too many frames in one second";
    same(&rest(&mut world.client).await, &[frame.repeat(5), closed(Sender::Agent, 1011, why)].concat());
    same(&rest(&mut world.agent).await, &closed(Sender::Client, 1008, "too many frames in one second"));
}

#[tokio::test(start_paused = true)]
async fn nothing_is_put_into_a_frame_that_an_agent_left_unfinished() {
    let mut world = piped();
    world.agent.write_all(&frame(Sender::Agent, 0x81, b"unfinished")[..5]).await.unwrap();
    hear(&mut world.client, b"\x81\x0aunf").await;
    world.agent.shutdown().await.unwrap();
    same(&rest(&mut world.client).await, b"");
    drop((world.client, world.agent));
    assert_eq!(world.running.await.unwrap(), End::AgentGone);
}

#[tokio::test(start_paused = true)]
async fn what_the_agent_is_saying_ends_before_its_client_is_told_why_it_is_refused() {
    let mut world = piped();
    let said = frame(Sender::Agent, 0x81, b"unfinished");
    world.agent.write_all(&said[..5]).await.unwrap();
    hear(&mut world.client, &said[..5]).await;
    world.client.write_all(&frame(Sender::Client, 0x83, b"")).await.unwrap();
    // What follows the frame does not pass any more.
    world.agent.write_all(&[&said[5..], &said].concat()).await.unwrap();
    let refusal = closed(Sender::Agent, 1002, "reserved bits or opcode");
    same(&rest(&mut world.client).await, &[&said[5..], &refusal].concat());
}

#[tokio::test(start_paused = true)]
async fn a_side_that_reads_nothing_holds_the_other_back_and_not_for_ever() {
    let mut world = piped();
    let long = [vec![0x82, 0xFE, 0x03, 0x00, 0, 0, 0, 0], vec![7; 0x300]].concat();
    let started = tokio::time::Instant::now();
    let sent = tokio::time::timeout(Duration::from_secs(1), world.client.write_all(&long)).await;
    assert!(sent.is_err(), "it is held back");
    same(&rest(&mut world.client).await, &closed(Sender::Agent, 1011, "the agent does not read"));
    assert!((300..310).contains(&started.elapsed().as_secs()));
    drop((world.client, world.agent));
    assert_eq!(world.running.await.unwrap(), End::Stalled(Sender::Agent));
}

fn asks() -> Vec<u8> {
    frame(Sender::Agent, 0x89, PING)
}

#[tokio::test(start_paused = true)]
async fn a_client_that_answers_nothing_is_gone_after_two_intervals_and_its_agent_is_told() {
    let started = tokio::time::Instant::now();
    let mut world = piped();
    same(&rest(&mut world.agent).await, &closed(Sender::Client, 1001, "the client has gone"));
    assert_eq!(started.elapsed().as_secs(), 2 * INTERVAL.as_secs());
    same(&rest(&mut world.client).await, &asks());
    drop((world.client, world.agent));
    assert_eq!(world.running.await.unwrap(), End::ClientGone);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_answers_stays_and_its_agent_hears_nothing_of_that() {
    let mut world = piped();
    let (answer, other) = (frame(Sender::Client, 0x8A, PING), frame(Sender::Client, 0x8A, b"innkeep:alive!"));
    let text = frame(Sender::Client, 0x81, b"hello");
    for _ in 0..5 {
        hear(&mut world.client, &asks()).await;
        // In two parts, and behind and before what is the agent's.
        world.client.write_all(&answer[..9]).await.unwrap();
        world.client.write_all(&answer[9..]).await.unwrap();
    }
    world.client.write_all(&[&text[..], &answer, &other, &text].concat()).await.unwrap();
    hear(&mut world.agent, &[&text[..], &other, &text].concat()).await;
}

#[tokio::test(start_paused = true)]
async fn whoever_says_anything_is_there() {
    let mut world = piped();
    let text = frame(Sender::Client, 0x81, b"hello");
    for _ in 0..10 {
        tokio::time::sleep(INTERVAL - Duration::from_secs(1)).await;
        world.client.write_all(&text).await.unwrap();
        hear(&mut world.agent, &text).await;
    }
    world.agent.write_all(&frame(Sender::Agent, 0x81, b"you")).await.unwrap();
    hear(&mut world.client, &frame(Sender::Agent, 0x81, b"you")).await;
}

#[tokio::test(start_paused = true)]
async fn nobody_is_asked_in_the_midst_of_a_frame() {
    let mut world = piped();
    let said = frame(Sender::Agent, 0x81, b"slowly");
    world.agent.write_all(&said[..5]).await.unwrap();
    hear(&mut world.client, &said[..5]).await;
    tokio::time::sleep(INTERVAL * 3 + Duration::from_secs(1)).await;
    world.agent.write_all(&said[5..]).await.unwrap();
    hear(&mut world.client, &said[5..]).await;
    hear(&mut world.client, &asks()).await;
}

#[tokio::test]
async fn a_flow_that_waits_holds_nothing() {
    let (mut client, of_client) = duplex(64);
    let (_agent, of_agent) = duplex(64);
    let mut pipe = Pipe::new(TokioIo::new(of_client), TokioIo::new(of_agent), RULES);
    let mut cx = Context::from_waker(Waker::noop());
    let bytes = frame(Sender::Client, 0x81, b"short");
    {
        let mut written = std::pin::pin!(client.write_all(&bytes));
        assert!(written.as_mut().poll(&mut cx).is_ready());
    }
    assert!(pipe.poll(&mut cx).is_pending());
    assert_eq!(pipe.up.buffered(), 0);
    assert!(std::mem::size_of_val(&pipe) < 1024, "{}", std::mem::size_of_val(&pipe));
}
