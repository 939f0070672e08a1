//! Floods, full queues, files that are moved, and shutdowns.

use innkeep_store::AuditFilter;
use innkeep_types::{SystemClock, UnixMillis};
use tempfile::TempDir;

use super::*;

const SOON: Duration = Duration::from_secs(10);

async fn store() -> (TempDir, Store) {
    let directory = TempDir::new().unwrap();
    let store = Store::open(directory.path()).await.unwrap();
    (directory, store)
}

fn event(at: i64, outcome: AuditOutcome) -> AuditEvent {
    AuditEvent::new(UnixMillis(at), "InvokeAgentRuntime", outcome)
}

fn allowed(at: i64) -> AuditEvent {
    AuditEvent { principal: Some("bob".to_owned()), ..event(at, AuditOutcome::Allowed) }
}

async fn written(store: &Store) -> Vec<AuditEvent> {
    let found = store.list_audit(AuditFilter::default(), 0, u32::MAX).await.unwrap();
    found.into_iter().map(|(_, event)| event).collect()
}

/// Writes all that a log took, and returns it.
async fn close(log: Audit, writer: Writer, store: &Store) -> Vec<AuditEvent> {
    drop(log);
    writer.run(Tasks::default()).await;
    written(store).await
}

#[tokio::test]
async fn a_flood_of_refusals_is_counted_and_hides_nobody_elses() {
    let (_directory, store) = store().await;
    let (log, writer) = Audit::open(store.clone(), None, SystemClock::shared()).unwrap();
    let now = SystemClock::shared().now();
    for _ in 0..5000 {
        log.record(event(now.0, AuditOutcome::Denied));
    }
    log.record(AuditEvent { principal: Some("alice".to_owned()), ..event(now.0, AuditOutcome::Denied) });
    log.record(event(now.0, AuditOutcome::Failed));
    log.record(allowed(now.0));
    let written = close(log, writer, &store).await;
    let burst = usize::try_from(limits::AUDIT_REFUSALS_BURST).unwrap();
    assert_eq!(written.len(), burst + 3);
    assert!(written.iter().any(|event| event.principal.as_deref() == Some("alice")));
    assert!(written.iter().any(|event| event.outcome == AuditOutcome::Allowed));
    let counted = written.iter().find(|event| event.action == "RefusalsCounted").unwrap();
    assert_eq!(
        (counted.count, counted.outcome),
        (5001 - u64::from(limits::AUDIT_REFUSALS_BURST), AuditOutcome::Denied)
    );
}

#[tokio::test]
async fn what_does_not_fit_is_counted() {
    let (_directory, store) = store().await;
    let (log, writer) = Audit::open(store.clone(), None, SystemClock::shared()).unwrap();
    for n in 0..limits::AUDIT_QUEUE + 7 {
        log.record(allowed(i64::try_from(n).unwrap()));
    }
    let written = close(log, writer, &store).await;
    assert_eq!(written.len(), limits::AUDIT_QUEUE + 1);
    let lost = written.iter().find(|event| event.action == "EventsLost").unwrap();
    assert_eq!((lost.count, lost.outcome), (7, AuditOutcome::Failed));
}

#[tokio::test]
async fn a_file_has_what_the_store_has_and_may_be_moved_away() {
    let (directory, store) = store().await;
    let path = directory.path().join("audit.jsonl");
    let (log, writer) = Audit::open(store.clone(), Some(&path), SystemClock::shared()).unwrap();
    let tasks = Tasks::default();
    let writing = tasks.spawn(innkeep_sandbox::tasks::Kind::Audit, writer.run(tasks.clone()));
    let lines = |path: &Path| std::fs::read_to_string(path).unwrap_or_default();
    log.record(event(1, AuditOutcome::Allowed));
    let written_once = async {
        while lines(&path).is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(SOON, written_once).await.unwrap();
    std::fs::rename(&path, directory.path().join("old")).unwrap();
    log.record(AuditEvent { session: Some("s".to_owned()), ..event(1_795_168_800_000, AuditOutcome::Allowed) });
    drop(log);
    writing.await.unwrap();
    assert_eq!(
        lines(&path),
        "{\"time\":\"2026-11-20T10:00:00.000Z\",\"action\":\"InvokeAgentRuntime\",\"sessionId\":\"s\",\"outcome\":\"allowed\",\
         \"count\":1}\n"
    );
    assert_eq!(lines(&directory.path().join("old")).lines().count(), 1);
    assert_eq!(written(&store).await.len(), 2);
    let nowhere = directory.path().join("no/such/directory");
    assert!(Audit::open(store, Some(&nowhere), SystemClock::shared()).is_err());
}

#[tokio::test]
async fn a_handle_that_is_kept_holds_no_shutdown_up() {
    let (_directory, store) = store().await;
    let (log, writer) = Audit::open(store.clone(), None, SystemClock::shared()).unwrap();
    let tasks = Tasks::default();
    tasks.spawn(innkeep_sandbox::tasks::Kind::Audit, writer.run(tasks.clone()));
    log.record(event(1, AuditOutcome::Allowed));
    tasks.finish().await;
    assert_eq!(written(&store).await.len(), 1);
}

#[test]
fn a_bucket_gives_a_burst_then_a_line_a_second() {
    let mut bucket = Bucket::full(UnixMillis(0));
    let burst = usize::try_from(limits::AUDIT_REFUSALS_BURST).unwrap();
    let mut take = |at, n: usize| (0..n).filter(|_| bucket.take(UnixMillis(at))).count();
    assert_eq!(take(0, 1000), burst);
    assert_eq!(take(999, 1000), 0);
    assert_eq!(take(3000, 1000), 3);
    assert_eq!(take(0, 1000), 0, "the clock was set back");
    assert_eq!(take(i64::MAX, 1000), burst);
}

/// Tells a log of a request for this, which is dropped without an answer, and returns what is written of it.
async fn dropped(method: &str, who: Option<&str>, answer: Option<u16>) -> Vec<(String, AuditOutcome, Option<String>)> {
    let (_directory, store) = store().await;
    let (log, writer) = Audit::open(store.clone(), None, SystemClock::shared()).unwrap();
    let parts = http::Request::builder().method(method).uri("/innkeep/v1/layers/x").body(()).unwrap().into_parts().0;
    let is_change = !is_reading(&parts.method);
    let asked = Asked { action: "UploadLayer".to_owned(), is_change, resource: None };
    let mut heard = Heard::new(&log, &parts, &innkeep_types::RequestId::generate(), asked);
    if let Some(who) = who {
        heard.proven(Who { principal: who.to_owned(), access_key_id: None });
    }
    match answer {
        Some(status) => heard.answered(&http::Response::builder().status(status).body(()).unwrap()),
        None => drop(heard),
    }
    let events = close(log, writer, &store).await;
    events.into_iter().map(|event| (event.resource.unwrap(), event.outcome, event.principal)).collect()
}

#[tokio::test]
async fn a_change_that_nobody_waits_for_is_told_once() {
    let line = |outcome| vec![("/innkeep/v1/layers/x".to_owned(), outcome, Some("bob".to_owned()))];
    assert_eq!(dropped("PUT", Some("bob"), None).await, line(AuditOutcome::Abandoned));
    assert_eq!(dropped("PUT", Some("bob"), Some(204)).await, line(AuditOutcome::Allowed));
    assert_eq!(dropped("PUT", Some("bob"), Some(500)).await, line(AuditOutcome::Failed));
    assert_eq!(dropped("GET", Some("bob"), None).await, [], "nothing was changed");
    assert_eq!(dropped("PUT", None, None).await, [], "who has proven nothing was not let");
}
