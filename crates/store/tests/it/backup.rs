//! A copy of the database, taken while its writer goes on or after it was killed.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use innkeep_store::{AccessKey, Store};
use tokio::task::JoinSet;

use crate::fixture::{Fixture, at, session};

/// Writes that were acknowledged.
static WRITTEN: AtomicUsize = AtomicUsize::new(0);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_taken_under_writes_is_a_prefix_of_what_was_written() {
    let f = Fixture::new().await;
    f.ready("hello").await;
    let key = AccessKey::new("AKIA1", "s3cret", "root", at(0));
    f.store.put_access_keys(vec![key.clone()]).await.unwrap();
    let store = f.store.clone();
    let mut writing = JoinSet::new();
    writing.spawn(async move {
        for n in 0..100_000 {
            if store.put_session(session("hello", n)).await.is_err() {
                return;
            }
            WRITTEN.store(n + 1, Ordering::SeqCst);
        }
    });
    for round in 0..5 {
        let before = WRITTEN.load(Ordering::SeqCst);
        while WRITTEN.load(Ordering::SeqCst) == before {
            tokio::task::yield_now().await;
        }
        let acknowledged = WRITTEN.load(Ordering::SeqCst);
        let other = restored(f.dir.path()).await;
        let store = Store::open(other.path()).await.unwrap();
        let copied = store.list_sessions(None, false, u32::MAX).await.unwrap().len();
        assert!(copied >= acknowledged, "round {round}: {copied} of {acknowledged}");
        for n in 0..copied {
            assert!(store.get_session(&session("hello", n).key).await.unwrap().is_some(), "round {round}: {n}");
        }
        assert_eq!(store.list_access_keys().await.unwrap(), std::slice::from_ref(&key));
        assert_eq!(store.list_runtimes(None, 9).await.unwrap(), f.store.list_runtimes(None, 9).await.unwrap());
    }
    f.store.close().await.unwrap();
    writing.join_all().await;
}

#[tokio::test]
async fn what_only_the_log_holds_is_copied_and_the_source_stays_usable() {
    let f = Fixture::new().await;
    f.store.put_session(session("hello", 1)).await.unwrap();
    // As a killed server leaves them: database and log, and nobody has them open.
    let crashed = tempfile::tempdir().unwrap();
    for name in ["innkeep.db", "innkeep.db-wal", "secret.key"] {
        fs::copy(f.dir.path().join(name), crashed.path().join(name)).unwrap();
    }
    let copy = restored(crashed.path()).await;
    for dir in [copy.path(), crashed.path()] {
        let store = Store::open(dir).await.unwrap();
        assert_eq!(store.list_sessions(None, false, 9).await.unwrap().len(), 1);
    }
}

#[tokio::test]
async fn a_copy_is_never_written_over_something() {
    let f = Fixture::new().await;
    let taken = f.dir.path().join("taken");
    fs::write(&taken, "mine").unwrap();
    Store::copy(f.dir.path(), &taken).await.unwrap_err();
    assert_eq!(fs::read(&taken).unwrap(), b"mine");
}

/// Returns a directory with a copy of the database in `data_dir` and its key.
async fn restored(data_dir: &Path) -> tempfile::TempDir {
    let other = tempfile::tempdir().unwrap();
    Store::copy(data_dir, &other.path().join("innkeep.db")).await.unwrap();
    fs::copy(data_dir.join("secret.key"), other.path().join("secret.key")).unwrap();
    other
}
