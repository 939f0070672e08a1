use std::collections::BTreeMap;

use innkeep_store::{Begins, Error, Moved};
use innkeep_types::limits::MAX_ENDPOINTS;
use innkeep_types::{ErrorKind, RuntimeId, RuntimeStatus};

use crate::fixture::{
    Fixture, at, change, config, endpoint, failed, name, new, new_endpoint, ready, session, token, v,
};

impl Fixture {
    /// Creates a READY endpoint.
    async fn serve(&self, runtime: &RuntimeId, name: &str, version: u32) {
        self.store.create_endpoint(new_endpoint(runtime, name, Some(version))).await.unwrap();
        self.finish_move(runtime, name, Moved::Done).await;
    }

    /// Ends the move that the endpoint is in.
    async fn finish_move(&self, runtime: &RuntimeId, name: &str, moved: Moved) {
        let moving = self.endpoint(runtime, name).await.unwrap();
        assert!(self.store.finish_move(&moving, moved, at(102)).await.unwrap());
    }

    /// Returns live and target version, and status.
    async fn stands(&self, runtime: &RuntimeId, name: &str) -> (Option<u32>, u32, RuntimeStatus) {
        let found = self.endpoint(runtime, name).await.unwrap();
        (found.live.map(|version| version.get()), found.target.get(), found.status)
    }

    /// Returns what new sessions of an endpoint are shared out among.
    async fn shares(&self, runtime: &RuntimeId, name: &str) -> Vec<(u32, u32)> {
        let shares = self.store.resolve(runtime, &endpoint(name)).await.unwrap();
        shares.iter().map(|share| (share.version.version.get(), share.weight)).collect()
    }

    async fn split(&self, runtime: &RuntimeId, name: &str, weights: &[(u32, u32)]) -> Result<(), Error> {
        let weights: BTreeMap<_, _> = weights.iter().map(|(version, weight)| (v(*version), *weight)).collect();
        self.store.split_endpoint(runtime, &endpoint(name), weights, at(103)).await.map(drop)
    }

    async fn delete_version(&self, runtime: &RuntimeId, version: u32) -> Result<(), Error> {
        self.store.begin_delete(runtime, Some(v(version)), None, at(104)).await
    }

    /// Creates a runtime with three versions, READY all.
    async fn three(&self) -> RuntimeId {
        let runtime = self.ready("hello").await;
        self.add(&runtime, ready()).await;
        self.add(&runtime, ready()).await;
        runtime
    }
}

fn no(reason: &str) -> Moved {
    Moved::Failed { reason: reason.to_owned(), log: vec![format!("{reason}?")] }
}

#[tokio::test]
async fn an_endpoint_serves_once_its_version_was_checked() {
    let f = Fixture::new().await;
    let runtime = f.three().await;
    let accepted = f.store.create_endpoint(new_endpoint(&runtime, "prod", Some(2))).await.unwrap();
    assert_eq!(accepted.begins, Begins::Now);
    assert_eq!(f.stands(&runtime, "prod").await, (None, 2, RuntimeStatus::Creating));
    assert_eq!(f.shares(&runtime, "prod").await, []);
    assert_eq!(f.store.unfinished_endpoints(None).await.unwrap(), std::slice::from_ref(&accepted.endpoint));
    let before = f.store.generation();
    f.finish_move(&runtime, "prod", Moved::Done).await;
    assert!(f.store.generation() > before);
    assert_eq!(f.stands(&runtime, "prod").await, (Some(2), 2, RuntimeStatus::Ready));
    assert_eq!(f.shares(&runtime, "prod").await, [(2, 1)]);
    assert!(f.store.unfinished_endpoints(Some(&runtime)).await.unwrap().is_empty());
    let again = f.store.finish_move(&accepted.endpoint, no("port"), at(103)).await.unwrap();
    assert!(!again, "it is at rest");
    assert_eq!(f.stands(&runtime, "prod").await, (Some(2), 2, RuntimeStatus::Ready));
    f.add(&runtime, ready()).await;
    assert_eq!(f.shares(&runtime, "prod").await, [(2, 1)], "it stays until it is moved");
}

