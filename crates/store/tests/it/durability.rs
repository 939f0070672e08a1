use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};

use innkeep_store::{Error, Store};
use innkeep_types::ErrorKind;

use crate::fixture::{Fixture, session};

const CHILD: &str = "durability::child_writes_until_it_is_killed";
const CHILD_DIR: &str = "INNKEEP_TEST_STORE_DIR";

#[tokio::test]
async fn acknowledged_writes_survive_a_handle_that_is_only_dropped() {
    let Fixture { store, dir } = Fixture::new().await;
    store.put_session(session("hello", 1)).await.unwrap();
    drop(store);
    let store = Store::open(dir.path()).await.unwrap();
    assert_eq!(store.list_sessions(None, false, 10).await.unwrap().len(), 1);
}

#[tokio::test]
async fn acknowledged_writes_survive_kill_9() {
    let dir = tempfile::tempdir().unwrap();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", CHILD, "--nocapture"])
        .env(CHILD_DIR, dir.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut n_acknowledged = 0;
    for line in BufReader::new(child.stdout.take().unwrap()).lines() {
        if line.unwrap().starts_with("acknowledged ") {
            n_acknowledged += 1;
        }
        if n_acknowledged == 50 {
            child.kill().unwrap();
        }
    }
    child.wait().unwrap();
    assert!(n_acknowledged >= 50);
    let store = Store::open(dir.path()).await.unwrap();
    for n in 0..n_acknowledged {
        assert!(store.get_session(&session("hello", n).key).await.unwrap().is_some(), "{n} of {n_acknowledged}");
    }
}

/// Not a test: the program that the test above kills.
#[tokio::test]
async fn child_writes_until_it_is_killed() {
    let mut out = std::io::stdout();
    let Some(dir) = std::env::var_os(CHILD_DIR) else {
        return writeln!(out, "nothing to do: {CHILD_DIR} is not set").unwrap();
    };
    let store = Store::open(Path::new(&dir)).await.unwrap();
    for n in 0..1_000_000 {
        store.put_session(session("hello", n)).await.unwrap();
        writeln!(out, "\nacknowledged {n}").unwrap();
    }
}

#[tokio::test]
async fn a_database_of_a_newer_program_is_refused() {
    let f = Fixture::new().await;
    f.store.close().await.unwrap();
    f.sql("PRAGMA user_version = 99");
    let error = Store::open(f.dir.path()).await.unwrap_err();
    assert!(matches!(error, Error::Newer { found: 99, known: 2, .. }), "{error}");
    let message = error.to_string();
    assert!(
        message.contains("innkeep.db has schema version 99") && message.contains("up to 2: run the newer"),
        "{message}"
    );
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
