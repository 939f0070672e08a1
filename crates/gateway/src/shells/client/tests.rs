//! A client in memory, and a shell that is four channels.

use hyper_util::rt::TokioIo;
use innkeep_protocol::shell::{Exit, Size};
use innkeep_testkit::wait_for;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::time::Instant;
use tokio_util::task::{AbortOnDropHandle, TaskTracker};

use super::super::attachment::{Place, Wishes, attachment};
use super::*;
use crate::ws::Violation;

const RULES: Rules = Rules {
    max_frame_bytes: 1000,
    max_frames_per_second: 50,
    stall_timeout: Duration::from_secs(30),
    ping_interval: INTERVAL,
};
const INTERVAL: Duration = Duration::from_secs(30);
const SOON: Duration = Duration::from_secs(5);

struct World {
    client: DuplexStream,
    place: Place,
    running: AbortOnDropHandle<End>,
}

fn visiting(replay: &[u8]) -> World {
    let (client, its) = duplex(256);
    let (attachment, place) = attachment(!replay.is_empty(), replay.to_vec());
    let running = TaskTracker::new().spawn(async move {
        let shell = ShellId::parse("debug").unwrap();
        let mut visit = Visit::new(Socket::new(TokioIo::new(its), RULES), attachment, shell);
        let end = visit.serve().await;
        visit.finish(&end).await;
        end
    });
    World { client, place, running: AbortOnDropHandle::new(running) }
}

impl World {
    async fn say(&mut self, opcode: u8, payload: &[u8]) {
        self.client.write_all(&masked(opcode, payload)).await.unwrap();
    }

    /// Returns opcode and payload of what the server says next.
    async fn hear(&mut self) -> (u8, Vec<u8>) {
        let first = self.client.read_u8().await.unwrap();
        let length = match self.client.read_u8().await.unwrap() {
            126 => usize::from(self.client.read_u16().await.unwrap()),
            127 => usize::try_from(self.client.read_u64().await.unwrap()).unwrap(),
            short => usize::from(short),
        };
        let mut payload = vec![0; length];
        self.client.read_exact(&mut payload).await.unwrap();
        (first & 0x0F, payload)
    }

    async fn hear_message(&mut self) -> Vec<u8> {
        let (opcode, message) = self.hear().await;
        assert_eq!(opcode, 2);
        message
    }

    /// Returns the close frame's code, and how it ended.
    async fn closed(mut self) -> (u16, End) {
        let code = loop {
            let (opcode, payload) = self.hear().await;
            if opcode == 8 {
                break u16::from_be_bytes(*payload.first_chunk().unwrap());
            }
        };
        drop(self.client);
        (code, self.running.await.unwrap())
    }
}

fn masked(opcode: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![0x80 | opcode];
    match u8::try_from(payload.len()) {
        Ok(short @ 0..126) => frame.push(0x80 | short),
        _ => {
            frame.push(0x80 | 126);
            frame.extend(u16::try_from(payload.len()).unwrap().to_be_bytes());
        }
    }
    frame.extend([0; 4]);
    frame.extend_from_slice(payload);
    frame
}

const TEXT: u8 = 1;
const BINARY: u8 = 2;

