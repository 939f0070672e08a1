//! The actor that decides what is started for pools and what is ended. What it sees it looks at again after everything that happens.
//!
//! A member is started when its pool is short, nothing of what failed before is too fresh, memory is left, and no session is starting
//! (or the pool has waited long enough); the emptiest pool comes first. As many start at one time as half the processors, not counted
//! those that take long: what waits for a network uses none. Members end when memory is short, oldest first, and when there are too
//! many: at once where nothing is wanted any more, after a while where the size moves by itself.

use std::sync::Arc;
use std::time::Duration;

use innkeep_types::{SandboxId, limits};
use tokio::time::{Instant, sleep_until};

use super::member::{Fill, Leave};
use super::{Member, Memory, Pool, PoolKey, Pools, State};
use crate::driver::Sandbox;
use crate::tasks::Kind;

/// A start that goes on for longer leaves room for the next. Source: our choice; most agents have imported by then.
const LONG_START: Duration = Duration::from_secs(5);

/// What the keeper saw before it decides.
#[derive(Debug, Clone, Copy)]
struct Look {
    now: Instant,
    /// What is left for sandboxes, bytes, where the driver knows.
    available: Option<u64>,
    memory: Memory,
    /// What sessions that are starting will use, bytes.
    cold_bytes: u64,
    /// How many may start at one time.
    starts: usize,
}

/// What is to be done.
#[derive(Debug, PartialEq, Eq)]
enum Step {
    /// Start a member.
    Fill(PoolKey),
    /// End one.
    End(PoolKey, SandboxId),
    /// Nothing now; at this time at the latest it may be otherwise.
    Rest(Option<Instant>),
}

