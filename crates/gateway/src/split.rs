//! Which part of a split endpoint a session goes to, by weighted rendezvous hashing.
//!
//! Each part draws a number for the session, from a hash of both; its weight scales the draw so that it wins its share of all
//! sessions; the best draw has the session. Nothing is remembered: a session goes to the same part every time, after a restart too.
//! A draw does not depend on the other parts, so a weight that rises only draws sessions to its part, and one that falls only sends
//! its own away: between two versions exactly the share that changes hands moves, and a version that is added or removed leaves the
//! sessions of the others where they are. With cumulative ranges every range behind the change would shift. Source: Schindelhauer and
//! Schomaker, "Weighted distributed hash tables" (2005), the logarithmic method.

use std::sync::Arc;

use innkeep_store::VersionRecord;
use innkeep_types::{RuntimeVersion, SessionId};

use crate::resolve::Resolved;
use crate::target::Target;

/// The parts of one endpoint.
#[derive(Debug)]
pub(crate) struct Split(pub(crate) Vec<Part>);

/// What one version serves of an endpoint.
#[derive(Debug)]
pub(crate) struct Part {
    pub(crate) version: RuntimeVersion,
    /// Above 0.
    pub(crate) weight: u32,
    /// The version as it is stored where it could not be made startable: its own sessions fail, those of the others do not.
    pub(crate) resolved: Result<Arc<Resolved>, Box<VersionRecord>>,
}

impl Split {
    /// Returns the part that has the session; none if there are no parts.
    pub(crate) fn pick(&self, target: &Target, session: &SessionId) -> Option<&Part> {
        let point = point(target, session);
        let parts = self.0.iter().map(|part| (part, draw(point, part.version.get(), part.weight)));
        parts.max_by(|(_, a), (_, b)| a.total_cmp(b)).map(|(part, _)| part)
    }
}

/// Hashes what names the session. SHA-256, because it is the same in every build and callers choose the session's id.
fn point(target: &Target, session: &SessionId) -> u64 {
    let digest = innkeep_auth::digest(format!("{}\n{}\n{session}", target.runtime, target.endpoint).as_bytes());
    digest.iter().take(8).fold(0, |point, byte| point << 8 | u64::from(*byte))
}

/// Returns a version's draw for the session at `point`.
fn draw(point: u64, version: u32, weight: u32) -> f64 {
    let [_, high] = halves(scramble(point ^ scramble(version.into())));
    // Above 0 and below 1, so that its logarithm is finite and negative.
    let even = (f64::from(high) + 0.5) / (f64::from(u32::MAX) + 1.0);
    -f64::from(weight) / even.ln()
}

fn halves(n: u64) -> [u32; 2] {
    let [a, b, c, d, e, f, g, h] = n.to_le_bytes();
    [u32::from_le_bytes([a, b, c, d]), u32::from_le_bytes([e, f, g, h])]
}

/// Spreads a number over all bits, one to one. Source: SplitMix64 (Steele, Lea, Flood, 2014).
fn scramble(n: u64) -> u64 {
    let n = n.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let n = (n ^ (n >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let n = (n ^ (n >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    n ^ (n >> 31)
}

#[cfg(test)]
mod tests {
    use innkeep_types::{EndpointName, RuntimeId};

    use super::*;

    const SESSIONS: u32 = 20_000;

    /// Returns the version of each session under these weights.
    fn shared_out(weights: &[(u32, u32)]) -> Vec<u32> {
        let runtime = RuntimeId::parse("agent-0123456789").unwrap();
        let target = Target { runtime, endpoint: EndpointName::parse("prod").unwrap() };
        let version_of = |n: u32| {
            let point = point(&target, &SessionId::from_short(&format!("s{n}")).unwrap());
            let best = weights.iter().max_by(|a, b| draw(point, a.0, a.1).total_cmp(&draw(point, b.0, b.1)));
            best.unwrap().0
        };
        (0..SESSIONS).map(version_of).collect()
    }

    /// Checks that `share` of them, in thousandths, is within a hundredth of what is expected.
    #[track_caller]
    fn check(n: usize, share: u32) {
        let n = u32::try_from(n).unwrap();
        let expect = SESSIONS / 1000 * share;
        assert!(n.abs_diff(expect) < SESSIONS / 100, "{n} sessions, expected {expect}");
    }

    fn count(sessions: &[u32], version: u32) -> usize {
        sessions.iter().filter(|of| **of == version).count()
    }

    /// Returns which sessions moved, as (from, to).
    fn moved(before: &[u32], after: &[u32]) -> Vec<(u32, u32)> {
        before.iter().copied().zip(after.iter().copied()).filter(|(a, b)| a != b).collect()
    }

    #[test]
    fn each_version_gets_its_share_whatever_the_scale() {
        for weights in [[(7, 90), (8, 10)], [(7, 900), (8, 100)], [(7, 9), (8, 1)]] {
            let sessions = shared_out(&weights);
            check(count(&sessions, 7), 900);
            check(count(&sessions, 8), 100);
        }
        let sessions = shared_out(&[(1, 1), (2, 2), (3, 5)]);
        for (version, share) in [(1, 125), (2, 250), (3, 625)] {
            check(count(&sessions, version), share);
        }
    }

    #[test]
    fn weight_that_moves_takes_along_its_sessions_and_no_others() {
        let before = shared_out(&[(7, 90), (8, 10)]);
        assert_eq!(before, shared_out(&[(7, 90), (8, 10)]), "the same every time");
        let moved = moved(&before, &shared_out(&[(7, 75), (8, 25)]));
        check(moved.len(), 150);
        assert!(moved.iter().all(|change| *change == (7, 8)));
    }

    #[test]
    fn a_version_that_comes_or_goes_leaves_the_others_alone() {
        let (two, three) = (shared_out(&[(7, 50), (8, 50)]), shared_out(&[(7, 50), (8, 50), (9, 25)]));
        let came = moved(&two, &three);
        check(came.len(), 200);
        assert!(came.iter().all(|(_, to)| *to == 9));
        assert!(moved(&three, &two).iter().all(|(from, _)| *from == 9));
    }
}
