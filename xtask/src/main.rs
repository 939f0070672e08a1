//! The project's own chores. `cargo xtask test` is the one command that runs every test and installs what they need.
//!
//! ```text
//! check   formatting, clippy, tidy and the fast tests: what every commit passes
//! tidy    the rules of the tree that no compiler knows: layers, file length, docs, names, migrations
//! test    everything: what `check` does, then the end-to-end tests with real clients
//! suite   one part of `test` alone: crash, abuse, security, clients, frameworks, conformance or cgroup2
//! bench   side-by-side measurements; writes bench/RESULTS.md
//! ```

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program for a terminal")]

mod chores;
mod command;
mod guest;
mod host;
mod suite;
mod tidy;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Result, bail};

const USAGE: &str = "usage: cargo xtask check | tidy | test [PYTEST-ARGUMENT…] | suite crash|abuse|security|clients|frameworks|conformance|cgroup2 | bench [ARGUMENT…]";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &[String]) -> Result<()> {
    let root = root();
    match arguments.split_first() {
        Some((word, [])) if word == "check" => chores::check(&root),
        Some((word, [])) if word == "tidy" => tidy::run(&root),
        Some((word, rest)) if word == "test" => chores::everything(&root, rest),
        Some((word, [suite])) if word == "suite" => suite::run(&root, suite),
        Some((word, rest)) if word == "bench" => chores::bench(&root, rest),
        _ => bail!(USAGE),
    }
}

/// Returns the workspace's directory.
fn root() -> PathBuf {
    let member = Path::new(env!("CARGO_MANIFEST_DIR"));
    member.parent().unwrap_or(member).to_owned()
}
