//! Members that failed: how long until the next try, and what operators are told. Times are handed in.

use std::time::Duration;

use innkeep_types::{UnixMillis, limits};
use tokio::time::Instant;

/// Failures in a row end when none came for this long. Source: our choice: twice the longest time to the next try.
const FORGOTTEN: Duration = limits::POOL_RETRY_MAX.saturating_mul(2);

/// What went wrong with a pool's members.
#[derive(Debug, Default)]
pub(super) struct Trouble {
    in_a_row: u32,
    last: Option<Failure>,
}

#[derive(Debug)]
struct Failure {
    at: Instant,
    time: UnixMillis,
    message: String,
}

impl Trouble {
    /// Notes a member that did not start, or ended while it waited.
    pub(super) fn failed(&mut self, message: String, at: Instant, time: UnixMillis) {
        let is_old = self.last.as_ref().is_some_and(|last| at.duration_since(last.at) >= FORGOTTEN);
        self.in_a_row = if is_old { 1 } else { self.in_a_row.saturating_add(1) };
        self.last = Some(Failure { at, time, message });
    }

    /// Notes that a member served, or that somebody asks for more.
    pub(super) fn over(&mut self) {
        self.in_a_row = 0;
    }

    /// Returns when the next member may be started; none: now.
    pub(super) fn retry_at(&self) -> Option<Instant> {
        let exponent = self.in_a_row.checked_sub(1)?;
        let wait = limits::POOL_RETRY.saturating_mul(2u32.saturating_pow(exponent)).min(limits::POOL_RETRY_MAX);
        Some(self.last.as_ref()?.at + wait)
    }

    /// Returns the last failure: when, and what.
    pub(super) fn last(&self) -> Option<(UnixMillis, String)> {
        self.last.as_ref().map(|failure| (failure.time, failure.message.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_failure_doubles_the_wait_up_to_the_most() {
        let (mut trouble, mut now) = (Trouble::default(), Instant::now());
        assert_eq!(trouble.retry_at(), None);
        let mut waits = Vec::new();
        for _ in 0..40 {
            trouble.failed("exit code 3".to_owned(), now, UnixMillis(7));
            let at = trouble.retry_at().unwrap();
            waits.push((at - now).as_secs());
            now = at;
        }
        assert_eq!(waits[..10], [1, 2, 4, 8, 16, 32, 64, 128, 256, 300]);
        assert_eq!((waits[39], trouble.last()), (300, Some((UnixMillis(7), "exit code 3".to_owned()))));
    }

    #[test]
    fn a_member_that_serves_or_a_long_peace_ends_the_row() {
        let (mut trouble, now) = (Trouble::default(), Instant::now());
        let fail = |trouble: &mut Trouble, at| trouble.failed(String::new(), at, UnixMillis(0));
        (0..5).for_each(|_| fail(&mut trouble, now));
        trouble.over();
        assert_eq!(trouble.retry_at(), None);
        (0..5).for_each(|_| fail(&mut trouble, now));
        fail(&mut trouble, now + FORGOTTEN);
        assert_eq!(trouble.retry_at(), Some(now + FORGOTTEN + limits::POOL_RETRY));
    }
}
