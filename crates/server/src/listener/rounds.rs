//! What wakes itself is polled again at once, and not by way of the scheduler.
//!
//! A connection serves its request in one task, and hyper wakes that task while it runs: whoever takes a frame of a body wakes who brought
//! it, and both are here. The scheduler would put the task behind all others and wake another worker to look for it, twice per request, which
//! takes longer than the request itself.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use parking_lot::Mutex;
use tokio::task::coop::has_budget_remaining;

/// How often it is polled before others have their turn. Source: our choice; a warm request wakes itself once per turn.
const MAX_ROUNDS: usize = 3;

/// Nobody polls: whoever wakes it wakes the task.
const RESTING: u8 = 0;
/// It is being polled.
const RUNNING: u8 = 1;
/// It is being polled, and was woken meanwhile.
const WOKEN: u8 = 2;

/// Polls one future of one task, in rounds.
#[derive(Debug)]
pub(super) struct Rounds {
    bell: Arc<Bell>,
    waker: Waker,
}

/// What wakes the future: by another round if it is being polled, else by its task.
struct Bell {
    state: AtomicU8,
    task: Mutex<Waker>,
}

impl Rounds {
    pub(super) fn new() -> Self {
        let bell = Arc::new(Bell { state: AtomicU8::new(RESTING), task: Mutex::new(Waker::noop().clone()) });
        Self { waker: Waker::from(bell.clone()), bell }
    }

    /// Calls `poll`, and again if that woke itself, unless the task has had its share of the thread.
    pub(super) fn poll<T>(&self, cx: &mut Context<'_>, mut poll: impl FnMut(&mut Context<'_>) -> Poll<T>) -> Poll<T> {
        self.bell.set_task(cx.waker());
        for _ in 0..MAX_ROUNDS {
            self.bell.state.store(RUNNING, Ordering::Release);
            if let Poll::Ready(result) = poll(&mut Context::from_waker(&self.waker)) {
                return Poll::Ready(result);
            }
            // From here on who wakes it wakes the task: nothing is lost between this and the return.
            if self.bell.state.swap(RESTING, Ordering::AcqRel) != WOKEN {
                return Poll::Pending;
            }
            if !has_budget_remaining() {
                break;
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

impl Bell {
    fn set_task(&self, waker: &Waker) {
        let mut task = self.task.lock();
        if !task.will_wake(waker) {
            task.clone_from(waker);
        }
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let woken = self.state.compare_exchange(RUNNING, WOKEN, Ordering::AcqRel, Ordering::Acquire);
        if woken == Err(RESTING) {
            let task = self.task.lock().clone();
            task.wake();
        }
    }
}

impl fmt::Debug for Bell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bell").field("state", &self.state).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::future::{Future, poll_fn};
    use std::pin::pin;
    use std::sync::atomic::AtomicUsize;

    use tokio::task::coop::consume_budget;

    use super::*;

    #[derive(Default)]
    struct Task(AtomicUsize);

    impl Wake for Task {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Polls what wakes itself `self_wakes` times; returns how often it was polled, how often its task was woken, and the last waker that it
    /// was given.
    fn check(self_wakes: usize) -> (usize, usize, Arc<Task>, Waker) {
        let task = Arc::new(Task::default());
        let waker = Waker::from(task.clone());
        let (mut n_polls, mut given) = (0, None);
        let rounds = Rounds::new();
        let polled: Poll<()> = rounds.poll(&mut Context::from_waker(&waker), |cx| {
            n_polls += 1;
            if n_polls <= self_wakes {
                cx.waker().wake_by_ref();
            }
            given = Some(cx.waker().clone());
            Poll::Pending
        });
        assert!(polled.is_pending());
        (n_polls, task.0.load(Ordering::Relaxed), task, given.unwrap())
    }

    #[test]
    fn what_wakes_itself_is_polled_again_and_its_task_left_alone() {
        let (n_polls, n_wakes, ..) = check(1);
        assert_eq!((n_polls, n_wakes), (2, 0));
    }

    #[test]
    fn what_wakes_itself_without_end_lets_others_have_their_turn() {
        let (n_polls, n_wakes, ..) = check(usize::MAX);
        assert_eq!((n_polls, n_wakes), (MAX_ROUNDS, 1));
    }

    #[tokio::test]
    async fn a_task_that_had_its_share_lets_others_have_their_turn() {
        let polled = poll_fn(|cx| {
            while has_budget_remaining() {
                assert!(pin!(consume_budget()).poll(cx).is_ready());
            }
            Poll::Ready(check(1))
        });
        let (n_polls, n_wakes, ..) = polled.await;
        assert_eq!((n_polls, n_wakes), (1, 1));
    }

    #[test]
    fn what_is_woken_between_two_polls_wakes_its_task() {
        let (n_polls, n_wakes, task, waker) = check(0);
        assert_eq!((n_polls, n_wakes), (1, 0));
        std::thread::spawn(move || waker.wake()).join().unwrap();
        assert_eq!(task.0.load(Ordering::Relaxed), 1);
    }
}