#[tokio::test]
async fn the_end_of_a_move_is_not_that_of_a_later_one() {
    let f = Fixture::new().await;
    let runtime = f.three().await;
    let first = f.store.create_endpoint(new_endpoint(&runtime, "prod", Some(1))).await.unwrap().endpoint;
    f.finish_move(&runtime, "prod", Moved::Done).await;
    f.store.update_endpoint(change(&runtime, "prod", Some(2))).await.unwrap();
    assert!(!f.store.finish_move(&first, Moved::Done, at(110)).await.unwrap());
    assert_eq!(f.stands(&runtime, "prod").await, (Some(1), 2, RuntimeStatus::Updating), "nobody checked version 2");
}

#[tokio::test]
async fn an_endpoint_that_could_not_be_created_says_why_and_can_be_tried_again() {
    let f = Fixture::new().await;
    let runtime = f.three().await;
    f.store.create_endpoint(new_endpoint(&runtime, "prod", None)).await.unwrap();
    f.finish_move(&runtime, "prod", no("port")).await;
    assert_eq!(f.stands(&runtime, "prod").await, (None, 3, RuntimeStatus::CreateFailed));
    assert_eq!(f.endpoint(&runtime, "prod").await.unwrap().failure_reason.as_deref(), Some("port"));
    f.store.update_endpoint(change(&runtime, "prod", None)).await.unwrap();
    assert_eq!(f.stands(&runtime, "prod").await, (None, 3, RuntimeStatus::Creating));
    assert_eq!(f.endpoint(&runtime, "prod").await.unwrap().failure_reason, None);
}

#[tokio::test]
async fn what_was_live_serves_while_an_endpoint_moves_and_when_that_fails() {
    let f = Fixture::new().await;
    let runtime = f.three().await;
    f.serve(&runtime, "prod", 1).await;
    let accepted = f.store.update_endpoint(change(&runtime, "prod", Some(2))).await.unwrap();
    assert_eq!((accepted.begins, accepted.endpoint.description.as_deref()), (Begins::Now, Some("for customers")));
    assert_eq!(f.stands(&runtime, "prod").await, (Some(1), 2, RuntimeStatus::Updating));
    assert_eq!(f.shares(&runtime, "prod").await, [(1, 1)]);
    f.finish_move(&runtime, "prod", no("exit")).await;
    assert_eq!(f.stands(&runtime, "prod").await, (Some(1), 2, RuntimeStatus::UpdateFailed));
    assert_eq!(f.shares(&runtime, "prod").await, [(1, 1)]);
    let held = f.delete_version(&runtime, 2).await.unwrap_err();
    assert!(matches!(&held, Error::Targeted(_, _, name) if name.as_str() == "prod"), "{held}");
    assert_eq!(f.endpoint(&runtime, "prod").await.unwrap().failure_log, ["exit?"]);
    // An update of nothing leads back to what serves, at once.
    let back = f.store.update_endpoint(change(&runtime, "prod", None)).await.unwrap();
    assert_eq!((back.begins, back.endpoint.status), (Begins::Never, RuntimeStatus::Ready));
    assert_eq!((back.endpoint.failure_reason, back.endpoint.failure_log), (None, Vec::new()));
    assert_eq!(f.stands(&runtime, "prod").await, (Some(1), 1, RuntimeStatus::Ready));
    f.delete_version(&runtime, 2).await.unwrap();
}

#[tokio::test]
async fn a_version_that_is_made_is_waited_for_and_one_that_cannot_serve_is_refused() {
    let f = Fixture::new().await;
    let runtime = f.ready("hello").await;
    f.add(&runtime, failed()).await;
    let create = |version| f.store.create_endpoint(new_endpoint(&runtime, "prod", version));
    for version in [Some(2), None] {
        let failed = create(version).await.unwrap_err();
        assert_eq!(failed.kind(), ErrorKind::Conflict);
        let says = format!(
            "version 2 of agent runtime {runtime} is UPDATE_FAILED and cannot be served: name a version that is READY"
        );
        assert_eq!(failed.to_string(), says);
    }
    let absent = create(Some(9)).await.unwrap_err();
    assert!(matches!(absent, Error::NoVersion(..)), "{absent}");
    f.store.add_version(&runtime, config(), None, None, at(1)).await.unwrap();
    assert_eq!(create(None).await.unwrap().begins, Begins::WhenMade);
    assert_eq!(f.stands(&runtime, "prod").await, (None, 3, RuntimeStatus::Creating));
}

