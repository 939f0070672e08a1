//! What the tests have in common: groups and processes that are gone when a test ends, however it ends.

mod fake;
mod real;
mod real_v2;

use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use innkeep_testkit::wait_for;
use tempfile::TempDir;

use super::*;

const DEADLINE: Duration = Duration::from_secs(20);
const PYTHON: &str = "/usr/bin/python3";

fn sandbox(name: &str) -> SandboxId {
    SandboxId::parse(name).unwrap()
}

/// A server of its own: its groups, and the directory that names them.
struct Server {
    cgroups: Cgroups,
    data_dir: TempDir,
}

impl Server {
    fn new(host: &Host) -> Self {
        let data_dir = tempfile::tempdir().unwrap();
        Self { cgroups: Cgroups::find_on(host, data_dir.path()), data_dir }
    }

    fn create(&self, name: &str, resources: &Resources) -> Cgroup {
        limited(&self.cgroups, name, resources).unwrap()
    }

    fn parents(&self) -> Vec<&PathBuf> {
        self.cgroups.0.trees.iter().map(|tree| &tree.parent).collect()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        for sandbox in self.cgroups.found() {
            super::remove::remove(&self.cgroups.open(&sandbox));
        }
        self.cgroups.0.remove_empty_parents();
    }
}

/// A program in a group, in the foreground of nothing.
struct Inmate(Child);

impl Inmate {
    /// Runs a shell script, which may `exec`.
    fn start(cgroup: &Cgroup, script: &str) -> Self {
        let enter = "for file in \"$@\"; do echo $$ > \"$file\" || exit 99; done; ";
        let mut command = Command::new("/bin/sh");
        command.args(["-c", &format!("{enter}{script}"), "sh"]).args(cgroup.procs_files());
        Self(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
    }

    /// Waits for its end.
    async fn ended(&mut self) -> ExitStatus {
        let mut status = None;
        wait_for("the end of a process", DEADLINE, || {
            status = self.0.try_wait().unwrap();
            status.is_some()
        })
        .await;
        status.unwrap()
    }
}

impl Drop for Inmate {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Waits for `n` processes, or more, that have entered the last of the groups.
async fn wait_for_processes(cgroup: &Cgroup, n: usize) {
    let file = cgroup.procs_files().pop().unwrap();
    let count = || fs::read_to_string(&file).unwrap().lines().count();
    wait_for("processes in a group", DEADLINE, || count() >= n).await;
}

#[expect(clippy::print_stderr, reason = "says why a test is skipped")]
fn skip(why: &str) {
    eprintln!("skipped: {why}");
}

/// Makes a sandbox's groups and limits them, as a start does.
fn limited(cgroups: &Cgroups, name: &str, resources: &Resources) -> Result<Cgroup, Error> {
    let cgroup = cgroups.create(&sandbox(name))?;
    cgroup.limit(resources)?;
    Ok(cgroup)
}
