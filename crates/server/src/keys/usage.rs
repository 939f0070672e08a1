//! Writes down when keys were used, some minutes late: a request only sets a number in memory.

use innkeep_sandbox::tasks::Tasks;
use innkeep_types::limits::KEY_USE_INTERVAL;
use tracing::warn;

use super::Keys;
use super::held::Held;

impl Keys {
    /// Runs until the tasks are told to end; the last time then.
    pub(crate) async fn write_uses(self, tasks: Tasks) {
        loop {
            tokio::select! {
                () = tokio::time::sleep(KEY_USE_INTERVAL) => self.write_uses_now().await,
                () = tasks.stopping().cancelled() => return self.write_uses_now().await,
            }
        }
    }

    /// Writes the uses that are not written down yet. What cannot be written stays for the next time.
    pub(super) async fn write_uses_now(&self) {
        let used: Vec<_> = {
            let by_id = self.inner.by_id.read();
            by_id.iter().filter_map(|(id, key)| Some((id.clone(), key.unwritten_use()?))).collect()
        };
        if used.is_empty() {
            return;
        }
        if let Err(error) = self.inner.parts.store.touch_access_keys(used.clone()).await {
            warn!(error = &error as &dyn std::error::Error, "when access keys were used could not be written down");
            return;
        }
        let mut by_id = self.inner.by_id.write();
        for (id, used_at) in used {
            if let Some(key) = by_id.get_mut(&id) {
                Held::written(key, used_at);
            }
        }
    }
}
