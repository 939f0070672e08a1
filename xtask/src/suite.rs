//! Parts of the whole test run that stand alone: what each is made of.

use std::path::Path;

use anyhow::{Result, bail};

use crate::chores;
use crate::command::Run;
use crate::guest;

/// One suite: Rust integration tests by package, and end-to-end tests by file name.
#[derive(Debug)]
struct Suite {
    name: &'static str,
    /// Arguments after `cargo test`; each runs by itself.
    rust: &'static [&'static [&'static str]],
    /// Prefixes of files in `e2e/tests`.
    end_to_end: &'static [&'static str],
    /// Options of pytest besides.
    options: &'static [&'static str],
}

const SUITES: [Suite; 6] = [
    Suite {
        name: "crash",
        rust: &[&["--package", "innkeep-store", "--test", "it"], &["--package", "innkeep-sandbox", "--test", "it"]],
        end_to_end: &["test_recovery", "test_durability", "test_shutdown", "test_leaks"],
        options: &[],
    },
    Suite {
        name: "abuse",
        rust: &[&["--package", "innkeep-server", "--test", "it"], &["--package", "innkeep-gateway", "--test", "it"]],
        end_to_end: &["test_real_agents", "test_auth", "test_bodies", "test_leaks"],
        options: &[],
    },
    Suite {
        name: "security",
        rust: &[&["--package", "innkeep-sandbox", "--lib", "--test", "it"], &["--package", "xtask", "threats"]],
        end_to_end: &["test_container_security", "test_base_tree", "test_leaks"],
        options: &[],
    },
    Suite { name: "clients", rust: &[], end_to_end: &["test_clients_", "test_agents_", "test_leaks"], options: &[] },
    Suite { name: "frameworks", rust: &[], end_to_end: &["test_frameworks"], options: &["--all-frameworks"] },
    Suite {
        name: "conformance",
        rust: &[&["--package", "innkeep-control", "--test", "it"]],
        end_to_end: &[
            "test_conformance",
            "test_control_plane",
            "test_endpoints",
            "test_clients_pollers",
            "test_clients_rust",
        ],
        options: &[],
    },
];

/// Runs the suite called `name`: one of these, or the one that takes a machine of its own.
///
/// # Errors
/// When there is no such suite, or at the first of its tests that fails.
pub(crate) fn run(root: &Path, name: &str) -> Result<()> {
    if name == guest::SUITE {
        return guest::run(root);
    }
    let Some(suite) = SUITES.iter().find(|suite| suite.name == name) else {
        bail!("there is no suite {name}; there are: {}, {}", SUITES.map(|suite| suite.name).join(", "), guest::SUITE);
    };
    for arguments in suite.rust {
        Run::cargo(&["test"]).args(*arguments).dir(root).go()?;
    }
    let mut files: Vec<_> = std::fs::read_dir(root.join("e2e/tests"))?
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|file| suite.end_to_end.iter().any(|prefix| file.starts_with(prefix)))
        .map(|file| format!("tests/{file}"))
        .collect();
    files.sort();
    files.extend(suite.options.iter().map(|&option| option.to_owned()));
    chores::end_to_end(root, &files)
}