/// Keeps all pools until the server ends.
pub(super) async fn keep(pools: Pools) {
    let stopping = pools.shared.tasks.stopping().clone();
    let mut measured = None;
    loop {
        let look = pools.look(&mut measured).await;
        let wake = pools.act(look);
        let until_wake = async {
            match wake {
                Some(at) => sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = stopping.cancelled() => return,
            () = pools.shared.changed.notified() => {}
            () = until_wake => {}
        }
    }
}

impl Pools {
    /// Looks at the host, and, now and then, at what each member uses.
    async fn look(&self, measured: &mut Option<Instant>) -> Look {
        let now = Instant::now();
        let is_due = measured.is_none_or(|at| now.duration_since(at) >= limits::POOL_LOOK_INTERVAL);
        let members: Vec<Arc<dyn Sandbox>> = {
            let state = self.shared.state.lock();
            let all = state.pools.values().flat_map(|pool| &pool.ready);
            all.filter(|member| is_due || member.bytes.is_none()).map(|member| member.sandbox.clone()).collect()
        };
        let driver = self.shared.driver.clone();
        let looked = tokio::task::spawn_blocking(move || {
            let used: Vec<_> = members.iter().map(|member| (member.id().clone(), memory_of(member))).collect();
            (driver.available_memory(), used)
        });
        // A driver that panics is seen to have nothing to say.
        let (available, used) = looked.await.unwrap_or_default();
        if is_due {
            *measured = Some(now);
        }
        self.shared.state.lock().note_use(used);
        let starts = std::thread::available_parallelism().map_or(1, usize::from) / 2;
        let (memory, cold_bytes) = (self.shared.memory, self.shared.headroom.reserved());
        Look { now: Instant::now(), available, memory, cold_bytes, starts: starts.max(1) }
    }

    /// Starts and ends what is to be; returns when to look again.
    fn act(&self, mut look: Look) -> Option<Instant> {
        let mut state = self.shared.state.lock();
        state.settle(look.now);
        loop {
            match state.next_step(&look) {
                Step::Fill(key) => self.fill(&mut state, &key, look.now),
                Step::End(key, sandbox) => {
                    let Some(pool) = state.pools.get_mut(&key) else { continue };
                    if let Some(member) = pool.remove(&sandbox) {
                        pool.wasted += 1;
                        if let Some(available) = &mut look.available {
                            // Its memory is as good as free; else all the others would have to go too.
                            *available += member.bytes.unwrap_or(pool.member_bytes);
                        }
                        state.totals.wasted += 1;
                        // A task that has ended has ended its member.
                        let _ = member.leave.send(Leave::End(limits::STOP_GRACE));
                    }
                }
                Step::Rest(wake) => {
                    state.pools.retain(|_, pool| !pool.demand.is_over(look.now) || !pool.is_empty());
                    return wake;
                }
            }
        }
    }

    fn fill(&self, state: &mut State, key: &PoolKey, now: Instant) {
        let Some(pool) = state.pools.get_mut(key) else { return };
        let slot = Arc::new(());
        pool.starting.push((now, Arc::downgrade(&slot)));
        let fill = Fill {
            pools: self.clone(),
            key: key.clone(),
            deployment: pool.deployment.clone(),
            over: pool.over.clone(),
            slot,
        };
        self.shared.tasks.spawn(Kind::Pool, pool.members.track_future(fill.run()));
    }
}

impl State {
    fn note_use(&mut self, used: Vec<(SandboxId, Option<u64>)>) {
        for (id, bytes) in used {
            for pool in self.pools.values_mut() {
                if let Some(member) = pool.ready.iter_mut().find(|member| *member.sandbox.id() == id) {
                    // One that could not be measured is not measured again at once.
                    member.bytes = Some(bytes.unwrap_or(pool.member_bytes));
                }
                let most = pool.ready.iter().filter_map(|member| member.bytes).max();
                pool.member_bytes = most.unwrap_or(pool.member_bytes);
            }
        }
    }

    /// Brings up to date what follows from the time alone.
    fn settle(&mut self, now: Instant) {
        self.leaving.retain(|(_, members)| !members.is_empty());
        for pool in self.pools.values_mut() {
            pool.starting.retain(|(_, still)| still.strong_count() > 0);
            let (wanted, have) = (pool.wanted(now), pool.ready.len() + pool.starting.len());
            pool.short_since = if have < wanted { pool.short_since.or(Some(now)) } else { None };
            pool.excess_since = if have > wanted { pool.excess_since.or(Some(now)) } else { None };
            pool.held = pool.why_none(now);
        }
    }

    fn next_step(&mut self, look: &Look) -> Step {
        if self.closed || !self.open {
            return Step::Rest(None);
        }
        if let Some(member) = self.one_too_many(look) {
            return member;
        }
        let now = look.now;
        let mut wake = Vec::new();
        let young: Vec<Instant> =
            self.pools.values().flat_map(Pool::starts).filter(|at| *at + LONG_START > now).collect();
        let (used, starting) = (self.used_bytes(), self.starting_bytes());
        let is_starting = self.cold_starts > 0;
        let mut short: Vec<(&PoolKey, &mut Pool)> =
            self.pools.iter_mut().filter(|(_, pool)| pool.wanted(now) > pool.ready.len() + pool.starting()).collect();
        short.sort_by_key(|(_, pool)| (pool.ready.len(), pool.short_since));
        for (key, pool) in short {
            if let Some(at) = pool.trouble.retry_at().filter(|at| *at > now) {
                wake.push(at);
                continue;
            }
            pool.held = why_no_memory(pool.member_bytes, used, starting, look);
            if pool.held.is_some() {
                continue;
            }
            let patience_ends = pool.short_since.unwrap_or(now) + limits::POOL_PATIENCE;
            if is_starting && patience_ends > now {
                wake.push(patience_ends);
            } else if young.len() >= look.starts {
                wake.extend(young.iter().map(|at| *at + LONG_START));
            } else {
                return Step::Fill(key.clone());
            }
        }
        if self.pools.values().any(|pool| !pool.is_empty() || pool.wanted(now) > 0) {
            wake.push(now + limits::POOL_LOOK_INTERVAL);
        }
        Step::Rest(wake.into_iter().min())
    }

    /// Returns a member that is to end, if one is.
    fn one_too_many(&self, look: &Look) -> Option<Step> {
        let used = self.used_bytes();
        let is_short =
            used > look.memory.most_bytes || look.available.is_some_and(|bytes| bytes < look.memory.floor_bytes);
        let end = |key: &PoolKey, member: &Member| Step::End(key.clone(), member.sandbox.id().clone());
        if is_short {
            let oldest_of_each = self.pools.iter().filter_map(|(key, pool)| Some((key, pool.ready.front()?)));
            let (key, oldest) = oldest_of_each.min_by_key(|(_, member)| member.since)?;
            return Some(end(key, oldest));
        }
        self.pools.iter().find_map(|(key, pool)| {
            let wanted = pool.wanted(look.now);
            let is_excess = pool.ready.len() + pool.starting() > wanted;
            let settles = pool.demand.is_adaptive() && wanted > 0;
            let since = pool.excess_since.unwrap_or(look.now);
            let may_stay = settles && look.now.duration_since(since) < limits::POOL_WINDOW;
            (is_excess && !may_stay).then(|| pool.ready.front().map(|member| end(key, member))).flatten()
        })
    }

    fn used_bytes(&self) -> u64 {
        let of_pool = |pool: &Pool| pool.ready.iter().map(|m| m.bytes.unwrap_or(pool.member_bytes)).sum::<u64>();
        self.pools.values().map(of_pool).sum()
    }

    pub(super) fn starting_bytes(&self) -> u64 {
        self.pools.values().map(|pool| u64::try_from(pool.starting()).unwrap_or(u64::MAX) * pool.member_bytes).sum()
    }
}

impl Pool {
    /// Tells whether nothing waits, or is about to.
    fn is_empty(&self) -> bool {
        self.ready.is_empty() && self.starting() == 0
    }

    /// Returns since when those that are being started are.
    fn starts(&self) -> impl Iterator<Item = Instant> {
        self.starting.iter().filter(|(_, still)| still.strong_count() > 0).map(|(since, _)| *since)
    }

    /// Returns why no members are wanted, if none are.
    fn why_none(&self, now: Instant) -> Option<String> {
        if let Some(bar) = self.deployment.pool_bar() {
            return Some(bar.to_owned());
        }
        let minutes = self.demand.patience().as_secs() / 60;
        (self.wanted(now) == 0 && self.demand.is_quiet(now))
            .then(|| format!("no new session came for {minutes} minutes"))
    }
}

/// Returns why there is no memory for one more member that uses so much, if there is none.
fn why_no_memory(member: u64, used: u64, starting: u64, look: &Look) -> Option<String> {
    let needed = starting.saturating_add(member);
    let Memory { most_bytes, floor_bytes } = look.memory;
    if used.saturating_add(needed) > most_bytes {
        let (all, most) = (mib(used.saturating_add(needed)), mib(most_bytes));
        return Some(format!(
            "with one more, all pools would use {all} MiB, and the server's setting pool_memory_mib is {most}"
        ));
    }
    let needed = needed.saturating_add(look.cold_bytes);
    let available = look.available.filter(|available| available.saturating_sub(needed) < floor_bytes)?;
    let (left, least) = (mib(available), mib(floor_bytes));
    Some(format!(
        "{left} MiB of memory are left for sandboxes, and those that wait for sessions leave {least} MiB of it"
    ))
}

fn mib(bytes: u64) -> u64 {
    bytes >> 20
}

/// Returns what a member uses, bytes; where the driver does not count, what its agent has resident. Blocks shortly.
fn memory_of(member: &Arc<dyn Sandbox>) -> Option<u64> {
    let counted = member.usage().and_then(|usage| usage.memory_bytes);
    counted.or_else(|| {
        let statm = std::fs::read_to_string(format!("/proc/{}/statm", member.agent_pid()?)).ok()?;
        let pages: u64 = statm.split_ascii_whitespace().nth(1)?.parse().ok()?;
        Some(pages * u64::try_from(rustix::param::page_size()).ok()?)
    })
}
