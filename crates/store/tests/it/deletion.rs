use innkeep_store::Error;
use innkeep_types::{ErrorKind, RuntimeStatus};

use crate::fixture::{Fixture, at, config, failed, name, new, ready, session, token, v};

#[tokio::test]
async fn a_runtime_goes_in_two_steps() {
    let f = Fixture::new().await;
    let runtime = f.ready("hello").await;
    f.add(&runtime, ready()).await;
    f.store.begin_delete(&runtime, None, None, at(1)).await.unwrap();
    assert_eq!(f.store.get_runtime(&runtime).await.unwrap().unwrap().status, RuntimeStatus::Deleting);
    assert_eq!(f.store.get_version(&runtime, Some(v(1))).await.unwrap().unwrap().status, RuntimeStatus::Deleting);
    assert_eq!(f.store.list_endpoints(&runtime).await.unwrap()[0].status, RuntimeStatus::Deleting);
    assert_eq!(f.served(&runtime).await, None);
    for error in [
        f.store.begin_delete(&runtime, None, None, at(2)).await.unwrap_err(),
        f.store.begin_delete(&runtime, Some(v(1)), None, at(2)).await.unwrap_err(),
        f.store.add_version(&runtime, config(), None, None, at(2)).await.unwrap_err(),
    ] {
        assert!(matches!(error, Error::InProgress(_)), "{error}");
    }
    let taken = f.store.create_runtime(new("hello")).await.unwrap_err();
    assert!(matches!(taken, Error::NameTaken(_)), "{taken}");

    f.store.finish_delete(&runtime, None).await.unwrap();
    assert_eq!(f.store.get_runtime(&runtime).await.unwrap(), None);
    assert_eq!(f.store.find_runtime(&name("hello")).await.unwrap(), None);
    assert!(f.store.page_versions(&runtime, None, 10).await.unwrap().is_empty());
    assert!(f.store.list_endpoints(&runtime).await.unwrap().is_empty());
    f.ready("hello").await;
}

#[tokio::test]
async fn sessions_of_a_runtime_go_with_it() {
    let f = Fixture::new().await;
    let runtime = f.ready("hello").await;
    let mut ours = session("hello", 1);
    ours.key.runtime = runtime.clone();
    let other = session("other", 1);
    f.store.put_session(ours.clone()).await.unwrap();
    f.store.put_session(other.clone()).await.unwrap();
    f.store.begin_delete(&runtime, None, None, at(1)).await.unwrap();
    assert_eq!(f.store.get_session(&ours.key).await.unwrap(), Some(ours));
    f.store.finish_delete(&runtime, None).await.unwrap();
    assert_eq!(f.store.list_sessions(None, false, 10).await.unwrap(), [other]);
}

#[tokio::test]
async fn nothing_is_deleted_while_a_version_is_made() {
    let f = Fixture::new().await;
    let runtime = f.creating("hello").await;
    for version in [None, Some(v(1))] {
        let error = f.store.begin_delete(&runtime, version, None, at(1)).await.unwrap_err();
        assert!(matches!(error, Error::InProgress(_)), "{error}");
    }
    f.finish(&runtime, 1, failed()).await;
    f.add(&runtime, ready()).await;
    f.store.add_version(&runtime, config(), None, None, at(1)).await.unwrap();
    for version in [None, Some(v(1)), Some(v(3))] {
        let error = f.store.begin_delete(&runtime, version, None, at(1)).await.unwrap_err();
        assert!(matches!(error, Error::InProgress(_)), "{error}");
    }
    f.finish(&runtime, 3, failed()).await;
    f.store.begin_delete(&runtime, Some(v(1)), None, at(1)).await.unwrap();
}

#[tokio::test]
async fn a_version_that_serves_or_is_the_only_one_stays() {
    let f = Fixture::new().await;
    let runtime = f.ready("hello").await;
    let only = f.store.begin_delete(&runtime, Some(v(1)), None, at(1)).await.unwrap_err();
    assert!(matches!(only, Error::OnlyVersion(..)), "{only}");
    assert!(only.to_string().contains("delete the agent runtime instead"), "{only}");
    f.add(&runtime, failed()).await;
    let served = f.store.begin_delete(&runtime, Some(v(1)), None, at(1)).await.unwrap_err();
    assert!(matches!(&served, Error::Served(_, _, endpoint) if endpoint.as_str() == "DEFAULT"), "{served}");
    assert_eq!((only.kind(), served.kind()), (ErrorKind::Conflict, ErrorKind::Conflict));
    let unknown = f.store.begin_delete(&runtime, Some(v(9)), None, at(1)).await.unwrap_err();
    assert!(matches!(unknown, Error::NoVersion(..)), "{unknown}");
    let unknown = f.store.begin_delete(&new("gone").id, None, None, at(1)).await.unwrap_err();
    assert!(matches!(unknown, Error::NoRuntime(_)), "{unknown}");
}

