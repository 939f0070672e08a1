//! The filter in a real kernel: a thread puts itself under it, and what it starts inherits it.

use std::fmt::Write as _;
use std::path::Path;
use std::process::{Command, Output};
use std::thread;

use super::super::calls::{REFUSED, REFUSED_HERE};
use super::super::filter;

/// Makes calls that must fail, and prints what each returned.
const PROBE: &str = include_str!("probe.py");
/// Uses what agents use.
const PROGRAM: &str = include_str!("program.py");

/// Runs a program under the filter; none, with a printed reason, when this host lacks it.
#[expect(clippy::print_stderr, reason = "a test that is skipped says why")]
fn confined(program: &str, arguments: &[&str], directory: &Path) -> Option<Output> {
    let mut command = Command::new(program);
    command.args(arguments).current_dir(directory).env("HOME", directory).env("GIT_CONFIG_NOSYSTEM", "1");
    let thread = thread::spawn(move || {
        seccompiler::apply_filter(&filter().into_iter().map(unpack).collect::<Vec<_>>()).unwrap();
        command.output()
    });
    match thread.join().unwrap() {
        Ok(output) => Some(output),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            eprintln!("skipped: there is no {program} here");
            None
        }
        Err(error) => panic!("could not start {program}: {error}"),
    }
}

fn unpack(packed: u64) -> seccompiler::sock_filter {
    let [code_high, code_low, jt, jf, operand @ ..] = packed.to_be_bytes();
    let code = u16::from_be_bytes([code_high, code_low]);
    seccompiler::sock_filter { code, jt, jf, k: u32::from_be_bytes(operand) }
}

#[track_caller]
fn check(program: &str, arguments: &[&str], expected: &str) {
    let directory = tempfile::tempdir().unwrap();
    if let Some(output) = confined(program, arguments, directory.path()) {
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{program}: {output:?}");
        assert!(said.contains(expected), "{program}: {output:?}");
    }
}

/// One line for the probe: name, errno, number, arguments.
fn line(probes: &mut String, name: &str, errno: i32, number: i64, arguments: &[i64]) {
    write!(probes, "{name} {errno} {number}").unwrap();
    for argument in arguments {
        write!(probes, " {argument}").unwrap();
    }
    probes.push('\n');
}

/// Arguments are such that the kernel, asked itself, would fail too, but in another way or without harm.
fn probes() -> String {
    let mut probes = String::new();
    for (name, number) in REFUSED.iter().chain(REFUSED_HERE) {
        line(&mut probes, name, libc::EPERM, *number, &[-1; 6]);
    }
    let new = [libc::CLONE_NEWUSER, libc::CLONE_NEWNS, libc::CLONE_NEWPID, libc::CLONE_NEWNET, libc::CLONE_NEWCGROUP];
    for flag in new {
        // CLONE_THREAD alone is invalid: nothing is cloned.
        line(&mut probes, "clone", libc::EPERM, libc::SYS_clone, &[i64::from(flag | libc::CLONE_THREAD), 0, 0, 0, 0]);
    }
    line(&mut probes, "clone3", libc::ENOSYS, libc::SYS_clone3, &[0, 0]);
    for family in [libc::AF_PACKET, libc::AF_VSOCK, libc::AF_ALG, libc::AF_TIPC, libc::AF_CAN] {
        line(&mut probes, "socket", libc::EAFNOSUPPORT, libc::SYS_socket, &[i64::from(family), 3, 0]);
        line(&mut probes, "socketpair", libc::EAFNOSUPPORT, libc::SYS_socketpair, &[i64::from(family), 3, 0, 0]);
    }
    line(&mut probes, "netfilter", libc::EAFNOSUPPORT, libc::SYS_socket, &[16, 3, 12]);
    for upper in [0, 1 << 32] {
        line(&mut probes, "TIOCSTI", libc::EPERM, libc::SYS_ioctl, &[-1, upper | 0x5412, 0]);
        line(&mut probes, "TIOCLINUX", libc::EPERM, libc::SYS_ioctl, &[-1, upper | 0x541c, 0]);
    }
    for format in [libc::S_IFCHR, libc::S_IFBLK, libc::S_IFDIR] {
        line(&mut probes, "mknodat", libc::EPERM, libc::SYS_mknodat, &[-1, 0, i64::from(format | 0o600), 0]);
    }
    line(&mut probes, "personality", libc::EPERM, libc::SYS_personality, &[0x4_0000]);
    // Unknown numbers, one of them of x32 (`getpid`), where the kernel has that.
    line(&mut probes, "unknown", libc::ENOSYS, 1999, &[]);
    line(&mut probes, "x32", libc::ENOSYS, 0x4000_0000 | 39, &[]);
    // What is allowed reaches the kernel.
    line(&mut probes, "close", libc::EBADF, libc::SYS_close, &[-1]);
    line(&mut probes, "ioctl", libc::EBADF, libc::SYS_ioctl, &[-1, 0x5401, 0]);
    probes
}

#[test]
fn dangerous_calls_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let probes = probes();
    let Some(output) = confined("python3", &["-c", PROBE, &probes], directory.path()) else { return };
    assert!(output.status.success(), "{output:?}");
    let said = String::from_utf8_lossy(&output.stdout);
    let expected: Vec<_> = probes.lines().map(|line| line.splitn(4, ' ').take(3).collect::<Vec<_>>()).collect();
    let answers: Vec<_> = said.lines().map(|line| line.split(' ').collect::<Vec<_>>()).collect();
    assert_eq!(answers.len(), expected.len(), "{output:?}");
    let wrong: Vec<_> = answers.iter().zip(&expected).filter(|(answer, expected)| answer != expected).collect();
    assert!(wrong.is_empty(), "answered and expected (name, errno, number): {wrong:?}");
}

#[cfg(target_arch = "x86_64")]
#[test]
fn a_call_as_i386_ends_the_process() {
    use std::os::unix::process::ExitStatusExt;
    let directory = tempfile::tempdir().unwrap();
    let Some(output) = confined("python3", &["-c", PROBE, "i386"], directory.path()) else { return };
    // SIGSEGV where the kernel has no such calls at all.
    let signal = output.status.signal();
    assert!(signal == Some(libc::SIGSYS) || signal == Some(libc::SIGSEGV), "{output:?}");
}

#[test]
fn python_programs_work() {
    let directory = tempfile::tempdir().unwrap();
    let script = directory.path().join("program.py");
    std::fs::write(&script, PROGRAM).unwrap();
    check("python3", &[script.to_str().unwrap()], "all of it works");
}

#[test]
fn node_programs_work() {
    check("node", &["-e", include_str!("program.js")], "all of it works");
}

#[test]
fn shells_and_tools_work() {
    let shell = "set -e; mkfifo f; (echo hello > f &); read line < f; for i in 1 2 3; do sleep 0 & done; wait; \
        seq 3 | sort -r | head -n 1; ln -s f g; cp -a g h; mv h i; rm i; echo $line";
    check("bash", &["-c", shell], "hello");
    check("tar", &["-cvf", "/dev/null", "--xattrs", "."], "./");
    check("git", &["--version"], "git version");
    let history = "set -e; command -v git > /dev/null || { echo skipped; exit; }; git init -q .; echo a > a; git add a; \
        git -c user.name=a -c user.email=a@example.com commit -qm 'first one'; git gc -q; git log --oneline; echo skipped";
    check("sh", &["-c", history], "skipped");
}
