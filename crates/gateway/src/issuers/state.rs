//! What is known of one issuer, and what follows from it at a given time. Pure, but for the mark that it is being asked.
//!
//! ```text
//!  none ──asked, waited for──► good ──¾ of its lifetime──► good, asked anew meanwhile ──lifetime over──► asked, waited for
//!    ▲                           ▲                                                                         │ it fails
//!    │                           └───────────────asked now and then, meanwhile─────────────── leftover ◄───┘
//!    └──────────────────────────────────────────────────────────────────────────────────grace over─┘
//! ```

use std::sync::Arc;
use std::time::Duration;

use innkeep_types::limits;
use tokio::sync::watch;
use tokio::time::Instant;

use super::fetch::Fetched;
use super::{Error, Published};

/// What is known of one issuer.
#[derive(Debug)]
pub(super) struct State {
    kept: Option<Kept>,
    /// The last attempt, if it failed.
    failure: Option<(Instant, Arc<Error>)>,
    /// When it was last asked because a token named a key that was not known.
    asked_for_a_key: Option<Instant>,
    asked: Option<watch::Receiver<()>>,
    used_at: Instant,
}

#[derive(Debug)]
struct Kept {
    found: Arc<Published>,
    at: Instant,
    lifetime: Duration,
}

/// What a request does.
#[derive(Debug)]
pub(super) enum Decision {
    Use(Arc<Published>),
    /// Uses what is there, and has the issuer asked for others to come.
    UseAndAsk(Arc<Published>),
    /// Has the issuer asked, waits, and decides again.
    Ask,
    Refuse(Arc<Error>),
}

impl State {
    pub(super) fn new(now: Instant) -> Self {
        Self { kept: None, failure: None, asked_for_a_key: None, asked: None, used_at: now }
    }

    /// Returns when it was last of use.
    pub(super) fn used_at(&self) -> Instant {
        self.used_at
    }

    /// Returns what ends when the issuer has answered, if it is being asked.
    pub(super) fn being_asked(&self) -> Option<watch::Receiver<()>> {
        // One whose other end is gone belongs to a task that ended before it could tell.
        self.asked.clone().filter(|answer| answer.has_changed().is_ok())
    }

    /// Notes that the issuer is being asked.
    pub(super) fn set_asked(&mut self, answer: watch::Receiver<()>) {
        self.asked = Some(answer);
    }

    /// Notes how it answered.
    pub(super) fn note(&mut self, now: Instant, result: Result<Fetched, Error>) {
        self.asked = None;
        match result {
            Ok((found, lifetime)) => {
                // A key set that is the same stays the same: it remembers what its keys have verified.
                let before = self.kept.take().map(|kept| kept.found).filter(|before| **before == found);
                self.kept = Some(Kept { found: before.unwrap_or_else(|| Arc::new(found)), at: now, lifetime });
                self.failure = None;
            }
            Err(error) => self.failure = Some((now, Arc::new(error))),
        }
    }

    /// Returns what a request does whose token `is_enough` tells to be verifiable with what is known.
    pub(super) fn decide(&mut self, now: Instant, is_enough: impl Fn(&Published) -> bool) -> Decision {
        self.used_at = now;
        let may_ask = self.failure.as_ref().is_none_or(|(at, _)| now >= *at + limits::ISSUER_RETRY);
        let Some(Kept { found, at, lifetime }) = self.kept(now) else {
            return match &self.failure {
                Some((_, error)) if !may_ask => Decision::Refuse(error.clone()),
                _ => Decision::Ask,
            };
        };
        let (found, age, lifetime) = (found.clone(), now - *at, *lifetime);
        if !is_enough(&found) && may_ask && self.may_ask_for_a_key(now) {
            self.asked_for_a_key = Some(now);
            return Decision::Ask;
        }
        if age >= lifetime && self.failure.is_none() {
            Decision::Ask
        } else if age >= lifetime / 4 * 3 && may_ask {
            Decision::UseAndAsk(found)
        } else {
            Decision::Use(found)
        }
    }

    /// Returns what a request has that has waited long enough.
    pub(super) fn what_is_left(&self, now: Instant) -> Result<Arc<Published>, Arc<Error>> {
        match (self.kept(now), &self.failure) {
            (Some(kept), _) => Ok(kept.found.clone()),
            (None, Some((_, error))) => Err(error.clone()),
            (None, None) => Err(Arc::new(Error::Late)),
        }
    }

    fn kept(&self, now: Instant) -> Option<&Kept> {
        self.kept.as_ref().filter(|kept| now - kept.at < kept.lifetime + limits::ISSUER_KEYS_GRACE)
    }

