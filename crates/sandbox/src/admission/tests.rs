//! Runtimes that ask at different paces, over a minute or so. Time is a number here.

use std::collections::BTreeMap;

use innkeep_types::RuntimeId;

use super::*;

const RATE: u32 = 25;
const MS: Duration = Duration::from_millis(1);

fn runtime(name: &str) -> RuntimeId {
    RuntimeId::parse(format!("{name}-Ab3dE6gH9j")).unwrap()
}

/// Lets each runtime ask once in so many milliseconds, from and to so many; returns how many starts each got, and how many it wanted.
fn simulate(rate: u32, askers: &[(&'static str, u32, u32, u32)]) -> BTreeMap<&'static str, (u32, u32)> {
    let start = Instant::now();
    let mut bucket = FairRate::new(rate, start);
    let mut granted: BTreeMap<&str, (u32, u32)> = BTreeMap::new();
    for ms in 0..askers.iter().map(|(.., to)| *to).max().unwrap() {
        for (name, every, from, to) in askers {
            if (*from..*to).contains(&ms) && (ms - from) % every == 0 {
                let (got, wanted) = granted.entry(name).or_default();
                *wanted += 1;
                *got += u32::from(bucket.try_take(&runtime(name), start + MS * ms).is_ok());
            }
        }
    }
    granted
}

#[test]
fn a_runtime_alone_has_the_whole_burst_and_then_the_whole_rate() {
    let start = Instant::now();
    let mut bucket = FairRate::new(5, start);
    let mut granted = |now| (0..50).filter(|_| bucket.try_take(&runtime("a"), now).is_ok()).count();
    assert_eq!(granted(start), 20);
    assert_eq!(granted(start + MS * 1000), 5);
    assert_eq!(granted(start + MS * 3_600_000), 20, "after an hour");
}

#[test]
fn whoever_asks_for_half_of_its_share_gets_all_of_it() {
    // More than half may find that what it had in advance is not paid back yet, once.
    for (every, askers) in [(1000, 2), (200, 2), (160, 2), (400, 4)] {
        // A burst that never ends, in which others ask at a pace of their own, from the 20th second on.
        let names = ["b", "c", "d"];
        let mut all = vec![("a", 1, 0, 60_000)];
        all.extend(names.iter().take(askers - 1).map(|name| (*name, every, 20_000, 60_000)));
        let granted = simulate(RATE, &all);
        let others: u32 = names
            .iter()
            .filter_map(|name| granted.get(name))
            .map(|(got, wanted)| {
                assert_eq!(got, wanted, "of {askers}, each asking every {every} ms");
                got
            })
            .sum();
        // The rest is the burst's: nothing is lost, but for what a share holds in store.
        let all_there_is = RATE * 60 + RATE * BURST_SECONDS;
        let (got, _) = granted["a"];
        assert!(got + others <= all_there_is + RATE, "{granted:?}");
        assert!(got + others >= all_there_is - RATE * BURST_SECONDS, "{granted:?}");
    }
}

#[test]
fn bursts_at_one_time_share_alike_whatever_their_pace() {
    for askers in [
        [("a", 1, 0, 60_000), ("b", 7, 0, 60_000), ("c", 30, 0, 60_000)],
        [("c", 30, 0, 60_000), ("b", 7, 0, 60_000), ("a", 1, 0, 60_000)],
    ] {
        let granted = simulate(RATE, &askers);
        // In a minute 1500 come in. The burst before that is whose who comes first.
        for (got, _) in granted.values() {
            assert!((495..=505 + RATE * BURST_SECONDS).contains(got), "{granted:?}");
        }
    }
}

#[test]
fn a_newcomer_finds_a_start_after_anothers_burst_took_all() {
    let start = Instant::now();
    let mut bucket = FairRate::new(RATE, start);
    let mut granted = |name: &str, n| (0..n).filter(|_| bucket.try_take(&runtime(name), start).is_ok()).count();
    assert_eq!(granted("a", 1000), 100);
    assert_eq!(granted("b", 1000), 1);
    // Not more of them, though, than come in within a second.
    let newcomers: usize = (0..100).map(|n| granted(&format!("c{n}"), 1)).sum();
    assert_eq!(newcomers, 24);
}

#[test]
fn newcomers_do_not_take_all_from_those_who_are_there() {
    let start = Instant::now();
    let mut bucket = FairRate::new(RATE, start);
    let mut stayed = 0;
    for ms in 0..60_000 {
        let now = start + MS * ms;
        // Forty of them in a second, each of which asks only once.
        if ms % 25 == 0 {
            let _ = bucket.try_take(&runtime(&format!("c{ms}")), now);
        }
        stayed += u32::from(bucket.try_take(&runtime("a"), now).is_ok());
    }
    assert!(stayed >= 100, "{stayed}");
}

#[test]
fn the_wait_that_is_told_is_the_one_that_it_takes() {
    for n_askers in [1, 2, 5, 40] {
        for rate in [1, 5, RATE] {
            let start = Instant::now();
            let mut bucket = FairRate::new(rate, start);
            let names: Vec<_> = (0..n_askers).map(|n| runtime(&format!("a{n}"))).collect();
            let mut wait = None;
            for _ in 0..=rate * BURST_SECONDS {
                for name in &names {
                    wait = bucket.try_take(name, start).err().or(wait);
                }
            }
            let last = names.last().unwrap();
            let wait = bucket.try_take(last, start).expect_err("there is none left").max(wait.unwrap());
            assert!(wait < ASKED_LATELY, "{wait:?} of {n_askers} at {rate}");
            assert!(bucket.try_take(last, start + wait + MS).is_ok(), "{wait:?} of {n_askers} at {rate}");
        }
    }
}

#[test]
fn a_rate_of_nothing_lets_nothing_through_and_tells_a_wait() {
    let start = Instant::now();
    let mut bucket = FairRate::new(0, start);
    for s in 0..100 {
        assert_eq!(bucket.try_take(&runtime("a"), start + MS * 1000 * s), Err(LONGEST_WAIT));
    }
}

#[test]
fn runtimes_that_ask_once_are_forgotten_and_never_are_there_more_shares_than_starts() {
    let start = Instant::now();
    for (rate, most) in [(1, 5), (RATE, 101), (100_000, 257)] {
        let mut bucket = FairRate::new(rate, start);
        for n in 0..1000 {
            let _ = bucket.try_take(&runtime(&format!("a{n}")), start);
        }
        assert_eq!(bucket.shares.len(), most);
        let _ = bucket.try_take(&runtime("a"), start + ASKED_LATELY * 2);
        assert_eq!(bucket.shares.len(), 1);
    }
}

proptest::proptest! {
    #[test]
    fn no_more_is_let_through_than_burst_rate_and_advance(
        rate in 0u32..40, asked in proptest::collection::vec((0u32..300, 0u32..50), 1..400)
    ) {
        let start = Instant::now();
        let mut bucket = FairRate::new(rate, start);
        let (mut now, mut granted) = (start, 0);
        for (later, name) in asked {
            now += MS * later;
            granted += u32::from(bucket.try_take(&runtime(&format!("a{name}")), now).is_ok());
            let held: f64 = bucket.shares.values().map(|share| share.tokens).sum();
            proptest::prop_assert!(bucket.free >= 0.0 && bucket.shares.values().all(|share| share.tokens >= 0.0));
            proptest::prop_assert!(bucket.free + held <= f64::from(rate * BURST_SECONDS) + 1.001);
        }
        let came_in = (now - start).as_secs_f64() * f64::from(rate);
        let most = f64::from(rate * (BURST_SECONDS + ADVANCE_SECONDS)) + came_in;
        proptest::prop_assert!(f64::from(granted) <= most + 0.001, "{granted} of {most}");
    }
}
