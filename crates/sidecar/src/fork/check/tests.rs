//! What is taken for an agent, and what is not: by the words of the kernel, and by descriptors of real processes.

use std::io::{PipeReader, PipeWriter, pipe};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use super::*;

const OURS: Expected = Expected { user: 1000, group: 1000, has_users: true, filters: 3 };

fn status(changed: &[(&str, &str)]) -> String {
    let us = rustix::process::getpid().as_raw_pid().to_string();
    let none = "0000000000000000";
    let mut fields = BTreeMap::from([
        ("PPid", us.as_str()),
        ("Uid", "1000\t1000\t1000\t1000"),
        ("Gid", "1000\t1000\t1000\t1000"),
        ("Groups", " "),
        ("Threads", "1"),
        ("CapInh", none),
        ("CapPrm", none),
        ("CapEff", none),
        ("CapBnd", none),
        ("CapAmb", none),
        ("NoNewPrivs", "1"),
        ("Seccomp", "2"),
        ("Seccomp_filters", "3"),
    ]);
    fields.extend(changed.iter().copied());
    fields.iter().map(|(field, value)| format!("{field}:\t{value}\n")).collect()
}

#[test]
fn only_a_process_like_an_agents_is_taken() {
    assert_eq!(compare(&status(&[]), &OURS), Ok(()));
    for changed in [
        ("PPid", "7"),
        ("Uid", "1000\t0\t1000\t1000"),
        ("Gid", "1000\t1000\t1000\t0"),
        ("Groups", "0"),
        ("Threads", "2"),
        ("CapInh", "0000000000200000"),
        ("CapPrm", "0000000000000001"),
        ("CapEff", "000001ffffffffff"),
        ("CapBnd", "000001ffffffffff"),
        ("CapAmb", "0000000000200000"),
        ("NoNewPrivs", "0"),
        ("Seccomp", "0"),
        // The one that tells of binds, and refuses to enter namespaces, is missing; or there is one that nobody knows.
        ("Seccomp_filters", "2"),
        ("Seccomp_filters", "4"),
    ] {
        let refused = compare(&status(&[changed]), &OURS).unwrap_err();
        assert!(refused.starts_with(&format!("{} is ", changed.0)), "{refused}");
    }
    assert!(compare("", &OURS).is_err());
    // Where there are no users, groups are nobody's to give up.
    let without_users = Expected { has_users: false, ..OURS };
    assert_eq!(compare(&status(&[("Groups", "65534")]), &without_users), Ok(()));
}

/// A process with these descriptors from 3 on, and the ends of its output. It ends with its guard.
struct Held {
    child: Child,
    stdout: PipeReader,
    stderr: PipeReader,
}

impl Drop for Held {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Held {
    fn new(opens: &str) -> Self {
        let ((stdout, out), (stderr, err)): ((_, PipeWriter), (_, PipeWriter)) = (pipe().unwrap(), pipe().unwrap());
        // What whoever runs the tests left open.
        let close = "for fd in /proc/$$/fd/*; do n=${fd##*/}; ((n > 2)) && eval \"exec $n>&-\"; done";
        let script = format!("{close}\n{opens}\necho ready; exec sleep 60");
        let mut child = Command::new("/bin/bash");
        let child = child.args(["-c", &script]).stdin(Stdio::null()).stdout(out).stderr(err).spawn().unwrap();
        Self { child, stdout, stderr }
    }

    fn check(&mut self) -> Result<(), String> {
        let mut ready = [0; 6];
        io::Read::read_exact(&mut self.stdout, &mut ready).unwrap();
        let pid = Pid::from_raw(self.child.id().cast_signed()).unwrap();
        check_descriptors(pid, [self.stdout.as_fd(), self.stderr.as_fd()]).map_err(|error| error.to_string())
    }
}

/// A file of the test's, which goes with it.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Self {
        let path = std::env::temp_dir().join(format!("innkeep-descriptors-{}", std::process::id()));
        fs::write(&path, "x").unwrap();
        Self(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

#[test]
fn an_agent_has_its_output_and_files_to_be_read() {
    let file = Scratch::new();
    let (path, directory) = (file.0.display(), file.0.parent().unwrap().display());
    for (opens, refused) in [
        (String::new(), None),
        (format!("exec 3<{path} 4</dev/urandom 5</dev/null"), None),
        (format!("exec 3>>{path}"), Some("descriptor 3 is open, and is no file to be read")),
        (format!("exec 4<>{path}"), Some("descriptor 4 is open")),
        (format!("exec 3<{directory}"), Some("descriptor 3 is open")),
        ("exec 3</proc/self/ns/user".to_owned(), Some("descriptor 3 is open, and is no file to be read: user:[")),
        ("exec 3</dev/zero".to_owned(), Some("descriptor 3 is open")),
        (format!("exec 0<{path}"), Some("descriptor 0 leads to")),
        (format!("exec 2>{path}"), Some("descriptor 2 leads to")),
        ("exec 3< <(sleep 60)".to_owned(), Some("descriptor 3 is open, and is no file to be read: pipe:[")),
    ] {
        let checked = Held::new(&opens).check();
        match refused {
            None => assert_eq!(checked, Ok(()), "{opens}"),
            Some(words) => assert!(checked.as_ref().is_err_and(|said| said.contains(words)), "{opens}: {checked:?}"),
        }
    }
}

#[test]
fn a_socket_is_none() {
    let (ours, _theirs) = UnixStream::pair().unwrap();
    assert!(target(&ours.into()).starts_with("socket:["));
}