#[tokio::test]
async fn a_version_on_its_way_out_does_not_count_as_another() {
    let f = Fixture::new().await;
    let runtime = f.creating("hello").await;
    f.finish(&runtime, 1, failed()).await;
    f.add(&runtime, failed()).await;
    f.store.begin_delete(&runtime, Some(v(2)), None, at(1)).await.unwrap();
    let twice = f.store.begin_delete(&runtime, Some(v(2)), None, at(1)).await.unwrap_err();
    assert!(matches!(twice, Error::InProgress(_)), "{twice}");
    let last = f.store.begin_delete(&runtime, Some(v(1)), None, at(1)).await.unwrap_err();
    assert!(matches!(last, Error::OnlyVersion(..)), "{last}");
    f.store.finish_delete(&runtime, Some(v(2))).await.unwrap();
    let default = f.store.list_endpoints(&runtime).await.unwrap().remove(0);
    assert_eq!((default.live, default.target), (None, v(1)), "it aimed at the version that went");
}

#[tokio::test]
async fn the_number_of_a_deleted_version_is_not_given_again() {
    let f = Fixture::new().await;
    let runtime = f.ready("hello").await;
    let newest = f.add(&runtime, failed()).await;
    f.store.begin_delete(&runtime, Some(newest), None, at(1)).await.unwrap();
    assert_eq!(f.store.get_runtime(&runtime).await.unwrap().unwrap().status, RuntimeStatus::Deleting);
    f.store.finish_delete(&runtime, Some(newest)).await.unwrap();
    let record = f.store.get_runtime(&runtime).await.unwrap().unwrap();
    assert_eq!((record.latest, record.status), (v(1), RuntimeStatus::Ready));
    assert_eq!(f.add(&runtime, ready()).await, v(3));
}

#[tokio::test]
async fn only_what_is_marked_is_removed() {
    let f = Fixture::new().await;
    let runtime = f.ready("hello").await;
    f.add(&runtime, ready()).await;
    f.store.finish_delete(&runtime, None).await.unwrap();
    f.store.finish_delete(&runtime, Some(v(1))).await.unwrap();
    assert_eq!(f.store.page_versions(&runtime, None, 10).await.unwrap().len(), 2);
    f.store.finish_delete(&new("gone").id, None).await.unwrap();
}

#[tokio::test]
async fn what_a_dead_server_left_can_be_found_and_ended() {
    let f = Fixture::new().await;
    let making = f.creating("making").await;
    let partly = f.ready("partly").await;
    f.add(&partly, ready()).await;
    f.store.begin_delete(&partly, Some(v(1)), None, at(1)).await.unwrap();
    let wholly = f.ready("wholly").await;
    f.add(&wholly, ready()).await;
    f.store.begin_delete(&wholly, None, None, at(1)).await.unwrap();

    let unfinished = f.store.unfinished().await.unwrap();
    assert_eq!(unfinished.len(), 4);
    for record in unfinished {
        match record.status {
            RuntimeStatus::Deleting => f.store.finish_delete(&record.runtime, Some(record.version)).await.unwrap(),
            _ => f.finish(&record.runtime, record.version.get(), failed()).await,
        }
    }
    assert!(f.store.unfinished().await.unwrap().is_empty());
    assert_eq!(f.store.get_runtime(&making).await.unwrap().unwrap().status, RuntimeStatus::CreateFailed);
    assert_eq!(f.store.page_versions(&partly, None, 10).await.unwrap().len(), 1);
    assert_eq!(f.store.get_runtime(&wholly).await.unwrap(), None);
}

#[tokio::test]
async fn a_repeated_delete_is_accepted() {
    let f = Fixture::new().await;
    let runtime = f.ready("hello").await;
    let delete = |digest: &'static str, ms| f.store.begin_delete(&runtime, None, token("t", digest), at(ms));
    delete("d", 1).await.unwrap();
    delete("d", 2).await.unwrap();
    f.store.finish_delete(&runtime, None).await.unwrap();
    delete("d", 3).await.unwrap();
    assert!(matches!(delete("other", 4).await, Err(Error::TokenMismatch)));
    assert!(matches!(f.store.begin_delete(&runtime, None, token("u", "d"), at(5)).await, Err(Error::NoRuntime(_))));
}
