//! Zygotes by version: who has one, who rests, who gives way. Time is handed in.

use std::fs::File;
use std::path::PathBuf;

use innkeep_types::{EndpointName, RuntimeId, RuntimeVersion};

use super::*;

fn key(version: u32) -> PoolKey {
    let runtime = RuntimeId::parse("hello-Ab3dE6gH9j").unwrap();
    PoolKey { runtime, endpoint: EndpointName::default_endpoint(), version: RuntimeVersion::new(version).unwrap() }
}

fn zygote(id: &SandboxId) -> Arc<Zygote> {
    let null = || File::open("/dev/null").unwrap();
    Arc::new(Zygote { id: id.clone(), directory: PathBuf::new(), users: null(), processes: null() })
}

fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

/// Starts one and lets it import.
fn start(slots: &mut Slots, version: u32, now: Instant) -> (SandboxId, CancellationToken) {
    let id = SandboxId::generate();
    let retire = slots.claim(&key(version), &id, now).unwrap();
    assert!(slots.offer(&key(version), zygote(&id), now));
    (id, retire)
}

fn why(slots: &Slots, version: u32) -> String {
    let info = slots.list().into_iter().find(|info| info.key == key(version)).unwrap();
    info.state.why().unwrap_or_default().to_owned()
}

#[test]
fn one_start_at_a_time_and_a_rest_after_each_failure() {
    let (mut slots, key, mut now) = (Slots::default(), key(1), Instant::now());
    for rest in [2, 4, 8] {
        let id = SandboxId::generate();
        assert!(slots.claim(&key, &id, now).is_some() && slots.claim(&key, &id, now).is_none());
        assert!(slots.ready(&key, now).is_none());
        assert!(slots.failed(&key, &id, ZygoteRefusal::Interpreter, "it ended", now));
        assert_eq!(why(&slots, 1), "it ended");
        now += secs(rest - 1);
        assert!(slots.claim(&key, &id, now).is_none(), "{rest}");
        now += secs(1);
    }
    let (id, retire) = start(&mut slots, 1, now);
    assert_eq!(slots.ready(&key, now).map(|zygote| zygote.id.clone()), Some(id.clone()));
    slots.retired(&key, &SandboxId::generate());
    assert!(slots.ready(&key, now).is_some());
    slots.forked(&key, &id);
    assert_eq!(slots.list()[0].forks, 1);
    assert!(slots.failed(&key, &id, ZygoteRefusal::Imports, "threads", now) && retire.is_cancelled());
    assert!(slots.claim(&key, &id, now + LONGEST_REST - secs(1)).is_none());
    assert!(slots.claim(&key, &id, now + LONGEST_REST).is_some());
    assert_eq!(rest(100), LONGEST_REST);

    let counts = slots.counts();
    let refusals = BTreeMap::from([(ZygoteRefusal::Interpreter, 3), (ZygoteRefusal::Imports, 1)]);
    // The first start is none; the last was after the imports were no good.
    assert_eq!((counts.forks, counts.restarts, &counts.refusals), (1, 4, &refusals));
}

#[test]
fn what_is_heard_of_one_does_nothing_to_another_in_its_place() {
    let (mut slots, key, now) = (Slots::default(), key(1), Instant::now());
    let (older, _) = start(&mut slots, 1, now);
    slots.failed(&key, &older, ZygoteRefusal::Fork, "a fork failed", now);
    let (newer, retire) = start(&mut slots, 1, now + secs(2));
    assert!(!slots.failed(&key, &older, ZygoteRefusal::Fork, "another fork failed", now + secs(2)));
    slots.retired(&key, &older);
    assert!(!slots.offer(&key, zygote(&older), now + secs(2)) && slots.idle_at(&key, &older).is_none());
    assert_eq!(slots.ready(&key, now + secs(2)).map(|zygote| zygote.id.clone()), Some(newer));
    assert!(!retire.is_cancelled());
    assert_eq!(slots.counts().refusals, BTreeMap::from([(ZygoteRefusal::Fork, 1)]), "each is counted once");
}

#[test]
fn versions_that_are_no_more_leave_nothing() {
    let (mut slots, now) = (Slots::default(), Instant::now());
    let importing = slots.claim(&key(1), &SandboxId::generate(), now).unwrap();
    let (id, ready) = start(&mut slots, 2, now);
    assert!(slots.never(&key(3), "it is no Python") && !slots.never(&key(3), "it is no Python"));
    let (_, other) = start(&mut slots, 4, now);
    slots.forget(&|key| key.version.get() < 4);
    assert!(importing.is_cancelled() && ready.is_cancelled() && !other.is_cancelled());
    assert_eq!(slots.list().iter().map(|info| &info.key).collect::<Vec<_>>(), [&key(4)]);
    // It was importing when it was forgotten.
    assert!(!slots.offer(&key(2), zygote(&id), now));
}

#[test]
fn the_one_that_forked_the_longest_ago_ends_for_another_unless_it_did_lately() {
    let (mut slots, mut now) = (Slots::default(), Instant::now());
    let most = u32::try_from(limits::MAX_ZYGOTES).unwrap();
    let retire: Vec<_> = (1..=most).map(|n| start(&mut slots, n, now).1).collect();
    let id = SandboxId::generate();
    assert!(slots.claim(&key(most + 1), &id, now).is_none(), "all are in use");
    assert!(why(&slots, most + 1).contains("16 zygotes of other versions are in use"));
    now += limits::ZYGOTE_KEPT;
    slots.ready(&key(1), now).unwrap();
    assert!(slots.claim(&key(most + 1), &id, now).is_some());
    let ending: Vec<_> = retire.iter().map(CancellationToken::is_cancelled).collect();
    assert_eq!(ending, (1..=most).map(|n| n == 2).collect::<Vec<_>>());
    // While it imports, it counts.
    assert_eq!(slots.list().iter().filter(|info| info.state.why().is_none()).count(), limits::MAX_ZYGOTES);
}

#[test]
fn versions_that_are_wanted_in_turn_do_not_import_in_turn() {
    let (mut slots, begun) = (Slots::default(), Instant::now());
    let n_versions = u32::try_from(limits::MAX_ZYGOTES).unwrap() + 1;
    let (mut now, mut n_imports) = (begun, 0);
    // Each one every 68 seconds, for twenty minutes.
    while now < begun + secs(20 * 60) {
        for version in 1..=n_versions {
            now += secs(4);
            if slots.ready(&key(version), now).is_some() {
                continue;
            }
            let id = SandboxId::generate();
            if slots.claim(&key(version), &id, now).is_some() {
                n_imports += 1;
                slots.offer(&key(version), zygote(&id), now);
            }
        }
    }
    assert!(n_imports <= n_versions + 20 * 60 / 4 / 17 + 4, "{n_imports}");
}
