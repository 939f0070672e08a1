//! Many large bodies at one time.

use std::time::Duration;

use http::Method;
use innkeep_auth::Digest;
use innkeep_server::Config;

use tokio::io::AsyncWriteExt;
use tokio::task::JoinSet;

use crate::wire::{Draft, SOON};
use crate::world::{World, memory};

static PIECE: [u8; 1 << 20] = [7; 1 << 20];

const CLIENTS: usize = 50;

/// The resident memory that a server may gain while 50 clients upload, whatever they upload: stated in docs/limits.md.
const BOUND: u64 = 50 << 20;

fn digest(n_pieces: usize) -> [u8; 32] {
    let mut digest = Digest::new();
    for _ in 0..n_pieces {
        digest.update(&PIECE);
    }
    digest.finish()
}

/// Returns the head of an upload of so many pieces.
fn head(world: &World, n_pieces: usize) -> String {
    format!("{}content-length: {}\r\n\r\n", world.head_for(digest(n_pieces), &[]), n_pieces * PIECE.len())
}

/// Returns the size of the largest spool file; it has no name, but this process has it open.
fn spooled() -> u64 {
    let open = std::fs::read_dir("/proc/self/fd").unwrap().map(|entry| entry.unwrap().path());
    let spool = open.filter(|fd| std::fs::read_link(fd).is_ok_and(|to| to.to_string_lossy().contains("/body-")));
    spool.filter_map(|fd| std::fs::metadata(fd).ok()).map(|file| file.len()).max().unwrap_or(0)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn memory_does_not_grow_with_what_is_uploaded() {
    const PIECES: usize = 30;
    let world = World::new(Config::default()).await;
    let before = memory("VmRSS");
    let head = head(&world, PIECES);
    let mut uploads = JoinSet::new();
    for _ in 0..CLIENTS {
        let (mut wire, head) = (world.wire().await, head.clone());
        uploads.spawn(async move {
            wire.send(head).await;
            for _ in 0..PIECES {
                wire.send(&PIECE).await;
            }
            wire.answer().await.unwrap()
        });
    }
    while let Some(answer) = uploads.join_next().await {
        let answer = answer.unwrap();
        assert_eq!((answer.status, answer.body), (200, (PIECES << 20).to_string()));
    }
    let gained = memory("VmHWM").saturating_sub(before);
    println!("{CLIENTS} clients, {PIECES} MiB each: at most {} MiB more resident", gained >> 20);
    assert!(gained < BOUND, "{gained} bytes");
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_spool_refuses_large_bodies_until_there_is_room() {
    let world = World::new(Config { spool_total_bytes: 8 << 20, ..Config::default() }).await;
    let head = head(&world, 6);
    let mut first = world.wire().await;
    first.send(&head).await;
    for _ in 0..5 {
        first.send(&PIECE).await;
    }
    let second = || async {
        let mut wire = world.wire().await;
        wire.send(&head).await;
        for _ in 0..6 {
            wire.send(&PIECE).await;
        }
        wire.answer().await.unwrap()
    };
    // All but what is less than a piece of the spool's.
    let at_rest = tokio::time::timeout(SOON, async {
        while spooled() < (5 << 20) - (256 << 10) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    at_rest.await.expect("the first body goes to a file");
    let answer = second().await;
    assert_eq!(answer.status, 503, "{answer:?}");
    assert!(answer.head.contains("x-amzn-errortype: serviceunavailableexception"), "{answer:?}");
    assert_eq!(world.invoke("hello").await, Some((200, "5".to_owned())), "small ones pass");
    first.send(&PIECE).await;
    assert_eq!(first.answer().await.unwrap().status, 200);
    drop(first);
    assert_eq!(second().await.status, 200, "there is room again");
    world.finish().await;
}

/// Returns the files of uploads that are being received.
fn received(world: &World) -> usize {
    std::fs::read_dir(world.data_dir().join("artifacts/tmp")).unwrap().count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_s_upload_is_received_before_its_signature_is_known_to_be_good() {
    let world = World::new(Config::default()).await;
    let target = "/innkeep/v1/artifacts?kind=image";
    let announced: String = digest(2).iter().map(|byte| format!("{byte:02x}")).collect();
    let headers = |more: Option<&str>| more.map(|it| ("x-amz-content-sha256", it.to_owned())).into_iter().collect();
    let draft =
        |more| Draft { method: Method::POST, target: target.to_owned(), digest: digest(2), headers: headers(more) };
    let good = world.sign(draft(Some(announced.as_str())));
    let length = format!("content-length: {}\r\n\r\n", 2 * PIECE.len());
    for (head, words) in [
        (
            world
                .sign(Draft { target: format!("{target}&name=other"), ..draft(Some(announced.as_str())) })
                .replace("&name=other", ""),
            "does not match",
        ),
        (world.sign(draft(None)), "x-amz-content-sha256"),
        (world.sign(draft(None)).replacen("\r\n", "\r\nx-amz-content-sha256: UNSIGNED-PAYLOAD\r\n", 1), "unsigned"),
    ] {
        let mut wire = world.wire().await;
        // Nothing of the body: the answer does not wait for it.
        wire.send(format!("{head}{length}")).await;
        let answer = wire.answer().await.unwrap();
        assert_eq!(answer.status, 403, "{answer:?}");
        assert!(answer.body.contains(words), "{words}: {answer:?}");
    }

    // A body that is received, and whose client goes away in the middle, leaves no file; nor does another than was announced.
    let mut wire = world.wire().await;
    wire.send(format!("{good}{length}")).await;
    wire.send(&PIECE).await;
    wait_for(|| received(&world) == 1).await;
    drop(wire);
    wait_for(|| received(&world) == 0).await;
    let mut wire = world.wire().await;
    wire.send(format!("{good}{length}")).await;
    wire.send(&PIECE).await;
    wire.send(vec![8; PIECE.len()]).await;
    let answer = wire.answer().await.unwrap();
    assert!(answer.status == 403 && answer.body.contains("does not match what was computed"), "{answer:?}");
    assert_eq!(received(&world), 0);
    drop(wire);
    world.finish().await;
}

async fn wait_for(done: impl Fn() -> bool) {
    let waited = tokio::time::timeout(SOON, async {
        while !done() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    waited.await.expect("it comes to that");
}

/// A client that is refused while it sends must be able to end its sending, or it reports a broken pipe and not the refusal.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_upload_gets_its_answer_and_no_reset() {
    let world = World::new(Config::default()).await;
    for (target, status) in
        [("/innkeep/v1/artifacts?kind=zip", 403), ("/runtimes/x/invocations", 400), ("/nowhere", 404)]
    {
        let mut wire = world.wire().await;
        wire.send(format!("POST {target} HTTP/1.1\r\nhost: localhost\r\ncontent-length: {}\r\n\r\n", 20 << 20)).await;
        for _ in 0..20 {
            wire.stream.write_all(&PIECE).await.unwrap();
        }
        let answer = wire.answer().await.unwrap();
        assert_eq!(answer.status, status, "{answer:?}");
    }
    world.finish().await;
}