#[tokio::test(start_paused = true)]
async fn the_client_is_told_what_it_has_and_then_what_was_printed() {
    let replay = vec![b'x'; 2 * CHUNK + 1];
    let mut world = visiting(&replay);
    let told = String::from_utf8(world.hear_message().await).unwrap();
    assert!(told.contains(r#""metadata":{"shellId":"debug","reconnected":true}"#), "{told}");
    world.place.screen.send(Bytes::from_static(b"new")).await.unwrap();
    let mut shown = Vec::new();
    while shown.len() < replay.len() + 3 {
        let message = world.hear_message().await;
        assert_eq!(message[0], 1);
        shown.extend_from_slice(&message[1..]);
    }
    assert!(shown == [replay.as_slice(), b"new"].concat());
}

#[tokio::test(start_paused = true)]
async fn every_channel_does_what_it_is_for() {
    let mut world = visiting(b"");
    world.hear_message().await;
    world.say(BINARY, b"\x00ls").await;
    assert_eq!(world.place.keys.recv().await.unwrap(), "ls");
    world.say(BINARY, b"\x04{\"width\":120,\"height\":40}").await;
    world.place.wishes.changed().await.unwrap();
    let size = Some(Size { width: 120, height: 40 });
    assert_eq!(*world.place.wishes.borrow_and_update(), Wishes { size, end: false });
    world.say(BINARY, b"\x05").await;
    assert_eq!(world.hear_message().await, b"\x05");
    world.say(9, b"ping").await;
    assert_eq!(world.hear().await, (10, b"ping".to_vec()));
    world.say(BINARY, b"\x04{}").await;
    assert!(world.hear_message().await.starts_with(b"\x02innkeep: a terminal's size is"));
    for unknown in [&b""[..], b"\x01out", b"\x77future"] {
        world.say(BINARY, unknown).await;
    }
    world.say(BINARY, b"\xFF").await;
    world.place.wishes.changed().await.unwrap();
    assert!(world.place.wishes.borrow_and_update().end);
}

#[tokio::test(start_paused = true)]
async fn the_end_of_the_program_is_told_after_all_that_it_printed() {
    let mut world = visiting(b"");
    world.hear_message().await;
    let Place { screen, farewell, .. } = world.place;
    screen.send(Bytes::from_static(b"bye")).await.unwrap();
    farewell.send(Farewell::Exited(Some(Exit::Code(3)))).unwrap();
    drop(screen);
    let (attachment, place) = attachment(false, Vec::new());
    drop(attachment);
    world.place = place;
    assert_eq!(world.hear_message().await, b"\x01bye");
    let told = String::from_utf8(world.hear_message().await).unwrap();
    assert!(told.contains("NonZeroExitCode"), "{told}");
    assert_eq!(world.closed().await, (1000, End::Exited(Some(Exit::Code(3)))));
}

#[tokio::test(start_paused = true)]
async fn each_end_has_its_code() {
    async fn check(say: &[(u8, &[u8])], expect: (u16, End)) {
        let mut world = visiting(b"");
        for (opcode, payload) in say {
            world.say(*opcode, payload).await;
        }
        assert_eq!(world.closed().await, expect);
    }
    check(&[(8, b"\x03\xe8")], (1000, End::Left)).await;
    check(&[(BINARY, &[0; 1001])], (1009, End::Refused(Violation::TooLong(1000)))).await;
    check(&[(3, b"")], (1002, End::Refused(Violation::Reserved))).await;
    check(&[(TEXT, &b"a"[..]); 5], (1003, End::SpeaksText)).await;
    check(&[(10, &b""[..]); 51], (1008, End::Refused(Violation::TooMany))).await;
    let four = [(TEXT, &b"a"[..]); 4];
    let interrupted = [&four[..], &[(BINARY, b"\x05")], &four[..], &[(8, b"")]].concat();
    check(&interrupted, (1000, End::Left)).await;
    for (farewell, expect) in [
        (Some(Farewell::Replaced), (4000, End::Replaced)),
        (Some(Farewell::Exited(None)), (1011, End::Exited(None))),
        (None, (1001, End::Shutdown)),
    ] {
        let World { client, place, running } = visiting(b"");
        match farewell {
            Some(farewell) => place.farewell.send(farewell).unwrap(),
            None => drop(place.farewell),
        }
        drop(place.screen);
        let (_attachment, other) = attachment(false, Vec::new());
        assert_eq!(World { client, place: other, running }.closed().await, expect);
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_read_holds_nothing_but_the_line_and_loses_it() {
    let World { client, place, running } = visiting(&vec![b'x'; 256 << 10]);
    let begun = Instant::now();
    let flood = async {
        let mut n = 0;
        while place.screen.send(Bytes::from(vec![b'y'; 16 << 10])).await.is_ok() {
            n += 1;
        }
        n
    };
    let n = flood.await;
    assert!(n <= 2, "{n} more were taken");
    assert_eq!((running.await.unwrap(), begun.elapsed()), (End::Stalled, RULES.stall_timeout));
    drop(client);
}

#[tokio::test(start_paused = true)]
async fn what_is_typed_waits_for_the_terminal_and_no_more_than_so_much() {
    let World { client, mut place, running } = visiting(b"");
    let (mut hear, mut say) = tokio::io::split(client);
    let n_said = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let counter = n_said.clone();
    let typing = AbortOnDropHandle::new(TaskTracker::new().spawn(async move {
        let keys = masked(BINARY, &[0; 1000]);
        loop {
            say.write_all(&keys).await.unwrap();
            counter.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }));
    let heard = AbortOnDropHandle::new(TaskTracker::new().spawn(async move {
        let mut all = Vec::new();
        hear.read_to_end(&mut all).await.unwrap();
    }));
    tokio::time::sleep(Duration::from_secs(60)).await;
    let held_back = n_said.load(std::sync::atomic::Ordering::SeqCst);
    assert!(held_back < 2 * (TYPED / 1000) + 40, "{held_back} messages were taken");
    assert!(place.keys.recv().await.is_some());
    wait_for("more to be taken", SOON, || n_said.load(std::sync::atomic::Ordering::SeqCst) > held_back).await;
    drop((typing, heard, running));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_answers_nothing_loses_the_shell_after_two_intervals() {
    let started = Instant::now();
    let mut world = visiting(b"");
    world.hear_message().await;
    assert_eq!(world.hear().await, (9, crate::ws::PING.to_vec()));
    assert_eq!(started.elapsed().as_secs(), INTERVAL.as_secs());
    assert_eq!(world.running.await.unwrap(), End::Gone);
    assert_eq!(started.elapsed().as_secs(), 2 * INTERVAL.as_secs());
    assert!(world.place.keys.recv().await.is_none(), "the shell is left");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_answers_keeps_the_shell() {
    let mut world = visiting(b"");
    world.hear_message().await;
    for _ in 0..5 {
        let (opcode, payload) = world.hear().await;
        assert_eq!(opcode, 9);
        world.say(10, &payload).await;
    }
    world.say(BINARY, b"\x00ls").await;
    assert_eq!(world.place.keys.recv().await.unwrap(), "ls");
}
