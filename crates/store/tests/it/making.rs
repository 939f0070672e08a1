use innkeep_store::{Deployed, EndpointRecord, Error};
use innkeep_types::limits::{MAX_RUNTIMES, MAX_VERSIONS};
use innkeep_types::{EndpointName, ErrorKind, HealthCheck, RuntimeId, RuntimeStatus, RuntimeVersion, Settings};

use crate::fixture::{Fixture, at, bundle, config, failed, new, ready, v};

async fn default_of(f: &Fixture, runtime: &RuntimeId) -> (Option<u32>, u32, RuntimeStatus) {
    let EndpointRecord { live, target, status, .. } = f.store.list_endpoints(runtime).await.unwrap().remove(0);
    (live.map(|version| version.get()), target.get(), status)
}

async fn status_of(f: &Fixture, runtime: &RuntimeId) -> RuntimeStatus {
    f.store.get_runtime(runtime).await.unwrap().unwrap().status
}

#[tokio::test]
async fn a_runtime_begins_with_version_1_and_default_in_creating() {
    let f = Fixture::new().await;
    let asked = new("hello");
    let accepted = f.store.create_runtime(asked.clone()).await.unwrap();
    assert!(!accepted.replayed);
    let version = accepted.version;
    assert_eq!((&version.runtime, &version.name, version.version), (&asked.id, &asked.name, v(1)));
    assert_eq!((&version.config, &version.settings), (&asked.config, &asked.settings));
    assert_eq!((version.status, version.created_at, version.updated_at), (RuntimeStatus::Creating, at(0), at(0)));
    assert_eq!((version.failure_reason.as_ref(), version.failure_log.len(), version.bundle.as_ref()), (None, 0, None));
    assert_eq!(f.store.get_version(&asked.id, None).await.unwrap(), Some(version.clone()));
    assert_eq!(f.store.get_version(&asked.id, Some(v(1))).await.unwrap(), Some(version));
    assert_eq!(f.store.get_version(&asked.id, Some(v(2))).await.unwrap(), None);

    let runtime = f.store.get_runtime(&asked.id).await.unwrap().unwrap();
    assert_eq!((&runtime.id, &runtime.name, runtime.latest), (&asked.id, &asked.name, v(1)));
    assert_eq!((runtime.status, &runtime.tags), (RuntimeStatus::Creating, &asked.tags));
    assert_eq!(f.store.find_runtime(&asked.name).await.unwrap(), Some(runtime));

    assert_eq!(default_of(&f, &asked.id).await, (None, 1, RuntimeStatus::Creating));
    assert_eq!(f.served(&asked.id).await, None);
}

#[tokio::test]
async fn default_moves_to_a_version_that_is_ready() {
    let f = Fixture::new().await;
    let runtime = f.creating("hello").await;
    f.store.finish_version(&runtime, v(1), ready(), at(5)).await.unwrap();
    let version = f.store.get_version(&runtime, None).await.unwrap().unwrap();
    assert_eq!((version.status, version.bundle, version.updated_at), (RuntimeStatus::Ready, Some(bundle()), at(5)));
    assert_eq!(default_of(&f, &runtime).await, (Some(1), 1, RuntimeStatus::Ready));
    assert_eq!(f.store.get_runtime(&runtime).await.unwrap().unwrap().updated_at, at(5));

    let accepted = f.store.add_version(&runtime, config(), None, None, at(6)).await.unwrap();
    assert_eq!((accepted.version.version, accepted.version.status), (v(2), RuntimeStatus::Updating));
    assert_eq!(status_of(&f, &runtime).await, RuntimeStatus::Updating);
    assert_eq!(default_of(&f, &runtime).await, (Some(1), 2, RuntimeStatus::Updating));
    assert_eq!(f.served(&runtime).await, Some(1), "the old version serves while the new one is made");

    f.finish(&runtime, 2, ready()).await;
    assert_eq!(default_of(&f, &runtime).await, (Some(2), 2, RuntimeStatus::Ready));
    assert_eq!(f.served(&runtime).await, Some(2));
    let other = EndpointName::parse("prod").unwrap();
    assert!(f.store.resolve(&runtime, &other).await.unwrap().is_empty());
}

#[tokio::test]
async fn default_stays_when_a_version_fails() {
    let f = Fixture::new().await;
    let runtime = f.ready("hello").await;
    f.add(&runtime, failed()).await;
    let version = f.store.get_version(&runtime, None).await.unwrap().unwrap();
    assert_eq!(version.status, RuntimeStatus::UpdateFailed);
    assert_eq!(version.failure_reason.as_deref(), Some("exit code 3"));
    assert_eq!(version.failure_log, ["Traceback"]);
    assert_eq!(status_of(&f, &runtime).await, RuntimeStatus::UpdateFailed);
    assert_eq!(default_of(&f, &runtime).await, (Some(1), 1, RuntimeStatus::Ready));
    assert_eq!(f.served(&runtime).await, Some(1));
}

