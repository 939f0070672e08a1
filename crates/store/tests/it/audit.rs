//! The audit log: kept in order, found by what it says, forgotten when it is old, never changed.

use innkeep_store::AuditFilter;
use innkeep_types::{AuditEvent, AuditOutcome};

use crate::fixture::{Fixture, at};

fn events() -> Vec<AuditEvent> {
    let allowed = AuditEvent {
        principal: Some("arn:aws:iam::000000000000:user/alice".to_owned()),
        access_key_id: Some("AKIA1".to_owned()),
        resource: Some("hello".to_owned()),
        session: Some("s1".to_owned()),
        request: Some("r1".to_owned()),
        source: Some("127.0.0.1".to_owned()),
        ..AuditEvent::new(at(10), "CreateKey", AuditOutcome::Allowed)
    };
    let denied = AuditEvent {
        error: Some("AccessDeniedException".to_owned()),
        statement: Some("NotOnSundays".to_owned()),
        count: 3,
        ..AuditEvent::new(at(20), "InvokeAgentRuntime", AuditOutcome::Denied)
    };
    vec![allowed, denied, AuditEvent::new(at(30), "CreateKey", AuditOutcome::Failed)]
}

#[tokio::test]
async fn events_are_kept_as_they_were_and_found_by_what_they_say() {
    let f = Fixture::new().await;
    f.store.append_audit(events()).await.unwrap();
    let find = async |filter: AuditFilter, after, limit| {
        let found = f.store.list_audit(filter, after, limit).await.unwrap();
        found.into_iter().map(|(_, event)| event).collect::<Vec<_>>()
    };
    let all = AuditFilter::default;
    assert_eq!(find(all(), 0, 9).await, events());
    assert_eq!(find(all(), 1, 1).await, events()[1..2]);
    for (filter, expect) in [
        (AuditFilter { since: Some(at(20)), ..all() }, &events()[1..]),
        (AuditFilter { principal: Some("AKIA1".to_owned()), ..all() }, &events()[..1]),
        (AuditFilter { principal: events()[0].principal.clone(), ..all() }, &events()[..1]),
        (AuditFilter { action: Some("InvokeAgentRuntime".to_owned()), ..all() }, &events()[1..2]),
        (AuditFilter { outcome: Some(AuditOutcome::Failed), ..all() }, &events()[2..]),
        (AuditFilter { since: Some(at(31)), ..all() }, &[]),
    ] {
        assert_eq!(find(filter.clone(), 0, 9).await, expect, "{filter:?}");
    }
    assert_eq!(f.store.forget_audit(at(20)).await.unwrap(), 1);
    assert_eq!(find(all(), 0, 9).await, events()[1..]);
}
