//! Waiting for a level.

use std::time::Duration;

/// Waits until `condition` holds, looking every millisecond.
///
/// # Panics
/// After `deadline`, naming `what`.
pub async fn wait_for(what: &str, deadline: Duration, mut condition: impl FnMut() -> bool) {
    let waited = tokio::time::timeout(deadline, async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    });
    assert!(waited.await.is_ok(), "still waiting for {what} after {deadline:?}");
}
