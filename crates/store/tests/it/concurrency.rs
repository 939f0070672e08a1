use std::pin::Pin;
use std::task::{Context, Waker};
use std::time::Duration;

use innkeep_store::Error;
use tokio::task::JoinSet;

use crate::fixture::{Fixture, new, session};

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_creates_of_one_name_exactly_one_wins() {
    let f = Fixture::new().await;
    let mut creates = JoinSet::new();
    for _ in 0..100 {
        let store = f.store.clone();
        creates.spawn(async move { store.create_runtime(new("hello")).await });
    }
    let (won, lost): (Vec<_>, Vec<_>) = creates.join_all().await.into_iter().partition(Result::is_ok);
    assert_eq!((won.len(), lost.len()), (1, 99));
    assert!(lost.iter().all(|result| matches!(result, Err(Error::NameTaken(_)))));
    assert_eq!(f.store.list_runtimes(None, 10).await.unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn more_writes_than_the_queue_holds_wait_and_each_is_read_back_at_once() {
    let f = Fixture::new().await;
    let mut writes = JoinSet::new();
    for n in 0..1000 {
        let store = f.store.clone();
        writes.spawn(async move {
            let record = session("hello", n);
            store.put_session(record.clone()).await.unwrap();
            assert_eq!(store.get_session(&record.key).await.unwrap(), Some(record));
        });
    }
    writes.join_all().await;
    assert_eq!(f.store.list_sessions(None, false, 2000).await.unwrap().len(), 1000);
}

#[tokio::test]
async fn close_finishes_what_is_queued_and_refuses_what_comes_after() {
    let f = Fixture::new().await;
    let writes: Vec<_> = (0..50).map(|n| queued(f.store.put_session(session("hello", n)))).collect();
    f.store.close().await.unwrap();
    for write in writes {
        write.await.unwrap();
    }
    assert!(matches!(f.store.put_session(session("hello", 100)).await, Err(Error::Closed)));
    assert!(matches!(f.store.list_sessions(None, false, 10).await, Err(Error::Closed)));
    f.store.close().await.unwrap();
    assert!(!f.database().with_extension("db-wal").exists());
}

#[tokio::test]
async fn the_writer_ends_with_the_last_handle() {
    let Fixture { store, dir } = Fixture::new().await;
    let other = store.clone();
    drop(store);
    other.put_session(session("hello", 1)).await.unwrap();
    other.list_sessions(None, true, 1).await.unwrap();
    drop(other);
    // The last connection that closes removes the log.
    let log = dir.path().join("innkeep.db-wal");
    tokio::time::timeout(Duration::from_secs(10), async {
        while log.exists() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn a_write_whose_caller_goes_away_is_done() {
    let f = Fixture::new().await;
    let record = session("hello", 1);
    drop(queued(f.store.put_session(record.clone())));
    f.store.put_session(session("hello", 2)).await.unwrap();
    assert_eq!(f.store.get_session(&record.key).await.unwrap(), Some(record));
}

/// Polls a write once, which queues it: the queue has room.
fn queued<T>(write: impl Future<Output = T>) -> Pin<Box<impl Future<Output = T>>> {
    let mut write = Box::pin(write);
    assert!(write.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    write
}