    fn may_ask_for_a_key(&self, now: Instant) -> bool {
        self.asked_for_a_key.is_none_or(|at| now >= at + limits::ISSUER_UNKNOWN_KEY_INTERVAL)
    }
}

#[cfg(test)]
mod tests {
    use innkeep_auth::jwt::KeySet;

    use super::*;

    const MINUTE: u64 = 60;

    /// A story of one issuer: what is done at which second, and the word for what a request decides then.
    struct Story {
        state: State,
        start: Instant,
    }

    impl Story {
        fn new() -> Self {
            let start = Instant::now();
            Self { state: State::new(start), start }
        }

        fn at(&self, secs: u64) -> Instant {
            self.start + Duration::from_secs(secs)
        }

        /// The issuer answers, with keys that live ten minutes.
        fn answers(&mut self, secs: u64) {
            let found = Published { issuer: "https://idp".to_owned(), keys: KeySet::default() };
            self.state.note(self.at(secs), Ok((found, limits::ISSUER_KEYS_LIFETIME)));
        }

        fn fails(&mut self, secs: u64) {
            self.state.note(self.at(secs), Err(Error::Late));
        }

        #[track_caller]
        fn check(&mut self, secs: u64, is_enough: bool, expect: &str) {
            let word = match self.state.decide(self.at(secs), |_| is_enough) {
                Decision::Use(_) => "use",
                Decision::UseAndAsk(_) => "use and ask",
                Decision::Ask => "ask",
                Decision::Refuse(_) => "refuse",
            };
            assert_eq!(word, expect, "at {secs} s");
        }
    }

    #[test]
    fn keys_are_used_and_renewed_before_they_end() {
        let mut story = Story::new();
        story.check(0, true, "ask");
        story.answers(0);
        story.check(7 * MINUTE, true, "use");
        story.check(8 * MINUTE, true, "use and ask");
        story.answers(8 * MINUTE);
        story.check(15 * MINUTE, true, "use");
    }

    #[test]
    fn keys_that_nobody_used_for_long_are_asked_for_before_they_are_believed() {
        let mut story = Story::new();
        story.answers(0);
        story.check(11 * MINUTE, true, "ask");
    }

    #[test]
    fn in_an_outage_keys_are_good_for_a_time_and_then_nobody_is_let_in() {
        let mut story = Story::new();
        story.answers(0);
        story.check(11 * MINUTE, true, "ask");
        story.fails(11 * MINUTE);
        story.check(11 * MINUTE, true, "use");
        story.check(11 * MINUTE + 9, true, "use");
        story.check(11 * MINUTE + 10, true, "use and ask");
        story.fails(70 * MINUTE - 1);
        story.check(70 * MINUTE - 1, true, "use");
        story.check(70 * MINUTE, true, "refuse");
        story.check(70 * MINUTE + 10, true, "ask");
        story.answers(71 * MINUTE);
        story.check(71 * MINUTE, true, "use");
    }

    #[test]
    fn an_issuer_that_fails_from_the_start_is_left_alone_for_a_moment() {
        let mut story = Story::new();
        story.fails(0);
        story.check(9, true, "refuse");
        story.check(10, true, "ask");
    }

    #[test]
    fn unknown_keys_have_the_issuer_asked_once_a_minute() {
        let mut story = Story::new();
        story.answers(0);
        story.check(1, false, "ask");
        story.answers(1);
        story.check(1, false, "use");
        story.check(60, false, "use");
        story.check(61, false, "ask");
        story.fails(62);
        story.check(130, false, "ask");
    }

    #[test]
    fn keys_that_are_the_same_are_kept_with_what_they_have_verified() {
        let mut story = Story::new();
        story.answers(0);
        let first = story.state.what_is_left(story.at(0)).unwrap();
        story.answers(600);
        assert!(Arc::ptr_eq(&first, &story.state.what_is_left(story.at(600)).unwrap()));
        let other = Published { issuer: "https://other".to_owned(), keys: KeySet::default() };
        story.state.note(story.at(700), Ok((other, limits::ISSUER_KEYS_LIFETIME)));
        assert!(!Arc::ptr_eq(&first, &story.state.what_is_left(story.at(700)).unwrap()));
    }

    #[test]
    fn unknown_keys_do_not_make_an_outage_worse() {
        let mut story = Story::new();
        story.answers(0);
        story.check(5, false, "ask");
        story.fails(5);
        story.check(5, false, "use");
        story.check(14, false, "use");
    }
}
