use innkeep_store::{AccessKey, PoolMemberRecord, SandboxFilter};
use innkeep_types::{AgentExit, EndpointName, SandboxId, StopReason, Tier, UnixMillis};

use crate::fixture::{Fixture, at, session, v};

fn key(id: &str, secret: &str) -> AccessKey {
    AccessKey { operator: id == "AKIAROOT", ..AccessKey::new(id, secret, "someone", at(0)) }
}

fn full_key(id: &str) -> AccessKey {
    AccessKey {
        policies: vec!["invoker".to_owned(), r#"{"Statement": []}"#.to_owned()],
        description: Some("of the build".to_owned()),
        active: false,
        expires_at: Some(at(9)),
        last_used_at: Some(at(5)),
        replaced_by: Some("AKIANEXT".to_owned()),
        ..key(id, "two")
    }
}

#[tokio::test]
async fn access_keys_are_kept_replaced_and_removed() {
    let f = Fixture::new().await;
    let (root, user) = (key("AKIAROOT", "one"), full_key("AKIAUSER"));
    f.store.put_access_keys(vec![user.clone(), root.clone()]).await.unwrap();
    assert_eq!(f.store.list_access_keys().await.unwrap(), [root.clone(), user]);
    f.store.put_access_keys(vec![key("AKIAUSER", "three")]).await.unwrap();
    assert_eq!(f.store.list_access_keys().await.unwrap(), [root.clone(), key("AKIAUSER", "three")]);
    assert!(f.store.delete_access_key("AKIAUSER").await.unwrap());
    assert!(!f.store.delete_access_key("AKIAUSER").await.unwrap());
    assert_eq!(f.store.list_access_keys().await.unwrap(), [root]);
}

#[tokio::test]
async fn the_last_use_is_recorded_of_keys_that_are_there() {
    let f = Fixture::new().await;
    f.store.put_access_keys(vec![full_key("AKIA1"), key("AKIA2", "two")]).await.unwrap();
    let used = ["AKIA1", "AKIA2", "AKIAGONE"].map(|id| (id.to_owned(), at(7))).to_vec();
    f.store.touch_access_keys(used).await.unwrap();
    let touched = |key| AccessKey { last_used_at: Some(at(7)), ..key };
    assert_eq!(f.store.list_access_keys().await.unwrap(), [touched(full_key("AKIA1")), touched(key("AKIA2", "two"))]);
}

#[tokio::test]
async fn a_session_has_the_record_that_was_put_last() {
    let f = Fixture::new().await;
    let live = session("hello", 1);
    assert_eq!(f.store.get_session(&live.key).await.unwrap(), None);
    f.store.put_session(live.clone()).await.unwrap();
    assert_eq!(f.store.get_session(&live.key).await.unwrap(), Some(live.clone()));
    for reason in [
        StopReason::IdleTimeout,
        StopReason::AgentExited { exit: AgentExit::Code(3) },
        StopReason::StartFailed { detail: "no /ping".to_owned() },
    ] {
        let mut stopped = live.clone();
        stopped.stopped = Some((at(9), reason));
        f.store.put_session(stopped.clone()).await.unwrap();
        assert_eq!(f.store.get_session(&live.key).await.unwrap(), Some(stopped));
    }
}

#[tokio::test]
async fn a_session_of_which_no_request_is_known_has_none() {
    let f = Fixture::new().await;
    let record = innkeep_store::SessionRecord { started_by: None, ..session("hello", 1) };
    f.store.put_session(record.clone()).await.unwrap();
    assert_eq!(f.store.get_session(&record.key).await.unwrap(), Some(record));
}

#[tokio::test]
async fn sessions_are_listed_newest_first() {
    let f = Fixture::new().await;
    for n in 0..6 {
        let mut record = session(if n % 2 == 0 { "even" } else { "odd" }, n);
        record.stopped = (n < 3).then_some((at(9), StopReason::StoppedByCaller));
        f.store.put_session(record).await.unwrap();
    }
    let even = session("even", 0).key.runtime;
    let started = async |runtime, live_only, limit| -> Vec<i64> {
        let listed = f.store.list_sessions(runtime, live_only, limit).await.unwrap();
        listed.into_iter().map(|record| record.started_at.0 - at(0).0).collect()
    };
    assert_eq!(started(None, false, 100).await, [5, 4, 3, 2, 1, 0]);
    assert_eq!(started(None, false, 2).await, [5, 4]);
    assert_eq!(started(None, true, 100).await, [5, 4, 3]);
    assert_eq!(started(Some(&even), false, 100).await, [4, 2, 0]);
    assert_eq!(started(Some(&even), true, 100).await, [4]);
}

#[tokio::test]
async fn sessions_that_ended_before_a_time_are_forgotten_and_those_with_a_sandbox_never() {
    let f = Fixture::new().await;
    let ended = |at_ms| Some((at(at_ms), StopReason::IdleTimeout));
    let (mut old, mut new, living, mut again) = (session("a", 1), session("b", 2), session("c", 3), session("d", 4));
    (old.stopped, new.stopped, again.stopped) = (ended(5), ended(7), ended(5));
    for record in [&old, &new, &living, &again] {
        f.store.put_session(record.clone()).await.unwrap();
    }
    // The id of one that ended long ago was used again.
    again.stopped = None;
    f.store.put_session(again.clone()).await.unwrap();
    assert_eq!(f.store.forget_sessions(at(7)).await.unwrap(), 1);
    assert_eq!(f.store.get_session(&old.key).await.unwrap(), None);
    assert_eq!(f.store.list_sessions(None, false, 9).await.unwrap(), [again, living, new]);
    let filter = SandboxFilter { runtime: None, endpoint: None, session: None, ended_since: UnixMillis(0) };
    assert_eq!(f.store.list_sandboxes(filter, 9).await.unwrap().len(), 4, "logs are found as long as they are kept");
    assert_eq!(f.store.forget_sessions(at(7)).await.unwrap(), 0);
}

#[tokio::test]
async fn every_sandbox_of_a_session_is_found_until_it_is_forgotten() {
    let f = Fixture::new().await;
    let (mut alice, bob) = (session("hello", 1), session("hello", 2));
    let mut sandboxes = Vec::new();
    for ended in [1, 5] {
        alice.sandbox = SandboxId::generate();
        f.store.put_session(alice.clone()).await.unwrap();
        let stopped = Some((at(ended), StopReason::IdleTimeout));
        f.store.put_session(innkeep_store::SessionRecord { stopped, ..alice.clone() }).await.unwrap();
        sandboxes.push(alice.sandbox.clone());
    }
    f.store.put_session(bob.clone()).await.unwrap();
    let listed = async |session: Option<&innkeep_store::SessionRecord>, ended_since: i64, limit| -> Vec<SandboxId> {
        let session = session.map(|record| record.key.session.clone());
        let filter = SandboxFilter { runtime: None, endpoint: None, session, ended_since: UnixMillis(ended_since) };
        f.store.list_sandboxes(filter, limit).await.unwrap().into_iter().map(|sandbox| sandbox.id).collect()
    };
    let (first, second, living) = (sandboxes[0].clone(), sandboxes[1].clone(), bob.sandbox.clone());
    assert_eq!(listed(None, 0, 9).await, [living.clone(), second.clone(), first.clone()]);
    assert_eq!(listed(None, at(5).0, 9).await, [living.clone(), second.clone()]);
    assert_eq!(listed(None, 0, 1).await, std::slice::from_ref(&living));
    assert_eq!(listed(Some(&alice), 0, 9).await, [second.clone(), first]);
    f.store.forget_sandboxes(at(5)).await.unwrap();
    assert_eq!(listed(None, 0, 9).await, [living, second]);
}

#[tokio::test]
async fn a_sandbox_waits_for_a_session_until_it_has_one_or_is_removed() {
    let f = Fixture::new().await;
    let member = |ms: i64| PoolMemberRecord {
        sandbox: SandboxId::generate(),
        runtime: session("hello", 1).key.runtime,
        endpoint: EndpointName::default_endpoint(),
        version: v(3),
        tier: Tier::Container,
        started_at: at(ms),
        made_of: format!("of {ms}"),
    };
    let [first, second, third] = [1, 2, 3].map(member);
    for record in [&third, &first, &second] {
        f.store.put_pool_member(record.clone()).await.unwrap();
    }
    assert_eq!(f.store.list_pool_members().await.unwrap(), [first.clone(), second.clone(), third.clone()]);
    f.store.remove_pool_member(&third.sandbox).await.unwrap();
    f.store.remove_pool_member(&third.sandbox).await.unwrap();
    let taken = innkeep_store::SessionRecord { sandbox: first.sandbox, ..session("hello", 1) };
    f.store.put_session(taken).await.unwrap();
    assert_eq!(f.store.list_pool_members().await.unwrap(), [second]);
}
