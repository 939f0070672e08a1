//! What of the host matters beside the driver: who runs this and on what, where data goes, virtual machines, the end of a log-in.

use std::fs::{self, OpenOptions};
use std::path::{Path, PathBuf};

use innkeep_server::{Finding, FindingState};
use rustix::fs::{Access, StatVfsMountFlags, access, statvfs};
use rustix::process::geteuid;

use crate::environment::Environment;

/// Where the login manager's settings are, and those that go before them.
const LOGIND: [&str; 2] = ["/usr/lib/systemd/logind.conf", "/etc/systemd/logind.conf"];
const LOGIND_PARTS: [&str; 3] =
    ["/usr/lib/systemd/logind.conf.d", "/run/systemd/logind.conf.d", "/etc/systemd/logind.conf.d"];

/// Returns what there is to say of this host.
pub(super) fn examine(data_dir: &Path, environment: &Environment) -> Vec<Finding> {
    let mut findings = vec![host(), data_directory(data_dir), kvm(Path::new("/dev/kvm"))];
    findings.extend(logout(environment));
    findings
}

fn finding(what: &'static str, state: FindingState, detail: impl Into<String>) -> Finding {
    Finding { what, state, detail: detail.into(), fix: None }
}

fn host() -> Finding {
    let uname = rustix::system::uname();
    let text = |part: &std::ffi::CStr| part.to_string_lossy().into_owned();
    let user = match geteuid() {
        root if root.is_root() => "as root".to_owned(),
        other => format!("rootless, as user {}", other.as_raw()),
    };
    let detail = format!("{} {} {}, {user}", text(uname.sysname()), text(uname.release()), text(uname.machine()));
    finding("host", FindingState::Good, detail)
}

fn data_directory(path: &Path) -> Finding {
    let what = "data directory";
    // What is not there yet is made by the first start, below the nearest directory that is.
    let existing = path.ancestors().find(|ancestor| ancestor.exists()).unwrap_or_else(|| Path::new("/"));
    let shown = path.display();
    let fix = "name another with --data-dir".to_owned();
    if !existing.is_dir() || access(existing, Access::WRITE_OK | Access::EXEC_OK).is_err() {
        let detail = format!("{shown} cannot be written to");
        return Finding { fix: Some(fix), ..finding(what, FindingState::Missing, detail) };
    }
    if statvfs(existing).is_ok_and(|found| found.f_flag.contains(StatVfsMountFlags::NOEXEC)) {
        let detail = format!("{shown} is on a file system that is mounted noexec; the sidecar is started from it");
        return Finding { fix: Some(fix), ..finding(what, FindingState::Missing, detail) };
    }
    let state = if existing == path { "can be written to" } else { "is made by the first start" };
    finding(what, FindingState::Good, format!("{shown} {state}"))
}

/// No gap today: nothing here makes virtual machines yet.
fn kvm(device: &Path) -> Finding {
    let what = "virtual machines";
    let later = "needed by no isolation that this version has";
    match OpenOptions::new().read(true).write(true).open(device) {
        Ok(_) => finding(what, FindingState::Good, format!("KVM can be used; {later}")),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            finding(what, FindingState::Weak, format!("there is no KVM; {later}"))
        }
        Err(error) => {
            let fix = Some("usermod -aG kvm \"$USER\", and log in again".to_owned());
            Finding { fix, ..finding(what, FindingState::Weak, format!("KVM may not be used: {error}; {later}")) }
        }
    }
}

/// A login manager that kills what a user leaves behind ends server and sandboxes alike.
fn logout(environment: &Environment) -> Option<Finding> {
    let user = environment.first(&["USER", "LOGNAME"])?;
    let lingers = Path::new("/var/lib/systemd/linger").join(user).exists();
    if geteuid().is_root() || lingers || !Path::new("/run/systemd/system").exists() {
        return None;
    }
    let parts = LOGIND_PARTS.into_iter().flat_map(|directory| sorted(Path::new(directory)));
    let files = LOGIND.into_iter().map(PathBuf::from).chain(parts);
    let texts: Vec<_> = files.filter_map(|file| fs::read_to_string(file).ok()).collect();
    kills_at_logout(&texts).then(|| Finding {
        fix: Some(format!("loginctl enable-linger {user}")),
        ..finding("log-out", FindingState::Weak, "KillUserProcesses=yes: server and sandboxes end when you log out")
    })
}

fn sorted(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut files: Vec<_> =
        entries.filter(|path| path.extension().is_some_and(|extension| extension == "conf")).collect();
    files.sort();
    files
}

/// The last line that says so counts. Where none does, distributions differ, and most do not kill.
fn kills_at_logout(texts: &[String]) -> bool {
    let lines = texts.iter().flat_map(|text| text.lines());
    let mut said =
        lines.filter_map(|line| line.trim().strip_prefix("KillUserProcesses")?.trim_start().strip_prefix('='));
    said.next_back()
        .is_some_and(|value| ["yes", "true", "on", "1", "y", "t"].contains(&value.trim().to_ascii_lowercase().as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_data_directory_is_there_or_can_be_made() {
        let dir = tempfile::tempdir().unwrap();
        let state = |path: &Path| data_directory(path).state;
        assert_eq!(state(dir.path()), FindingState::Good);
        let new = dir.path().join("a/b");
        assert_eq!(state(&new), FindingState::Good);
        assert!(!new.exists());
        fs::write(dir.path().join("file"), "").unwrap();
        let below_a_file = data_directory(&dir.path().join("file/data"));
        assert_eq!(below_a_file.state, FindingState::Missing);
        assert!(below_a_file.fix.unwrap().contains("--data-dir"));
    }

    #[test]
    fn kvm_is_named_as_for_later() {
        let dir = tempfile::tempdir().unwrap();
        let absent = kvm(&dir.path().join("kvm"));
        assert_eq!((absent.state, absent.fix), (FindingState::Weak, None));
        let device = dir.path().join("kvm");
        fs::write(&device, "").unwrap();
        assert_eq!(kvm(&device).state, FindingState::Good);
    }

    #[test]
    fn the_last_word_on_what_users_leave_behind_counts() {
        let kills = |texts: &[&str]| kills_at_logout(&texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>());
        assert!(!kills(&[]) && !kills(&["[Login]\n#KillUserProcesses=yes\n"]));
        assert!(kills(&["[Login]\nKillUserProcesses=no\n", "[Login]\nKillUserProcesses = Yes\n"]));
        assert!(!kills(&["[Login]\nKillUserProcesses=yes\nKillUserProcesses=no\n"]));
        assert!(!kills(&["[Login]\nKillUserProcessesNot=yes\n"]));
    }
}
