//! Bodies of every size, broken ones, and the cap on all of them together.

use std::pin::Pin;
use std::task::{Context, Poll};

use http_body_util::{BodyExt, Full};
use hyper::body::Frame;
use tempfile::TempDir;

use super::*;

const MAX: u64 = MAX_LEN as u64;
const MAX_LEN: usize = 5 << 20;

/// A spool and what keeps its directory.
fn spool(total_bytes: u64) -> (Spool, TempDir) {
    spool_with(Limits { spool_total_bytes: total_bytes, ..Limits::default() })
}

fn spool_with(limits: Limits) -> (Spool, TempDir) {
    let directory = TempDir::new().unwrap();
    (Spool::new(directory.path().to_owned(), &Limits { max_body_bytes: MAX, ..limits }), directory)
}

/// A body of unknown length in pieces; a missing piece is an error.
struct Chunked(Vec<Option<Bytes>>);

impl Chunked {
    fn of(data: &Bytes, piece: usize) -> Self {
        Self(data.chunks(piece).rev().map(|p| Some(Bytes::copy_from_slice(p))).collect())
    }
}

impl Body for Chunked {
    type Data = Bytes;
    type Error = io::Error;
    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let piece = self.0.pop().map(|piece| piece.ok_or_else(|| io::Error::other("client went away")));
        Poll::Ready(piece.map(|piece| piece.map(Frame::data)))
    }
}

/// Reads a body as it wants to be read: a frame is let go before the next.
async fn read(mut body: SpooledBody) -> Vec<u8> {
    let mut all = Vec::new();
    while let Some(frame) = body.frame().await {
        all.extend_from_slice(&frame.unwrap().into_data().unwrap());
    }
    all
}

fn data(len: usize) -> Bytes {
    (0..=250).cycle().take(len).collect::<Vec<u8>>().into()
}

async fn check(len: usize, piece: usize) {
    let (spool, directory) = spool(MAX);
    let data = data(len);
    let spooled = spool.take(&mut Chunked::of(&data, piece)).await.unwrap();
    assert_eq!(spooled.len, len as u64);
    assert_eq!(spooled.digest, digest(&data), "{len}");
    let in_file = matches!(spooled.content, Content::File { .. });
    assert_eq!(in_file, len > limits::SPOOL_MEMORY_BYTES, "{len}");
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0, "files have no name");
    let body = spooled.into_body();
    assert_eq!((body.size_hint().exact(), body.is_end_stream()), (Some(len as u64), len == 0));
    assert!(read(body).await == data, "{len}");
    assert_eq!((spool.memory.used(), spool.files.used()), (0, 0), "room is given back");
}

#[tokio::test]
async fn bodies_come_out_as_they_went_in() {
    for (len, piece) in [(0, 1), (1, 1), (70_000, 1000), (1 << 20, 8192), ((1 << 20) + 1, 65_536), (5 << 20, 70_001)] {
        check(len, piece).await;
    }
}

#[tokio::test]
async fn a_body_that_claims_too_much_is_not_read() {
    let (spool, _directory) = spool(MAX);
    let mut body = Full::new(data(MAX_LEN + 1));
    assert!(matches!(spool.take(&mut body).await, Err(Error::BodyTooLarge(MAX))));
    assert!(!body.is_end_stream(), "untouched");
}

#[tokio::test]
async fn a_body_that_grows_too_large_is_cut_short() {
    let (spool, _directory) = spool(2 * MAX);
    let mut body = Chunked::of(&data(MAX_LEN + 100_000), 50_000);
    assert!(matches!(spool.take(&mut body).await, Err(Error::BodyTooLarge(MAX))));
    assert!(!body.0.is_empty(), "not read to its end");
    assert_eq!(spool.files.used(), 0);
}

#[tokio::test]
async fn files_of_all_requests_share_one_room() {
    let (spool, _directory) = spool(3 << 20);
    let large = data(2 << 20);
    let first = spool.take(&mut Chunked::of(&large, 65_536)).await.unwrap();
    assert!(matches!(spool.take(&mut Chunked::of(&large, 65_536)).await, Err(Error::SpoolFull)));
    assert!(spool.take(&mut Chunked::of(&data(1000), 100)).await.is_ok(), "small bodies need no room");
    drop(first);
    assert!(spool.take(&mut Chunked::of(&large, 65_536)).await.is_ok());
}

#[tokio::test]
async fn a_client_that_goes_away_leaves_nothing() {
    let (spool, directory) = spool(MAX);
    let mut body = Chunked::of(&data(2 << 20), 65_536);
    body.0.insert(0, None);
    assert!(matches!(spool.take(&mut body).await, Err(Error::BodyBroken(_))));
    assert_eq!(spool.files.used(), 0);
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn bodies_that_memory_has_no_room_for_go_to_files() {
    let (spool, _directory) = spool_with(Limits { spool_memory_total_bytes: 1 << 20, ..Limits::default() });
    let body = data(700_000);
    let first = spool.take(&mut Chunked::of(&body, 65_536)).await.unwrap();
    assert_eq!((spool.memory.used(), spool.files.used()), (700_000, 0));
    let second = spool.take(&mut Chunked::of(&body, 65_536)).await.unwrap();
    assert_eq!(spool.files.used(), 700_000);
    assert!(spool.memory.used() <= 700_000 + PIECE_BYTES as u64, "a piece of the second at most");
    assert!(matches!(second.content, Content::File { .. }));
    assert_eq!(second.digest, digest(&body));
    let sent = first.into_body().collect().await.unwrap().to_bytes();
    assert!(spool.memory.used() >= 700_000, "until the last byte has left");
    drop(sent);
    assert!(read(second.into_body()).await == body);
    assert_eq!((spool.memory.used(), spool.files.used()), (0, 0));
}

#[tokio::test]
async fn small_bodies_pass_when_all_room_is_taken() {
    let none = Limits { spool_memory_total_bytes: 0, spool_total_bytes: 0, ..Limits::default() };
    let (spool, _directory) = spool_with(none);
    assert!(spool.take(&mut Chunked::of(&data(65_536), 8192)).await.is_ok());
    assert!(matches!(spool.take(&mut Chunked::of(&data(65_537), 8192)).await, Err(Error::SpoolFull)));
}

#[tokio::test]
async fn a_body_that_says_it_is_large_takes_one_piece_of_memory_from_its_first_byte_to_its_last() {
    let (spool, _directory) = spool(MAX);
    let body = data(3 << 20);
    let mut upload = Full::new(body.clone());
    let spooled = spool.take(&mut upload).await.unwrap();
    assert_eq!(spool.memory.used(), PIECE_BYTES as u64);
    let mut sent = spooled.into_body();
    let first = sent.frame().await.unwrap().unwrap().into_data().unwrap();
    let again = first.as_ptr();
    let second = tokio::time::timeout(Duration::from_millis(50), sent.frame()).await;
    assert!(second.is_err(), "there is no second buffer");
    drop(first);
    let second = sent.frame().await.unwrap().unwrap().into_data().unwrap();
    assert_eq!(second.as_ptr(), again, "the same buffer");
    assert!(second == body[PIECE_BYTES..2 * PIECE_BYTES]);
    drop((sent, second));
    assert_eq!((spool.memory.used(), spool.files.used()), (0, 0));
}