#[tokio::test]
async fn an_endpoint_is_changed_by_one_at_a_time_and_its_runtime_waits() {
    let f = Fixture::new().await;
    let runtime = f.three().await;
    f.store.create_endpoint(new_endpoint(&runtime, "prod", None)).await.unwrap();
    for refused in [
        f.store.update_endpoint(change(&runtime, "prod", Some(1))).await.map(drop).unwrap_err(),
        f.split(&runtime, "prod", &[(1, 1)]).await.unwrap_err(),
        f.store.begin_delete_endpoint(&runtime, &endpoint("prod"), None, at(1)).await.map(drop).unwrap_err(),
        f.store.begin_delete(&runtime, None, None, at(1)).await.unwrap_err(),
    ] {
        assert!(matches!(refused, Error::EndpointInProgress(_, _, RuntimeStatus::Creating)), "{refused}");
        assert_eq!(refused.kind(), ErrorKind::Conflict);
    }
    f.finish_move(&runtime, "prod", Moved::Done).await;
    f.store.begin_delete(&runtime, None, None, at(1)).await.unwrap();
    assert!(f.store.unfinished_endpoints(None).await.unwrap().is_empty(), "they go with the runtime");
    let going = f.store.create_endpoint(new_endpoint(&runtime, "late", None)).await.unwrap_err();
    assert!(matches!(going, Error::InProgress(_)), "{going}");
    assert_eq!(f.store.begin_delete_endpoint(&runtime, &endpoint("prod"), None, at(1)).await.unwrap(), Begins::Before);
    f.store.finish_delete_endpoint(&runtime, &endpoint("prod")).await.unwrap();
    assert!(f.endpoint(&runtime, "prod").await.is_some(), "the runtime takes it along");
}

#[tokio::test]
async fn default_is_nobodys_to_change() {
    let f = Fixture::new().await;
    let runtime = f.three().await;
    let says = "endpoint DEFAULT follows the newest READY version of its agent runtime; it cannot be created, moved, split or \
                deleted. To go back to an older version, `innkeep rollback hello VERSION` publishes a copy of it";
    for refused in [
        f.store.create_endpoint(new_endpoint(&runtime, "DEFAULT", None)).await.map(drop).unwrap_err(),
        f.store.update_endpoint(change(&runtime, "DEFAULT", Some(1))).await.map(drop).unwrap_err(),
        f.split(&runtime, "DEFAULT", &[(1, 1)]).await.unwrap_err(),
        f.store.begin_delete_endpoint(&runtime, &endpoint("DEFAULT"), None, at(1)).await.map(drop).unwrap_err(),
    ] {
        assert_eq!((refused.to_string().as_str(), refused.kind()), (says, ErrorKind::Conflict));
    }
}

#[tokio::test]
async fn what_is_not_there_is_named() {
    let f = Fixture::new().await;
    let (known, unknown) = (f.ready("hello").await, new("gone").id);
    let create = f.store.create_endpoint(new_endpoint(&unknown, "prod", None)).await.unwrap_err();
    assert!(matches!(create, Error::NoRuntime(_)), "{create}");
    for (runtime, expect) in [(&unknown, "agent runtime"), (&known, "endpoint prod")] {
        for refused in [
            f.store.update_endpoint(change(runtime, "prod", None)).await.map(drop).unwrap_err(),
            f.split(runtime, "prod", &[(1, 1)]).await.unwrap_err(),
            f.store.begin_delete_endpoint(runtime, &endpoint("prod"), None, at(1)).await.map(drop).unwrap_err(),
        ] {
            assert!(refused.to_string().starts_with(expect) && refused.kind() == ErrorKind::NotFound, "{refused}");
        }
    }
    f.serve(&known, "prod", 1).await;
    let taken = f.store.create_endpoint(new_endpoint(&known, "prod", None)).await.unwrap_err();
    assert!(matches!(taken, Error::EndpointTaken(..)), "{taken}");
}

#[tokio::test]
async fn endpoints_have_a_quota() {
    let f = Fixture::new().await;
    let runtime = f.ready("hello").await;
    // DEFAULT counts.
    for n in 1..MAX_ENDPOINTS {
        f.serve(&runtime, &format!("e{n}"), 1).await;
    }
    let error = f.store.create_endpoint(new_endpoint(&runtime, "more", None)).await.unwrap_err();
    assert_eq!(
        (error.kind(), error.to_string().as_str()),
        (ErrorKind::Quota, "quota of endpoints of an agent runtime (max_endpoints) is used up")
    );
}

