//! What was acknowledged is there after any crash; and what is on disk is refused where it cannot be trusted.

#![expect(clippy::print_stdout, reason = "the seed, and why something is skipped")]

use std::collections::BTreeSet;
use std::fs;
use std::hash::{BuildHasher as _, BuildHasherDefault, DefaultHasher, RandomState};
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use innkeep_store::{Error, Store};
use innkeep_types::ErrorKind;
use tokio::task::JoinSet;

use crate::fixture::{Fixture, session};

/// Not a test: the program that others kill, or look at.
const CHILD: &str = "durability::child_writes";
const CHILD_DIR: &str = "INNKEEP_TEST_STORE_DIR";
const CHILD_FIRST: &str = "INNKEEP_TEST_STORE_FIRST";
const CHILD_WRITERS: &str = "INNKEEP_TEST_STORE_WRITERS";
const CHILD_WRITES: &str = "INNKEEP_TEST_STORE_WRITES";

const KILLS: usize = 200;

#[tokio::test]
async fn acknowledged_writes_survive_a_handle_that_is_only_dropped() {
    let Fixture { store, dir } = Fixture::new().await;
    store.put_session(session("hello", 1)).await.unwrap();
    drop(store);
    let store = Store::open(dir.path()).await.unwrap();
    assert_eq!(store.list_sessions(None, false, 10).await.unwrap().len(), 1);
}

/// Two hundred lives of one database, each with eight writers at once and killed at another moment.
#[tokio::test]
async fn acknowledged_writes_survive_200_kills() {
    let dir = tempfile::tempdir().unwrap();
    let seed = RandomState::new().hash_one(KILLS);
    println!("seed {seed}");
    let mut n_acknowledged = 0;
    for life in 0..KILLS {
        let (first, moment) = (life * 100_000, BuildHasherDefault::<DefaultHasher>::default().hash_one((seed, life)));
        let mut command = child(Command::new(std::env::current_exe().unwrap()), dir.path(), 8, 10_000);
        let mut child = command.env(CHILD_FIRST, first.to_string()).stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
        let mut acknowledged = BTreeSet::new();
        let mut wanted = usize::try_from(moment % 20).unwrap();
        for line in lines.by_ref() {
            acknowledged.extend(line.strip_prefix("acknowledged ").map(|n| n.parse::<usize>().unwrap()));
            if acknowledged.len() > wanted {
                thread::sleep(Duration::from_micros(moment >> 32 & 0x7ff));
                child.kill().unwrap();
                wanted = usize::MAX;
            }
        }
        child.wait().unwrap();
        assert!(!acknowledged.is_empty(), "life {life}");
        n_acknowledged += acknowledged.len();
        let store = Store::open(dir.path()).await.unwrap();
        for n in acknowledged {
            assert!(store.get_session(&session("hello", n).key).await.unwrap().is_some(), "{n} of life {life}");
        }
        store.close().await.unwrap();
    }
    let store = Store::open(dir.path()).await.unwrap();
    let kept = store.list_sessions(None, false, u32::MAX).await.unwrap().len();
    assert!(kept >= n_acknowledged, "{kept} of {n_acknowledged}, once acknowledged, are still there after all lives");
}

#[test]
fn every_acknowledgement_follows_one_sync_and_writes_at_once_share_it() {
    let works = Command::new("strace").args(["-o", "/dev/null", "true"]).output();
    if !works.is_ok_and(|strace| strace.status.success()) {
        println!("skipped: strace is not here (apt-get install strace), or may not look");
        return;
    }
    let one_by_one = syncs_before_acknowledgements(1, 50);
    // The first also brings the log's own head to the disk.
    assert_eq!(one_by_one[1..], [1; 49], "one each");
    let at_once = syncs_before_acknowledgements(200, 1);
    let syncs: usize = at_once.iter().sum();
    assert_eq!(at_once.len(), 200);
    assert!(at_once[0] > 0 && (4..=50).contains(&syncs), "{syncs} syncs for 200 writes in groups of up to 64");
}

