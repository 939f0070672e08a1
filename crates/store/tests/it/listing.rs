use innkeep_store::NewRuntime;
use innkeep_types::RuntimeId;

use crate::fixture::{Fixture, at, failed, new, ready, v};

async fn create(f: &Fixture, name: &str, ms: i64) -> RuntimeId {
    let created = f.store.create_runtime(NewRuntime { at: at(ms), ..new(name) }).await.unwrap();
    created.version.runtime
}

#[tokio::test]
async fn runtimes_are_listed_by_creation_with_their_newest_version() {
    let f = Fixture::new().await;
    let late = create(&f, "a", 2).await;
    let early = create(&f, "b", 1).await;
    f.finish(&late, 1, ready()).await;
    f.add(&late, failed()).await;
    let listed = f.store.list_runtimes(None, 10).await.unwrap();
    let listed: Vec<_> = listed.into_iter().map(|record| (record.runtime, record.version)).collect();
    assert_eq!(listed, [(early, v(1)), (late, v(2))]);
}

#[tokio::test]
async fn pages_of_runtimes_neither_skip_nor_repeat_even_when_a_cursor_is_deleted() {
    let f = Fixture::new().await;
    let mut created = Vec::new();
    for i in 0..7 {
        // Two of each time: the id decides between them.
        let runtime = create(&f, &format!("r{i}"), i / 2).await;
        f.finish(&runtime, 1, failed()).await;
        created.push((at(i / 2), runtime));
    }
    created.sort();
    let (mut after, mut seen) = (None, Vec::new());
    loop {
        let page = f.store.page_runtimes(after, 3).await.unwrap();
        let Some(last) = page.last() else { break };
        after = Some((last.created_at, last.runtime.clone()));
        for record in page {
            f.store.begin_delete(&record.runtime, None, None, at(9)).await.unwrap();
            f.store.finish_delete(&record.runtime, None).await.unwrap();
            seen.push((record.created_at, record.runtime));
        }
    }
    assert_eq!(seen, created);
}

#[tokio::test]
async fn versions_are_listed_newest_first() {
    let f = Fixture::new().await;
    let runtime = f.ready("hello").await;
    for _ in 0..4 {
        f.add(&runtime, ready()).await;
    }
    let numbers = async |before, limit| -> Vec<u32> {
        let listed = f.store.page_versions(&runtime, before, limit).await.unwrap();
        listed.into_iter().map(|record| record.version.get()).collect()
    };
    assert_eq!(numbers(None, 2).await, [5, 4]);
    assert_eq!(numbers(Some(v(4)), 2).await, [3, 2]);
    assert_eq!(numbers(Some(v(2)), 2).await, [1]);
    assert!(numbers(Some(v(1)), 2).await.is_empty());
}
