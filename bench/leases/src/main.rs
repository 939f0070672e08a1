//! What a warm request pays for its session inside the server: the look-up, the lease, and its release. No sandbox stands behind
//! the sessions, and nothing is asked of the agent: what is timed is the registry's own.
//!
//! Prints one JSON object: nanoseconds of one request, the median of many batches, by what was asked.

use std::io::Write;
use std::sync::Arc;

use anyhow::Result;
use innkeep_sandbox::tasks::Tasks;
use innkeep_sandbox::{Asker, Deployment, Limits, Registry};
use innkeep_testkit::{FakeDriver, MemoryJournal, deployment};
use innkeep_types::{RequestId, SessionId, SystemClock};
use tokio::time::Instant;

const LIVE: usize = 1000;
const BATCH: u32 = 1000;
const BATCHES: usize = 501;

#[tokio::main(worker_threads = 2)]
async fn main() -> Result<()> {
    let (few, many) = (Live::start(1).await?, Live::start(LIVE).await?);
    let mut one_of_one = Vec::new();
    let mut one_of_many = Vec::new();
    let mut each_of_many = Vec::new();
    for _ in 0..BATCHES {
        one_of_one.push(few.batch(1).await?);
        one_of_many.push(many.batch(1).await?);
        each_of_many.push(many.batch(LIVE).await?);
    }
    let measured = serde_json::json!({
        "oneOfOne": median(one_of_one), "oneOfMany": median(one_of_many), "eachOfMany": median(each_of_many),
    });
    writeln!(std::io::stdout(), "{measured}")?;
    Ok(())
}

/// A registry with sessions that wait for requests.
struct Live {
    registry: Registry,
    deployment: Arc<Deployment>,
    sessions: Vec<SessionId>,
}

impl Live {
    async fn start(n_sessions: usize) -> Result<Self> {
        let limits =
            Limits { active_sessions: LIVE, starts_per_second: u32::MAX, memory_floor: 0, ..Limits::default() };
        let journal = Arc::new(MemoryJournal::default());
        let registry = Registry::new(FakeDriver::ready(), journal, Arc::new(SystemClock), Tasks::default(), limits);
        let sessions = (0..n_sessions).map(|_| SessionId::generate()).collect();
        let live = Self { registry, deployment: deployment(1), sessions };
        for session in &live.sessions {
            live.ask(session, &RequestId::generate()).await?;
        }
        Ok(live)
    }

    async fn ask(&self, session: &SessionId, request: &RequestId) -> Result<()> {
        drop(self.registry.acquire(session, &self.deployment, Asker::unknown(request)).await?);
        Ok(())
    }

    /// Asks so many of the sessions in turn and returns what each request took, ns.
    async fn batch(&self, n_sessions: usize) -> Result<u128> {
        let (request, mut sessions) = (RequestId::generate(), self.sessions.iter().take(n_sessions).cycle());
        let began = Instant::now();
        for session in sessions.by_ref().take(BATCH as usize) {
            self.ask(session, &request).await?;
        }
        Ok(began.elapsed().as_nanos() / u128::from(BATCH))
    }
}

fn median(mut values: Vec<u128>) -> Option<u64> {
    values.sort_unstable();
    values.get(values.len() / 2).and_then(|ns| u64::try_from(*ns).ok())
}