/// Returns how often the write-ahead log was synced before each acknowledgement, since the one before.
fn syncs_before_acknowledgements(writers: usize, writes: usize) -> Vec<usize> {
    let dir = tempfile::tempdir().unwrap();
    let trace = dir.path().join("trace");
    let mut strace = Command::new("strace");
    strace
        .args(["-f", "-y", "-e", "trace=write,fsync,fdatasync", "-o"])
        .arg(&trace)
        .arg(std::env::current_exe().unwrap());
    let traced = child(strace, dir.path(), writers, writes).env(CHILD_FIRST, "0").output().unwrap();
    assert!(traced.status.success(), "{}", String::from_utf8_lossy(&traced.stderr));
    let mut counts = vec![0];
    let trace = fs::read_to_string(trace).unwrap();
    let (_, writing) = trace.split_once("opened").unwrap();
    for line in writing.lines() {
        if line.contains("sync(") && line.contains("innkeep.db-wal>") {
            *counts.last_mut().unwrap() += 1;
        } else if line.contains("\"acknowledged ") {
            counts.push(0);
        }
    }
    // What comes after the last is the closing.
    counts.pop();
    counts
}

/// Completes a command line that ends in this test's program.
fn child(mut command: Command, dir: &Path, writers: usize, writes: usize) -> Command {
    command
        .args(["--exact", CHILD, "--nocapture"])
        .env(CHILD_DIR, dir)
        .env(CHILD_WRITERS, writers.to_string())
        .env(CHILD_WRITES, writes.to_string());
    command
}

#[tokio::test]
async fn child_writes() {
    let Some(dir) = std::env::var_os(CHILD_DIR) else { return println!("nothing to do: {CHILD_DIR} is not set") };
    let number = |name| std::env::var_os(name).unwrap().to_str().unwrap().parse::<usize>().unwrap();
    let (first, writers, writes) = (number(CHILD_FIRST), number(CHILD_WRITERS), number(CHILD_WRITES));
    let store = Store::open(Path::new(&dir)).await.unwrap();
    say("opened");
    let mut writing = JoinSet::new();
    for writer in 0..writers {
        let store = store.clone();
        writing.spawn(async move {
            for n in (0..writes).map(|n| first + writer + n * writers) {
                store.put_session(session("hello", n)).await.unwrap();
                say(&format!("acknowledged {n}"));
            }
        });
    }
    writing.join_all().await;
}

/// Says it in one system call, which a kill cannot cut in two. The harness leaves a line of its own open at the start.
fn say(words: &str) {
    let line = if words == "opened" { format!("\n{words}\n") } else { format!("{words}\n") };
    std::io::stdout().write_all(line.as_bytes()).unwrap();
}

#[tokio::test]
async fn a_database_of_a_newer_program_is_refused() {
    let f = Fixture::new().await;
    f.store.close().await.unwrap();
    f.sql("PRAGMA user_version = 99");
    let error = Store::open(f.dir.path()).await.unwrap_err();
    let Error::Newer { found: 99, known, .. } = error else { panic!("{error}") };
    let (message, up_to) = (error.to_string(), format!("up to {known}: run the newer"));
    assert!(message.contains("innkeep.db has schema version 99") && message.contains(&up_to), "{message}");
}

#[tokio::test]
async fn what_is_no_database_is_refused_with_advice() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("innkeep.db"), "no database, but long enough to be taken for one".repeat(10)).unwrap();
    check_refused(dir.path(), "damaged or no database").await;
    check_refused(&dir.path().join("absent"), "check that its directory exists").await;
}

async fn check_refused(dir: &Path, advice: &str) {
    let error = Store::open(dir).await.unwrap_err();
    let message = error.to_string();
    assert!(message.contains("innkeep.db failed: ") && message.contains(advice), "{message}");
    assert_eq!(error.kind(), ErrorKind::Internal);
}
