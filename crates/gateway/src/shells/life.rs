//! A shell's life, as far as its clients and time decide it.
//!
//! ```text
//!              attach                        attach: the one before is replaced
//! (opened) ──────────────► Attached ◄──────────────────────────────┐
//!     │                     │    ▲  └────────────────────────────────┘
//!     │               leave │    │ attach
//!     │                     ▼    │
//!     └────────────────► Detached ──────────────► Ended ◄──── its program ends
//!                               nobody came in time
//! ```

use std::time::Duration;

use tokio::time::Instant;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Attached { client: Client },
    Detached { since: Instant },
    Ended,
}

/// One client of a shell: the number of its coming.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Client(u64);

/// A client that has the shell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Attached {
    pub(crate) client: Client,
    /// Whom it took the place of.
    pub(crate) replaced: Option<Client>,
}

#[derive(Debug)]
pub(crate) struct Life {
    state: State,
    n_clients: u64,
    /// For how long it waits for a client.
    patience: Duration,
}

impl Life {
    /// Returns the life of a shell that was opened for a client who is still to come.
    pub(crate) fn new(patience: Duration, now: Instant) -> Self {
        Self { state: State::Detached { since: now }, n_clients: 0, patience }
    }

    /// Gives the shell to a client; none, if it has ended.
    pub(crate) fn attach(&mut self) -> Option<Attached> {
        let replaced = match self.state {
            State::Attached { client } => Some(client),
            State::Detached { .. } => None,
            State::Ended => return None,
        };
        self.n_clients += 1;
        let client = Client(self.n_clients);
        self.state = State::Attached { client };
        Some(Attached { client, replaced })
    }

    /// A client leaves. One that was replaced before is no news.
    pub(crate) fn leave(&mut self, leaving: Client, now: Instant) {
        if self.state == (State::Attached { client: leaving }) {
            self.state = State::Detached { since: now };
        }
    }

    /// Returns when it ends if nobody comes.
    pub(crate) fn ends_at(&self) -> Option<Instant> {
        match self.state {
            State::Detached { since } => since.checked_add(self.patience),
            State::Attached { .. } | State::Ended => None,
        }
    }

    /// Time passes. Tells whether the shell has ended of it.
    pub(crate) fn pass(&mut self, now: Instant) -> bool {
        let is_over = self.ends_at().is_some_and(|end| now >= end);
        if is_over {
            self.end();
        }
        is_over
    }

    pub(crate) fn end(&mut self) {
        self.state = State::Ended;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(900);

    fn seconds(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    #[tokio::test(start_paused = true)]
    async fn a_shell_that_nobody_comes_for_ends() {
        let begun = Instant::now();
        let mut life = Life::new(PATIENCE, begun);
        let first = life.attach().unwrap();
        assert_eq!((first.replaced, life.ends_at()), (None, None));
        assert!(!life.pass(begun + seconds(10_000)), "somebody has it");
        life.leave(first.client, begun + seconds(10_000));
        assert_eq!(life.ends_at(), Some(begun + seconds(10_900)));
        assert!(!life.pass(begun + seconds(10_899)));
        assert!(life.pass(begun + seconds(10_900)));
        assert_eq!(life.attach(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn who_was_replaced_cannot_leave_for_the_other() {
        let begun = Instant::now();
        let mut life = Life::new(PATIENCE, begun);
        let first = life.attach().unwrap();
        let second = life.attach().unwrap();
        assert_eq!(second.replaced, Some(first.client));
        life.leave(first.client, begun);
        assert_eq!(life.ends_at(), None);
        life.leave(second.client, begun + seconds(1));
        assert_eq!(life.ends_at(), Some(begun + seconds(901)));
        assert_eq!(life.attach().unwrap().replaced, None);
        life.end();
        assert_eq!((life.attach(), life.ends_at()), (None, None));
    }

    #[derive(Debug, Clone)]
    enum Event {
        Attach,
        /// Of the client that came so many before the last.
        Leave(usize),
        Wait(u64),
        End,
    }

    fn event() -> impl Strategy<Value = Event> {
        prop_oneof![
            4 => Just(Event::Attach),
            4 => (0_usize..3).prop_map(Event::Leave),
            4 => (0_u64..1200).prop_map(Event::Wait),
            1 => Just(Event::End),
        ]
    }

    proptest! {
        /// Against a model that knows the last client, and since when there is none.
        #[test]
        fn one_client_at_most_has_it_and_only_time_without_one_ends_it(events in prop::collection::vec(event(), 0..40)) {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
            let begun = { let _guard = runtime.enter(); Instant::now() };
            let (mut life, mut now) = (Life::new(PATIENCE, begun), begun);
            let (mut came, mut has, mut alone_since, mut ended) = (Vec::new(), None, Some(begun), false);
            for event in events {
                match event {
                    Event::Attach => match life.attach() {
                        Some(Attached { client, replaced }) => {
                            prop_assert!(!ended && !came.contains(&client));
                            prop_assert_eq!(replaced, has);
                            came.push(client);
                            (has, alone_since) = (Some(client), None);
                        }
                        None => prop_assert!(ended),
                    },
                    Event::Leave(back) => {
                        let Some(leaving) = came.iter().rev().nth(back) else { continue };
                        life.leave(*leaving, now);
                        if has == Some(*leaving) {
                            (has, alone_since) = (None, Some(now));
                        }
                    }
                    Event::Wait(n) => {
                        now += seconds(n);
                        let is_over = !ended && alone_since.is_some_and(|since| now >= since + PATIENCE);
                        prop_assert_eq!(life.pass(now), is_over);
                        ended |= is_over;
                    }
                    Event::End => {
                        life.end();
                        ended = true;
                    }
                }
                if ended {
                    (has, alone_since) = (None, None);
                }
                prop_assert_eq!(life.ends_at(), alone_since.map(|since| since + PATIENCE));
            }
        }
    }
}
