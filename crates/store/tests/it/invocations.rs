//! Invocations whose callers do not wait: kept as they were, over a restart too, until they are removed.

use innkeep_store::{InvocationRecord, Store};
use innkeep_types::{
    EndpointName, ErrorKind, InvocationFailure, InvocationHead, InvocationId, InvocationState, RequestId, RuntimeId,
    SessionId, SessionKey, SessionOwner,
};

use crate::fixture::{Fixture, at};

fn running(id: u8, created: i64) -> InvocationRecord {
    InvocationRecord {
        id: InvocationId::parse(format!("{id:032x}")).unwrap(),
        session: SessionKey {
            runtime: RuntimeId::parse("hello-0123456789").unwrap(),
            endpoint: EndpointName::default_endpoint(),
            session: SessionId::from_short("s").unwrap(),
        },
        owner: SessionOwner::new([id; 32]),
        request: RequestId::parse("r-1").unwrap(),
        created_at: at(created),
        state: InvocationState::Running,
        ended_at: None,
        head: None,
        bytes: 0,
        failure: None,
    }
}

#[tokio::test]
async fn invocations_are_kept_as_they_were_put_last_until_they_are_removed() {
    let f = Fixture::new().await;
    let second = running(1, 20);
    let first = running(2, 10);
    let head = InvocationHead { status: 200, headers: vec![("content-type".to_owned(), "text/plain".to_owned())] };
    let failure =
        InvocationFailure { kind: ErrorKind::Agent, message: "it exited".to_owned(), log_tail: vec!["x".to_owned()] };
    let ended = InvocationRecord {
        state: InvocationState::Failed,
        ended_at: Some(at(30)),
        head: Some(head),
        bytes: 7,
        failure: Some(failure),
        ..first.clone()
    };
    for record in [&second, &first, &ended] {
        f.store.put_invocation(record.clone()).await.unwrap();
    }
    assert_eq!(f.store.list_invocations().await.unwrap(), [ended.clone(), second.clone()], "oldest first");
    f.store.close().await.unwrap();

    let store = Store::open(f.dir.path()).await.unwrap();
    assert_eq!(store.list_invocations().await.unwrap(), [ended.clone(), second.clone()]);
    store.remove_invocations(vec![ended.id, running(9, 0).id]).await.unwrap();
    assert_eq!(store.list_invocations().await.unwrap(), [second]);
}