#[tokio::test]
async fn pages_of_endpoints_neither_skip_nor_repeat_when_a_cursor_is_deleted() {
    let f = Fixture::new().await;
    let runtime = f.ready("hello").await;
    // `A` sorts before DEFAULT, which is first nevertheless.
    for n in ["b", "A", "Z", "c"] {
        f.serve(&runtime, n, 1).await;
    }
    let names = async |after: Option<&str>, limit| -> Vec<String> {
        let page = f.store.page_endpoints(&runtime, after.map(endpoint), limit).await.unwrap();
        page.into_iter().map(|endpoint| endpoint.name.to_string()).collect()
    };
    assert_eq!(names(None, 10).await, ["DEFAULT", "A", "Z", "b", "c"]);
    assert_eq!(names(Some("DEFAULT"), 2).await, ["A", "Z"]);
    f.store.begin_delete_endpoint(&runtime, &endpoint("Z"), None, at(1)).await.unwrap();
    f.store.finish_delete_endpoint(&runtime, &endpoint("Z")).await.unwrap();
    assert_eq!(names(Some("Z"), 2).await, ["b", "c"]);
    assert!(names(Some("c"), 2).await.is_empty());
}

#[tokio::test]
async fn a_split_is_shared_out_at_once_until_the_endpoint_is_moved() {
    let f = Fixture::new().await;
    let runtime = f.three().await;
    f.serve(&runtime, "prod", 1).await;
    let before = f.store.generation();
    f.split(&runtime, "prod", &[(1, 10), (2, 90), (3, 0)]).await.unwrap();
    assert!(f.store.generation() > before);
    assert_eq!(f.shares(&runtime, "prod").await, [(1, 10), (2, 90)]);
    assert_eq!(f.stands(&runtime, "prod").await, (Some(2), 2, RuntimeStatus::Ready), "the heaviest");
    for version in [1, 2] {
        let held = f.delete_version(&runtime, version).await.unwrap_err();
        assert!(matches!(&held, Error::Served(_, _, name) if name.as_str() == "prod"), "{held}");
    }
    let unsaid = f.store.version_before(&runtime, &endpoint("prod")).await.unwrap_err();
    assert!(matches!(unsaid, Error::SplitEndpoint(..)), "{unsaid}");
    // Only a version ends it, once that serves.
    f.store.update_endpoint(change(&runtime, "prod", None)).await.unwrap();
    f.store.update_endpoint(change(&runtime, "prod", Some(3))).await.unwrap();
    assert_eq!(f.shares(&runtime, "prod").await, [(1, 10), (2, 90)]);
    f.finish_move(&runtime, "prod", no("port")).await;
    assert_eq!(f.shares(&runtime, "prod").await, [(1, 10), (2, 90)]);
    f.store.update_endpoint(change(&runtime, "prod", Some(3))).await.unwrap();
    f.finish_move(&runtime, "prod", Moved::Done).await;
    assert_eq!(f.shares(&runtime, "prod").await, [(3, 1)]);

    f.split(&runtime, "prod", &[(1, 5), (2, 0)]).await.unwrap();
    assert!(f.endpoint(&runtime, "prod").await.unwrap().split.is_empty(), "one alone is no split");
    assert_eq!(f.shares(&runtime, "prod").await, [(1, 1)]);
}

#[tokio::test]
async fn a_split_is_among_versions_that_can_serve() {
    let f = Fixture::new().await;
    let runtime = f.three().await;
    f.serve(&runtime, "prod", 1).await;
    f.add(&runtime, failed()).await;
    let failed = f.split(&runtime, "prod", &[(1, 1), (4, 1)]).await.unwrap_err();
    assert!(matches!(failed, Error::NotServable(_, _, RuntimeStatus::UpdateFailed)), "{failed}");
    f.store.add_version(&runtime, config(), None, None, at(1)).await.unwrap();
    let unmade = f.split(&runtime, "prod", &[(1, 1), (5, 1)]).await.unwrap_err();
    assert!(matches!(unmade, Error::NotServable(_, _, RuntimeStatus::Updating)), "{unmade}");
    let absent = f.split(&runtime, "prod", &[(1, 1), (6, 1)]).await.unwrap_err();
    assert!(matches!(absent, Error::NoVersion(..)), "{absent}");
    for nothing in [&[][..], &[(1, 0), (2, 0)][..]] {
        let nothing = f.split(&runtime, "prod", nothing).await.unwrap_err();
        assert_eq!(nothing.kind(), ErrorKind::Validation, "{nothing}");
    }
    assert_eq!(f.shares(&runtime, "prod").await, [(1, 1)]);
}

