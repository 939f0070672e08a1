//! A test as an ordinary user: where the test process is root, the test runs once more in a process that is not.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Nobody's user id, below those that a user namespace of ours could be given.
const USER: u32 = 61_357;

/// Who does the test.
pub(crate) enum Turn {
    /// This process: its user is an ordinary one.
    Ours,
    /// Another one did, or nobody can.
    Over,
}

/// Tells whose turn it is to do the test called `name`, a path that begins with the crate.
pub(crate) async fn turn(name: &str) -> Turn {
    if !rustix::process::geteuid().is_root() {
        return Turn::Ours;
    }
    let (_, name) = name.split_once("::").unwrap();
    let name = name.to_owned();
    tokio::task::spawn_blocking(move || run_as_user(&name)).await.unwrap();
    Turn::Over
}

/// Tells whether this kernel gives user namespaces to ordinary users, and lets them mount there. (We need tools to know.)
pub(crate) fn has_user_namespaces() -> bool {
    let mut command = match rustix::process::geteuid().is_root() {
        true => as_user("unshare"),
        false => Command::new("unshare"),
    };
    let tried = command
        .args(["--user", "--map-root-user", "--mount", "mount", "-t", "tmpfs", "none", "/mnt"])
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .status();
    tried.is_ok_and(|status| status.success())
}

/// Runs the test in a directory that the user owns, and fails if it does.
fn run_as_user(name: &str) {
    if !has_user_namespaces() {
        println!("skipped: no user namespaces for ordinary users here, or no setpriv and unshare");
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    chown(directory.path(), Some(USER), Some(USER)).unwrap();
    let program = reachable(&std::env::current_exe().unwrap(), directory.path());
    let mut command = as_user(program.to_str().unwrap());
    command.args(["--exact", name, "--nocapture", "--test-threads=1"]).current_dir(directory.path());
    let output = command.env("TMPDIR", directory.path()).stdin(Stdio::null()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    print!("{said}{}", String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "as an ordinary user it failed: {}", output.status);
    assert!(said.contains("1 passed"), "it did not run");
}

fn as_user(program: &str) -> Command {
    let mut command = Command::new("setpriv");
    let user = USER.to_string();
    command.args(["--reuid", &user, "--regid", &user, "--clear-groups", "--", program]);
    command
}

/// Returns a path to `program` that is open to everybody: its own, or that of a copy in `directory`.
fn reachable(program: &Path, directory: &Path) -> PathBuf {
    let is_open = |path: &Path| fs::metadata(path).is_ok_and(|found| found.permissions().mode() & 0o001 != 0);
    if program.ancestors().all(is_open) {
        return program.to_owned();
    }
    let copy = directory.join("test");
    fs::hard_link(program, &copy).or_else(|_| fs::copy(program, &copy).map(drop)).unwrap();
    copy
}