#[tokio::test]
async fn default_waits_for_the_first_version_that_is_ready() {
    let f = Fixture::new().await;
    let runtime = f.creating("hello").await;
    f.finish(&runtime, 1, failed()).await;
    assert_eq!(status_of(&f, &runtime).await, RuntimeStatus::CreateFailed);
    assert_eq!(default_of(&f, &runtime).await, (None, 1, RuntimeStatus::CreateFailed));
    f.store.add_version(&runtime, config(), None, None, at(1)).await.unwrap();
    assert_eq!(default_of(&f, &runtime).await, (None, 2, RuntimeStatus::Creating));
    f.finish(&runtime, 2, failed()).await;
    assert_eq!(default_of(&f, &runtime).await, (None, 2, RuntimeStatus::CreateFailed));
    f.add(&runtime, ready()).await;
    assert_eq!(default_of(&f, &runtime).await, (Some(3), 3, RuntimeStatus::Ready));
}

#[tokio::test]
async fn one_version_is_made_at_a_time() {
    let f = Fixture::new().await;
    let runtime = f.creating("hello").await;
    let error = f.store.add_version(&runtime, config(), None, None, at(1)).await.unwrap_err();
    assert!(matches!(&error, Error::InProgress(id) if *id == runtime), "{error}");
    assert_eq!(error.kind(), ErrorKind::Conflict);
    f.finish(&runtime, 1, ready()).await;
    let again = f.store.finish_version(&runtime, v(1), failed(), at(2)).await.unwrap_err();
    assert!(matches!(again, Error::NotInProgress(..)), "{again}");
    assert_eq!(status_of(&f, &runtime).await, RuntimeStatus::Ready);
}

#[tokio::test]
async fn what_is_not_there_cannot_change() {
    let f = Fixture::new().await;
    let (known, unknown) = (f.ready("hello").await, new("gone").id);
    let error = f.store.add_version(&unknown, config(), None, None, at(1)).await.unwrap_err();
    assert!(matches!(error, Error::NoRuntime(_)), "{error}");
    assert_eq!(error.kind(), ErrorKind::NotFound);
    for (runtime, version) in [(&unknown, 1), (&known, 2)] {
        let error = f.store.finish_version(runtime, v(version), ready(), at(1)).await.unwrap_err();
        assert!(matches!(error, Error::NoVersion(..)), "{error}");
    }
    assert_eq!(f.store.get_runtime(&unknown).await.unwrap(), None);
    assert!(f.store.list_endpoints(&unknown).await.unwrap().is_empty());
}

#[tokio::test]
async fn an_update_keeps_platform_version_and_settings_that_it_omits_and_nothing_else() {
    let f = Fixture::new().await;
    let mut asked = new("hello");
    asked.config.platform_version = Some("V2".to_owned());
    asked.settings.health = Some(HealthCheck::Tcp);
    let runtime = f.store.create_runtime(asked).await.unwrap().version.runtime;
    f.finish(&runtime, 1, ready()).await;

    let mut bare = config();
    bare.description = None;
    bare.environment.clear();
    let second = f.store.add_version(&runtime, bare, None, None, at(1)).await.unwrap().version;
    assert_eq!(second.config.platform_version.as_deref(), Some("V2"));
    assert_eq!(second.settings.health, Some(HealthCheck::Tcp));
    assert_eq!((second.config.description, second.config.environment.len()), (None, 0));
    f.finish(&runtime, 2, ready()).await;

    let mut other = config();
    other.platform_version = Some("V1".to_owned());
    let third = f.store.add_version(&runtime, other, Some(Settings::default()), None, at(1)).await.unwrap().version;
    assert_eq!(third.config.platform_version.as_deref(), Some("V1"));
    assert_eq!(third.settings, Settings::default());
}

#[tokio::test]
async fn what_versions_are_made_of_is_known_as_long_as_they_are() {
    let f = Fixture::new().await;
    let runtime = f.ready("hello").await;
    let second = f.store.add_version(&runtime, config(), None, None, at(1)).await.unwrap().version.version;
    let deployed =
        |version, bundle| Deployed { runtime: "hello".parse().unwrap(), version, artifact: config().artifact, bundle };
    let first = deployed(RuntimeVersion::FIRST, Some(bundle()));
    assert_eq!(f.store.deployed().await.unwrap(), [first.clone(), deployed(second, None)]);
    f.finish(&runtime, second.get(), failed()).await;
    f.store.begin_delete(&runtime, Some(second), None, at(2)).await.unwrap();
    f.store.finish_delete(&runtime, Some(second)).await.unwrap();
    assert_eq!(f.store.deployed().await.unwrap(), [first]);
}

