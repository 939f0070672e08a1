//! The fuzz targets on stable: a million mutations of their corpora, from a seed that is printed.
//!
//! `INNKEEP_FUZZ_SEED` repeats a run.

use std::fs;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::path::Path;

#[path = "../../../../fuzz/src/lib.rs"]
#[expect(unreachable_pub, reason = "a crate's public functions, where the file is one")]
mod targets;

/// Cases per target.
const CASES: usize = 300_000;

/// The longest case, bytes.
const LONGEST: usize = 8192;

/// What random bytes would hardly hit upon.
const TOKENS: [&[u8]; 24] = [
    b"\0",
    b"\n",
    b"\r\n",
    b"%2F",
    b"%25",
    b"%",
    b"..",
    b"//",
    b":",
    b"/",
    b"?",
    b"&",
    b"=",
    b",",
    b";",
    b"\"",
    b"\\u0000",
    b"{",
    b"[",
    b"null",
    b"-1",
    b"1e999",
    b"18446744073709551616",
    b"\xff",
];

/// xorshift64*: small, and the same everywhere.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    fn below(&mut self, n: usize) -> usize {
        usize::try_from((self.next() >> 11) % (n.max(1) as u64)).unwrap()
    }

    fn range(&mut self, len: usize) -> std::ops::Range<usize> {
        let start = self.below(len + 1);
        start..start + self.below((len - start).min(64) + 1)
    }

    fn mutate(&mut self, case: &mut Vec<u8>, corpus: &[Vec<u8>]) {
        let at = self.below(case.len() + 1);
        match self.below(7) {
            0 if at < case.len() => case[at] ^= 1 << self.below(8),
            1 if at < case.len() => case[at] = self.next().to_le_bytes()[0],
            2 => drop(case.drain(self.range(case.len()))),
            3 => {
                let copy = case[self.range(case.len())].to_vec();
                drop(case.splice(at..at, copy));
            }
            4 => {
                let token = TOKENS[self.below(TOKENS.len())];
                drop(case.splice(at..at, token.iter().copied()));
            }
            5 => {
                let other = &corpus[self.below(corpus.len())];
                let part = other[self.range(other.len())].to_vec();
                drop(case.splice(self.range(case.len()), part));
            }
            _ if self.below(8) == 0 => case.truncate(at),
            _ => {}
        }
        case.truncate(LONGEST);
    }
}

/// Shows the case that failed.
struct Shown<'a>(&'a [u8]);

impl Drop for Shown<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("failed with b\"{}\"", self.0.escape_ascii());
        }
    }
}

fn check(name: &str, target: fn(&[u8]) -> bool) {
    let seed = seed();
    println!("INNKEEP_FUZZ_SEED={seed}");
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(name);
    let mut files: Vec<_> = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let corpus: Vec<Vec<u8>> = files.iter().map(|file| fs::read(file).unwrap()).collect();
    for case in &corpus {
        assert!(target(case), "a seed that is not understood: {}", case.escape_ascii());
    }
    let mut random = Random(seed);
    for _ in 0..CASES {
        let mut case = corpus[random.below(corpus.len())].clone();
        for _ in 0..=random.below(4) {
            random.mutate(&mut case, &corpus);
        }
        let shown = Shown(&case);
        target(shown.0);
    }
}

fn seed() -> u64 {
    #[expect(clippy::disallowed_methods, reason = "this is how a test is told what to repeat")]
    let given = std::env::var("INNKEEP_FUZZ_SEED").ok();
    given.map_or_else(|| RandomState::new().build_hasher().finish() | 1, |seed| seed.parse().unwrap())
}

#[test]
fn sigv4() {
    check("sigv4", targets::sigv4);
}

#[test]
fn target() {
    check("target", targets::target);
}

#[test]
fn ping() {
    check("ping", targets::ping);
}

#[test]
fn link() {
    check("link", targets::link);
}

#[test]
fn jwt() {
    check("jwt", targets::jwt);
}

#[test]
fn policy() {
    check("policy", targets::policy);
}

#[test]
fn json_rpc() {
    check("json_rpc", targets::json_rpc);
}

#[test]
fn shell() {
    check("shell", targets::shell);
}

#[test]
fn event_stream() {
    check("event_stream", targets::event_stream);
}

#[test]
fn frames() {
    check("frames", targets::frames);
}