#[tokio::test]
async fn an_endpoint_goes_in_two_steps_with_its_sessions_and_tokens() {
    let f = Fixture::new().await;
    let runtime = f.ready("hello").await;
    let mut create = new_endpoint(&runtime, "prod", None);
    create.token = token("t", "d");
    let first = f.store.create_endpoint(create.clone()).await.unwrap();
    f.finish_move(&runtime, "prod", Moved::Done).await;
    let again = f.store.create_endpoint(create.clone()).await.unwrap();
    assert_eq!((again.endpoint, again.begins), (first.endpoint, Begins::Before), "as it was then");
    let mut ours = session("hello", 1);
    (ours.key.runtime, ours.key.endpoint) = (runtime.clone(), endpoint("prod"));
    f.store.put_session(ours).await.unwrap();

    let prod = endpoint("prod");
    let delete = |digest: &'static str| f.store.begin_delete_endpoint(&runtime, &prod, token("t", digest), at(1));
    assert_eq!(delete("d").await.unwrap(), Begins::Now);
    assert_eq!(f.shares(&runtime, "prod").await, []);
    let unfinished = f.store.unfinished_endpoints(None).await.unwrap();
    assert_eq!((unfinished.len(), unfinished[0].status), (1, RuntimeStatus::Deleting));
    assert_eq!(f.store.begin_delete_endpoint(&runtime, &prod, None, at(1)).await.unwrap(), Begins::Before);
    f.store.finish_delete_endpoint(&runtime, &prod).await.unwrap();
    assert_eq!(f.endpoint(&runtime, "prod").await, None);
    assert!(f.store.list_sessions(None, false, 10).await.unwrap().is_empty());
    assert_eq!(delete("d").await.unwrap(), Begins::Before);
    assert!(matches!(delete("e").await, Err(Error::TokenMismatch)));

    // A new life: neither token has a say in it.
    assert_eq!(f.store.create_endpoint(create).await.unwrap().begins, Begins::Now);
    f.finish_move(&runtime, "prod", Moved::Done).await;
    assert_eq!(delete("d").await.unwrap(), Begins::Now);
}

#[tokio::test]
async fn tokens_of_updates_are_kept_too() {
    let f = Fixture::new().await;
    let runtime = f.three().await;
    f.serve(&runtime, "prod", 1).await;
    let mut update = change(&runtime, "prod", Some(2));
    update.token = token("t", "d");
    let first = f.store.update_endpoint(update.clone()).await.unwrap();
    f.finish_move(&runtime, "prod", no("port")).await;
    let again = f.store.update_endpoint(update.clone()).await.unwrap();
    assert_eq!((again.endpoint, again.begins), (first.endpoint, Begins::Before));
    update.token = token("t", "e");
    assert!(matches!(f.store.update_endpoint(update).await, Err(Error::TokenMismatch)));
    assert_eq!(f.stands(&runtime, "prod").await, (Some(1), 2, RuntimeStatus::UpdateFailed));
}

#[tokio::test]
async fn a_change_of_settings_is_a_version_that_differs_in_nothing_else() {
    let f = Fixture::new().await;
    let runtime = f.ready("hello").await;
    let settings = innkeep_types::Settings { memory_mib: Some(64), ..Default::default() };
    let added = f.store.change_settings(&runtime, settings.clone(), at(1)).await.unwrap().version;
    assert_eq!((added.version, &added.settings, &added.config), (v(2), &settings, &config()));
    let early = f.store.change_settings(&runtime, settings, at(1)).await.unwrap_err();
    assert!(matches!(early, Error::InProgress(_)), "{early}");
    assert_eq!(f.store.find_runtime(&name("hello")).await.unwrap().unwrap().latest, v(2));
}
