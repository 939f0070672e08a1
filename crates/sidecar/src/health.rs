//! Asks the agent how it is: until the first good answer as often as it takes, then at the plan's pace.
//!
//! ```text
//! nothing bound ──► told ─► asked again and again, slowing ──► good answer ──► asked every ping_interval, changes and misses told
//!      └─────────────────────────────┴── start_timeout, or no /ping there at all ──► never ready
//! ```

use std::fmt::Write;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use innkeep_protocol::link::{AgentState, LaunchPlan};
use innkeep_protocol::ping::{MAX_PING_BODY, Ping, PingStatus};
use innkeep_types::HealthCheck;
use rustix::time::{Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use crate::bind::Bound;
use crate::{http, sys};

/// The longest that one check may take. Source: our choice, the service's ping interval.
const CHECK_TIMEOUT: Duration = Duration::from_secs(2);

/// How long `/ping` may be missing before the agent is given up: frameworks listen before their routes are there.
const ROUTE_PATIENCE: Duration = Duration::from_secs(2);

/// Tells every change of the agent's health in `state`. Returns only if the agent will never be ready: why, for people.
pub(crate) async fn watch(
    plan: &LaunchPlan,
    mut bound: watch::Receiver<Bound>,
    state: &watch::Sender<AgentState>,
) -> String {
    let deadline = Instant::now() + Duration::from_millis(plan.start_timeout_ms);
    let mut last_miss = None;
    let ready = timeout_at(deadline, until_ready(plan.health, &mut bound, state, &mut last_miss)).await;
    let mut known = match ready {
        Ok(Ok(ping)) => ping,
        Ok(Err(no_route)) => return no_route,
        Err(_) => return never_ready(plan, &bound.borrow(), last_miss.as_ref()),
    };
    state.send_replace(AgentState::Healthy(known));
    let mut misses = 0;
    loop {
        sleep(Duration::from_millis(plan.ping_interval_ms)).await;
        let address = bound.borrow().address;
        match check(plan.health, address).await {
            Ok(ping) if misses == 0 && ping == known => {}
            Ok(ping) => {
                (known, misses) = (ping, 0);
                state.send_replace(AgentState::Healthy(ping));
            }
            Err(miss) => {
                misses += 1;
                state.send_replace(AgentState::Missed { misses, detail: miss.to_string() });
            }
        }
    }
}

/// Checks until an answer is good. The error is for an agent that answers, but has no `/ping`.
async fn until_ready(
    health: HealthCheck,
    bound: &mut watch::Receiver<Bound>,
    state: &watch::Sender<AgentState>,
    last_miss: &mut Option<Miss>,
) -> Result<Ping, String> {
    // Closed only with the sidecar itself; then the deadline decides.
    let _ = bound.wait_for(|bound| bound.address.is_some()).await;
    if bound.borrow().is_seen {
        state.send_replace(AgentState::Listening);
    }
    let since = Instant::now();
    let mut no_route_since = None;
    loop {
        let address = bound.borrow().address;
        let miss = match check(health, address).await {
            Ok(ping) => return Ok(ping),
            Err(miss) => miss,
        };
        if let Miss::Status(status @ (404 | 405 | 501)) = miss {
            if no_route_since.get_or_insert_with(Instant::now).elapsed() >= ROUTE_PATIENCE {
                return Err(no_route(status));
            }
        } else {
            no_route_since = None;
        }
        *last_miss = Some(miss);
        let pause = pause(since.elapsed());
        if nap(pause).await.is_err() {
            sleep(pause).await;
        }
    }
}

/// Returns the time to the next check of an agent that bound its port this long ago. Most listen within a millisecond: they are
/// asked again after half of the time that they have had.
fn pause(since_bound: Duration) -> Duration {
    match since_bound.as_millis() {
        0..500 => (since_bound / 2).clamp(Duration::from_micros(250), Duration::from_millis(2)),
        500..5000 => Duration::from_millis(20),
        _ => Duration::from_millis(100),
    }
}

/// Waits just so long: tokio's clock counts whole milliseconds, and begins with the next.
async fn nap(time: Duration) -> io::Result<()> {
    let timer =
        rustix::time::timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC)?;
    let it_value = Timespec::try_from(time).map_err(io::Error::other)?;
    let once = Itimerspec { it_interval: Timespec::default(), it_value };
    rustix::time::timerfd_settime(&timer, TimerfdTimerFlags::empty(), &once)?;
    sys::watch(timer)?.readable().await.map(drop)
}

/// What a check saw that was not good.
#[derive(Debug, thiserror::Error)]
enum Miss {
    #[error("it does not listen")]
    NotBound,
    #[error("GET /ping was answered with status {0}")]
    Status(u16),
    #[error("the check failed: {0}")]
    Io(#[from] io::Error),
    #[error("the check was not answered within {CHECK_TIMEOUT:?}")]
    Timeout,
}

async fn check(health: HealthCheck, address: Option<SocketAddr>) -> Result<Ping, Miss> {
    let address = address.ok_or(Miss::NotBound)?;
    timeout(CHECK_TIMEOUT, async {
        match health {
            HealthCheck::Tcp => {
                TcpStream::connect(address).await?;
                Ok(Ping { status: PingStatus::Healthy, time_of_last_update: None })
            }
            HealthCheck::Ping => match http::get(address, "/ping", MAX_PING_BODY).await? {
                http::Answer { status: 200, body } => Ok(Ping::parse(&body)),
                http::Answer { status, .. } => Err(Miss::Status(status)),
            },
        }
    })
    .await
    .unwrap_or(Err(Miss::Timeout))
}

fn no_route(status: u16) -> String {
    format!(
        "GET /ping was answered with status {status}: the agent has no /ping. Add one that answers 200, or accept any agent \
         that takes connections: `health = \"tcp\"` under [agent] in innkeep.toml, or `innkeep deploy --set health=tcp`."
    )
}

fn never_ready(plan: &LaunchPlan, bound: &Bound, last_miss: Option<&Miss>) -> String {
    let seconds = Duration::from_millis(plan.start_timeout_ms).as_secs_f64();
    let mut text =
        format!("Runtime initialization time exceeded. Please make sure that initialization completes in {seconds}s.");
    let written = match (last_miss, bound.others.as_slice()) {
        (Some(miss), _) => write!(text, " The agent listens on port {}, but {miss}.", plan.port),
        (None, []) => write!(text, " Nothing listens on port {}.", plan.port),
        (None, others) => {
            let others: Vec<_> = others.iter().map(ToString::to_string).collect();
            write!(text, " Nothing listens on port {}; the agent listens on {} instead.", plan.port, others.join(", "))
        }
    };
    written.expect("a String takes everything");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_agent_is_asked_again_soon_at_first_and_ever_later() {
        let after = |bound| pause(Duration::from_micros(bound)).as_micros();
        let known = [(0, 250), (400, 250), (1000, 500), (3000, 1500), (4000, 2000), (499_999, 2000), (500_000, 20_000)];
        for (bound, expected) in known {
            assert_eq!(after(bound), expected, "{bound} us");
        }
        assert_eq!(after(5_000_000), 100_000);
    }

    #[tokio::test]
    async fn a_nap_lasts_at_least_as_long_as_told() {
        let begun = Instant::now();
        nap(Duration::from_micros(700)).await.unwrap();
        assert!(begun.elapsed() >= Duration::from_micros(700));
    }
}
