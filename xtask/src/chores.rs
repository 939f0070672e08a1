//! The chores themselves: what runs before a commit (`check`), before a release (`test`), and to know how fast it is (`bench`).

use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::command::Run;
use crate::{guest, host, tidy};

/// Formatting, lints, tidy, fast tests.
///
/// # Errors
/// At the first of them that fails.
pub(crate) fn check(root: &Path) -> Result<()> {
    Run::cargo(&["fmt", "--all", "--check"]).dir(root).go()?;
    tidy::run(root)?;
    Run::cargo(&["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]).dir(root).go()?;
    rust_tests(root)
}

/// Installs what is missing, then [`check`], the fuzz targets, the tests that take a machine of their own, and the end-to-end tests. These
/// see to it themselves that the machine is left as it was found; for the others it is done here.
///
/// # Errors
/// At the first of them that fails.
pub(crate) fn everything(root: &Path, pytest_arguments: &[String]) -> Result<()> {
    let python = provide(root)?;
    let remembered = root.join("target/machine.json");
    let machine = |what| Run::new(&python).args([&root.join("e2e/machine.py")]).args([what]).args([&remembered]).go();
    machine("remember")?;
    check(root)?;
    machine("compare")?;
    fuzz_targets(root)?;
    guest::run(root)?;
    end_to_end(root, pytest_arguments)
}

/// Checks that the fuzz targets, a workspace of their own, still fit the code that they call: stable does that, though it takes
/// nightly to run them. What the workspace has checked already is used again: the same profile, in the same directory.
fn fuzz_targets(root: &Path) -> Result<()> {
    let arguments = ["check", "--locked", "--bins", "--manifest-path", "fuzz/Cargo.toml", "--target-dir", "target"];
    Run::cargo(&arguments).dir(root).go()
}

/// What the second round of end-to-end tests leaves out: what chooses its isolation itself, and what asks who may call, how clients try
/// again, what the control plane answers, and what is kept on record, which is the same before all walls.
const SAME_EVERYWHERE: [&str; 17] = [
    "recovery",
    "security",
    "base_tree",
    "frameworks",
    "test_zygote",
    "test_images",
    "conformance",
    "test_policies",
    "test_keys",
    "test_jwt",
    "test_owners_audit",
    "test_tls",
    "test_cors",
    "test_durability",
    "test_clients_retries",
    "test_control_plane",
    "test_cli_control",
];

/// Installs what is missing, then the end-to-end tests that the arguments name, against the debug build, which the other tests have made
/// for the most part: a release takes two cores five minutes. `INNKEEP_BIN` names another binary.
///
/// # Errors
/// At the first of them that fails.
pub(crate) fn end_to_end(root: &Path, pytest_arguments: &[String]) -> Result<()> {
    let python = provide(root)?;
    Run::cargo(&["build", "--package", "innkeep"]).dir(root).go()?;
    rust_client(root)?;
    let binary = std::env::var_os("INNKEEP_BIN").map_or_else(|| root.join("target/debug/innkeep"), PathBuf::from);
    let pytest = || {
        let run = Run::new(&python).args(["-m", "pytest"]).args(pytest_arguments).dir(&root.join("e2e"));
        run.env("INNKEEP_BIN", &binary)
    };
    pytest().go()?;
    // Once more behind walls, what did not choose its isolation itself. A selection by the caller is taken as it is.
    if pytest_arguments.is_empty() && host::is_root() {
        let but = SAME_EVERYWHERE.map(|file| format!("not {file}")).join(" and ");
        return pytest().args(["-k", &but]).env("INNKEEP_TEST_ISOLATION", "container").go();
    }
    Ok(())
}

/// Installs what the tests need and this machine lacks; quick where nothing is. Returns the interpreter of the tests.
fn provide(root: &Path) -> Result<PathBuf> {
    host::provide(host::TESTS)?;
    host::provide_rust_components()?;
    let e2e = root.join("e2e");
    host::node_packages(&e2e)?;
    host::python_environment(&e2e)
}

/// The measurements of `bench/`, each contender in the same run.
///
/// # Errors
/// When something is missing and cannot be installed, or a contender fails.
pub(crate) fn bench(root: &Path, arguments: &[String]) -> Result<()> {
    host::provide(host::TESTS)?;
    host::provide(host::BENCH)?;
    let python = host::python_environment(&root.join("e2e"))?;
    Run::cargo(&["build", "--release", "--package", "innkeep", "--package", "innkeep-bench-leases"]).dir(root).go()?;
    // Static: an agent that costs its start no dynamic linker.
    let agent = ["rustc", "--release", "--package", "innkeep-bench-agent", "--", "-Ctarget-feature=+crt-static"];
    Run::cargo(&agent).dir(root).go()?;
    Run::new(python).args([root.join("bench/measure.py")]).args(arguments).dir(root).go()
}

/// Builds the client on the AWS SDK for Rust, a workspace of its own: cold, its crates take two cores a minute and a half.
fn rust_client(root: &Path) -> Result<()> {
    let arguments =
        ["build", "--locked", "--manifest-path", "e2e/rust-sdk/Cargo.toml", "--target-dir", "target/rust-sdk"];
    Run::cargo(&arguments).dir(root).go()
}

/// Every test of the workspace: with nextest where it is installed (faster, one process per test), else with `cargo test`.
fn rust_tests(root: &Path) -> Result<()> {
    if Run::cargo(&["nextest", "--version"]).works() {
        Run::cargo(&["nextest", "run", "--workspace"]).dir(root).go()
    } else {
        Run::cargo(&["test", "--workspace", "--all-targets"]).dir(root).go()
    }
}
