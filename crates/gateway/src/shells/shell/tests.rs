//! A shell in front of a terminal in memory.

use std::sync::Arc;

use innkeep_testkit::wait_for;
use parking_lot::Mutex;
use tokio::io::{DuplexStream, duplex};
use tokio_util::task::{AbortOnDropHandle, TaskTracker};

use super::*;

const RULES: Rules = Rules { replay_bytes: 8, detached_timeout: Duration::from_secs(900) };
const SOON: Duration = Duration::from_secs(5);

/// What a program was told, and how it ends.
#[derive(Debug)]
struct Played {
    told: Arc<Mutex<Vec<String>>>,
    exit: tokio::sync::watch::Receiver<Option<Option<Exit>>>,
}

impl Program for Played {
    fn resize(&self, Size { width, height }: Size) {
        self.told.lock().push(format!("{width}x{height}"));
    }

    fn kill(&self) {
        self.told.lock().push("kill".to_owned());
    }

    async fn wait(&mut self) -> Option<Exit> {
        match self.exit.wait_for(Option::is_some).await.map(|exit| *exit) {
            Ok(Some(exit)) => exit,
            _ => pending().await,
        }
    }
}

struct World {
    shell: Shell,
    terminal: DuplexStream,
    told: Arc<Mutex<Vec<String>>>,
    exit: tokio::sync::watch::Sender<Option<Option<Exit>>>,
    running: AbortOnDropHandle<()>,
}

fn opened() -> World {
    let (terminal, its) = duplex(32);
    let (exit, ends) = tokio::sync::watch::channel(None);
    let told: Arc<Mutex<Vec<String>>> = Arc::default();
    let program = Played { told: told.clone(), exit: ends };
    let (shell, run) = Shell::new(its, program, RULES, CancellationToken::new());
    World { shell, terminal, told, exit, running: AbortOnDropHandle::new(TaskTracker::new().spawn(run)) }
}

async fn shown(attachment: &mut Attachment, n: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    while bytes.len() < n {
        bytes.extend(attachment.screen.recv().await.unwrap());
    }
    bytes
}

#[tokio::test(start_paused = true)]
async fn what_is_typed_and_printed_passes_and_the_end_is_told() {
    let mut world = opened();
    let mut attachment = world.shell.attach().await.unwrap();
    assert!(!attachment.reconnected && attachment.replay.is_empty());
    attachment.keys.send(Bytes::from_static(b"ls\xFF")).await.unwrap();
    let mut typed = [0; 3];
    world.terminal.read_exact(&mut typed).await.unwrap();
    assert_eq!(&typed, b"ls\xFF");
    attachment.wishes.send_modify(|wishes| wishes.size = Some(Size { width: 120, height: 40 }));
    world.terminal.write_all(b"files").await.unwrap();
    assert_eq!(shown(&mut attachment, 5).await, b"files");
    wait_for("the size", SOON, || *world.told.lock() == ["120x40"]).await;
    // What is printed last is shown before the end is told.
    world.terminal.write_all(b"bye").await.unwrap();
    world.exit.send(Some(Some(Exit::Code(3)))).unwrap();
    assert_eq!(shown(&mut attachment, 3).await, b"bye");
    assert_eq!(attachment.screen.recv().await, None);
    assert_eq!(attachment.farewell.await, Ok(Farewell::Exited(Some(Exit::Code(3)))));
    world.running.await.unwrap();
    assert!(world.shell.is_over() && world.shell.attach().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn it_prints_on_without_a_client_and_shows_the_end_of_it_to_the_next() {
    let mut world = opened();
    drop(world.shell.attach().await.unwrap());
    // Far more than the terminal holds: it is read.
    for n in 0..1000 {
        world.terminal.write_all(format!("line {n:03}\n").as_bytes()).await.unwrap();
    }
    world.terminal.write_all(b"\xFF").await.unwrap();
    let mut attachment = world.shell.attach().await.unwrap();
    let more = shown(&mut attachment, 0).await;
    let mut seen = [attachment.replay.clone(), more].concat();
    while !seen.ends_with(b"\xFF") {
        seen.extend(attachment.screen.recv().await.unwrap());
    }
    assert!(seen.ends_with(b"ne 999\n\xFF"), "{}", seen.escape_ascii());
    assert!(attachment.reconnected && attachment.replay.len() <= RULES.replay_bytes);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_takes_nothing_holds_the_terminal_back_until_he_leaves() {
    let mut world = opened();
    let attachment = world.shell.attach().await.unwrap();
    let flood = async {
        for _ in 0..1000 {
            world.terminal.write_all(&[b'x'; 32]).await.unwrap();
        }
    };
    let mut flood = std::pin::pin!(flood);
    assert!(timeout(Duration::from_secs(60), &mut flood).await.is_err(), "nothing is lost while he may read on");
    drop(attachment);
    timeout(SOON, flood).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn the_next_client_takes_the_place_of_the_one_before() {
    let mut world = opened();
    let mut first = world.shell.attach().await.unwrap();
    world.terminal.write_all(b"prompt").await.unwrap();
    assert_eq!(shown(&mut first, 6).await, b"prompt");
    let mut second = world.shell.attach().await.unwrap();
    assert_eq!(first.screen.recv().await, None);
    assert_eq!((&mut first.farewell).await, Ok(Farewell::Replaced));
    assert!(first.keys.send(Bytes::from_static(b"rm")).await.is_err(), "who was replaced types no more");
    drop(first);
    assert_eq!((second.reconnected, second.replay.as_slice()), (true, &b"prompt"[..]));
    world.terminal.write_all(b"$").await.unwrap();
    assert_eq!(shown(&mut second, 1).await, b"$");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_leaves_is_noticed_though_the_program_reads_nothing() {
    let world = opened();
    let attachment = world.shell.attach().await.unwrap();
    for _ in 0..2 {
        attachment.keys.send(Bytes::from(vec![b'x'; 1000])).await.unwrap();
    }
    drop(attachment);
    // Nobody comes for it: so it was noticed.
    timeout(RULES.detached_timeout + SOON, world.running).await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn one_that_nobody_comes_for_ends_after_its_time() {
    let world = opened();
    let begun = Instant::now();
    let attachment = world.shell.attach().await.unwrap();
    tokio::time::sleep(Duration::from_secs(3600)).await;
    drop(attachment);
    world.running.await.unwrap();
    assert_eq!(begun.elapsed().as_secs(), 3600 + 900);
    assert!(world.shell.is_over());
}

#[tokio::test(start_paused = true)]
async fn a_client_may_end_it() {
    let world = opened();
    let attachment = world.shell.attach().await.unwrap();
    attachment.wishes.send_modify(|wishes| wishes.end = true);
    wait_for("the program to be killed", SOON, || *world.told.lock() == ["kill"]).await;
    world.exit.send(Some(Some(Exit::Signal(9)))).unwrap();
    assert_eq!(attachment.farewell.await, Ok(Farewell::Exited(Some(Exit::Signal(9)))));
}

#[tokio::test(start_paused = true)]
async fn what_a_program_left_running_does_not_hold_its_end_up() {
    let mut world = opened();
    let mut attachment = world.shell.attach().await.unwrap();
    world.exit.send(Some(None)).unwrap();
    let chatter = async {
        loop {
            world.terminal.write_all(b"still here").await.unwrap();
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let heard = async { while attachment.screen.recv().await.is_some() {} };
    tokio::select! {
        () = chatter => {}
        () = heard => {}
    }
    assert_eq!(attachment.farewell.await, Ok(Farewell::Exited(None)));
}