#[tokio::test]
async fn names_are_unique() {
    let f = Fixture::new().await;
    f.ready("hello").await;
    let error = f.store.create_runtime(new("hello")).await.unwrap_err();
    assert!(matches!(&error, Error::NameTaken(name) if name.as_str() == "hello"), "{error}");
    assert_eq!(error.kind(), ErrorKind::Conflict);
}

#[tokio::test]
async fn runtimes_have_a_quota() {
    let f = Fixture::new().await;
    f.sql(&format!(
        "WITH RECURSIVE n(i) AS (SELECT 2 UNION ALL SELECT i + 1 FROM n WHERE i < {MAX_RUNTIMES})
         INSERT INTO runtime SELECT 'r' || i, 'r' || i, '{{}}', 1, 0, 0, 0 FROM n"
    ));
    f.creating("last").await;
    let error = f.store.create_runtime(new("one_more")).await.unwrap_err();
    assert_eq!(
        (error.kind(), error.to_string().as_str()),
        (ErrorKind::Quota, "quota of agent runtimes (max_runtimes) is used up")
    );
}

#[tokio::test]
async fn versions_have_a_quota() {
    let f = Fixture::new().await;
    let runtime = f.ready("hello").await;
    f.sql(&format!("UPDATE runtime SET next_version = {MAX_VERSIONS}"));
    f.add(&runtime, ready()).await;
    // All but one of the numbers between the first and the newest.
    f.sql(&format!(
        "WITH RECURSIVE n(i) AS (SELECT 2 UNION ALL SELECT i + 1 FROM n WHERE i < {MAX_VERSIONS} - 2)
         INSERT INTO version SELECT runtime, i, status, config, environment, settings, NULL, '[]', bundle, 0
         FROM version, n WHERE version = 1"
    ));
    f.add(&runtime, ready()).await;
    let error = f.store.add_version(&runtime, config(), None, None, at(1)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Quota, "{error}");
}

#[tokio::test]
async fn generation_rises_with_what_resolve_may_answer_and_with_nothing_else() {
    let f = Fixture::new().await;
    let generation = || f.store.generation();
    let runtime = f.creating("hello").await;
    let created = generation();
    f.finish(&runtime, 1, ready()).await;
    let first = generation();
    assert!(first > created);
    f.add(&runtime, failed()).await;
    f.store.put_session(crate::fixture::session("hello", 1)).await.unwrap();
    assert_eq!(generation(), first);
    f.add(&runtime, ready()).await;
    let third = generation();
    assert_eq!(Some(*f.store.generations().borrow()), third, "who waits for a change sees the same");
    assert!(third > first);
    f.store.begin_delete(&runtime, None, None, at(1)).await.unwrap();
    let deleting = generation();
    assert!(deleting > third);
    f.store.finish_delete(&runtime, None).await.unwrap();
    assert!(generation() > deleting);
}

#[tokio::test]
async fn a_copy_is_what_the_old_version_was_down_to_the_bundle() {
    let f = Fixture::new().await;
    let runtime = f.ready("hello").await;
    let default = EndpointName::default_endpoint();
    let refused = f.store.version_before(&runtime, &default).await.unwrap_err();
    assert!(matches!(refused, Error::NothingBefore(..)) && refused.kind() == ErrorKind::NotFound, "{refused}");
    f.add(&runtime, failed()).await;
    let mut other = config();
    other.platform_version = Some("V2".to_owned());
    other.environment.insert("COLOUR".to_owned(), "red".to_owned());
    let settings = Settings { health: Some(HealthCheck::Tcp), ..Settings::default() };
    f.store.add_version(&runtime, other, Some(settings), None, at(5)).await.unwrap();
    let early = f.store.copy_version(&runtime, v(1), at(6)).await.unwrap_err();
    assert!(matches!(early, Error::InProgress(_)), "{early}");
    f.finish(&runtime, 3, ready()).await;
    assert_eq!(f.store.version_before(&runtime, &default).await.unwrap(), v(1), "2 failed");

    let refused = f.store.copy_version(&runtime, v(2), at(6)).await.unwrap_err();
    assert!(matches!(refused, Error::NotServable(..)), "{refused}");
    let refused = f.store.copy_version(&runtime, v(9), at(6)).await.unwrap_err();
    assert!(matches!(refused, Error::NoVersion(..)), "{refused}");

    let old = f.store.get_version(&runtime, Some(v(1))).await.unwrap().unwrap();
    let copy = f.store.copy_version(&runtime, v(1), at(7)).await.unwrap().version;
    assert_eq!((copy.version, copy.status), (v(4), RuntimeStatus::Updating));
    assert_eq!((&copy.config, &copy.settings, &copy.bundle), (&old.config, &old.settings, &Some(bundle())));
    // What a server that was killed meanwhile takes up.
    assert_eq!(f.store.unfinished().await.unwrap(), [copy]);
    assert_eq!(default_of(&f, &runtime).await, (Some(3), 4, RuntimeStatus::Updating));
}
