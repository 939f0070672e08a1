use innkeep_store::{Accepted, Error, NewRuntime};
use innkeep_types::ErrorKind;

use crate::fixture::{Fixture, at, config, failed, new, ready, token, v};

const DAY_MS: i64 = 24 * 60 * 60 * 1000;

fn with_token(name: &str, digest: &str, ms: i64) -> NewRuntime {
    NewRuntime { token: token("t", digest), at: at(ms), ..new(name) }
}

/// The first answer again, without what is sealed.
fn again(first: &Accepted) -> Accepted {
    let mut version = first.version.clone();
    version.config.environment.clear();
    Accepted { version, replayed: true }
}

#[tokio::test]
async fn a_repeated_create_gets_the_first_answer() {
    let f = Fixture::new().await;
    let first = f.store.create_runtime(with_token("hello", "d", 0)).await.unwrap();
    assert!(!first.replayed);
    let replay = again(&first);
    assert_eq!(f.store.create_runtime(with_token("hello", "d", 1)).await.unwrap(), replay);
    // Whatever has become of it since.
    f.finish(&first.version.runtime, 1, failed()).await;
    assert_eq!(f.store.create_runtime(with_token("hello", "d", 2)).await.unwrap(), replay);
    f.add(&first.version.runtime, ready()).await;
    assert_eq!(f.store.create_runtime(with_token("hello", "d", 3)).await.unwrap(), replay);
    // Even of the version itself.
    f.store.begin_delete(&first.version.runtime, Some(v(1)), None, at(4)).await.unwrap();
    f.store.finish_delete(&first.version.runtime, Some(v(1))).await.unwrap();
    assert_eq!(f.store.create_runtime(with_token("hello", "d", 5)).await.unwrap(), replay);
    assert_eq!(f.store.list_runtimes(None, 10).await.unwrap().len(), 1);
}

#[tokio::test]
async fn nothing_secret_is_kept_with_a_token() {
    let f = Fixture::new().await;
    f.store.create_runtime(with_token("hello", "d", 0)).await.unwrap();
    f.store.close().await.unwrap();
    let database = std::fs::read(f.database()).unwrap();
    assert!(!database.windows(15).any(|bytes| bytes == b"hunter2-hunter2"));
}

#[tokio::test]
async fn a_repeated_update_gets_the_first_answer() {
    let f = Fixture::new().await;
    let runtime = f.ready("hello").await;
    let update = |digest: &'static str, ms| f.store.add_version(&runtime, config(), None, token("t", digest), at(ms));
    let first = update("d", 1).await.unwrap();
    let replay = again(&first);
    assert_eq!(update("d", 2).await.unwrap(), replay, "and not a conflict with itself");
    f.finish(&runtime, 2, ready()).await;
    assert_eq!(update("d", 3).await.unwrap(), replay);
    assert_eq!(f.store.get_runtime(&runtime).await.unwrap().unwrap().latest, v(2));
    assert!(matches!(update("other", 4).await, Err(Error::TokenMismatch)));
}

#[tokio::test]
async fn a_token_with_other_parameters_is_refused() {
    let f = Fixture::new().await;
    f.store.create_runtime(with_token("hello", "d", 0)).await.unwrap();
    let error = f.store.create_runtime(with_token("other", "e", 1)).await.unwrap_err();
    assert!(matches!(error, Error::TokenMismatch), "{error}");
    assert_eq!(error.kind(), ErrorKind::Validation);
}

#[tokio::test]
async fn tokens_of_other_operations_and_runtimes_are_strangers() {
    let f = Fixture::new().await;
    let a = f.store.create_runtime(with_token("a", "d", 0)).await.unwrap().version.runtime;
    f.finish(&a, 1, ready()).await;
    let b = f.ready("b").await;
    for runtime in [&a, &b] {
        let accepted = f.store.add_version(runtime, config(), None, token("t", "e"), at(1)).await.unwrap();
        assert!(!accepted.replayed);
        f.finish(runtime, 2, ready()).await;
        f.store.begin_delete(runtime, None, token("t", "f"), at(2)).await.unwrap();
    }
}

#[tokio::test]
async fn a_token_is_forgotten_after_a_day() {
    let f = Fixture::new().await;
    f.store.create_runtime(with_token("hello", "d", 0)).await.unwrap();
    assert!(f.store.create_runtime(with_token("hello", "d", DAY_MS - 1)).await.unwrap().replayed);
    let error = f.store.create_runtime(with_token("hello", "d", DAY_MS)).await.unwrap_err();
    assert!(matches!(error, Error::NameTaken(_)), "{error}");
    assert!(!f.store.create_runtime(with_token("other", "e", DAY_MS)).await.unwrap().replayed);
}

#[tokio::test]
async fn a_request_that_was_refused_does_not_use_its_token_up() {
    let f = Fixture::new().await;
    f.ready("hello").await;
    assert!(matches!(f.store.create_runtime(with_token("hello", "d", 0)).await, Err(Error::NameTaken(_))));
    assert!(!f.store.create_runtime(with_token("other", "e", 1)).await.unwrap().replayed);
}

#[tokio::test]
async fn what_is_deleted_can_be_made_again_with_the_same_token() {
    let f = Fixture::new().await;
    let runtime = f.store.create_runtime(with_token("hello", "d", 0)).await.unwrap().version.runtime;
    f.finish(&runtime, 1, ready()).await;
    f.store.begin_delete(&runtime, None, None, at(1)).await.unwrap();
    f.store.finish_delete(&runtime, None).await.unwrap();
    let again = f.store.create_runtime(with_token("hello", "d", 2)).await.unwrap();
    assert!(!again.replayed && again.version.runtime != runtime);
}
