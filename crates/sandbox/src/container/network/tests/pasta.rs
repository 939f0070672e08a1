//! `public` of an ordinary user, on a host of the test's own; the tunnel device is opened to all in a private mount namespace.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use innkeep_protocol::walls::Network;

use super::*;
use crate::container::network::pasta::Pasta;
use crate::container::network::program;

/// An ordinary user, who need not exist.
const USER: &str = "setpriv --reuid 61234 --regid 61234 --clear-groups";

#[test]
#[expect(clippy::print_stdout, reason = "says why it is skipped")]
fn an_ordinary_users_sandbox_reaches_the_public_internet_only() {
    let missing = ["pasta", "setpriv", "unshare", "nsenter"]
        .into_iter()
        .find(|name| program::find(name, &program::SYSTEM).is_none());
    if missing.is_some() {
        println!("skipped: needs pasta, setpriv, unshare, nsenter (missing: {missing:?})");
        return;
    }
    for dns in [&[][..], &[IpAddr::V4(NAMESERVER)][..]] {
        in_a_new_host(async |world: World| check(world, dns).await);
    }
}

async fn check(world: World, dns: &[IpAddr]) {
    let directory = tempfile::tempdir().unwrap();
    fs::set_permissions(directory.path(), PermissionsExt::from_mode(0o777)).unwrap();
    let resolv_conf = directory.path().join("resolv.conf");
    fs::write(&resolv_conf, format!("nameserver {NAMESERVER}\n")).unwrap();

    let system: Vec<PathBuf> = program::SYSTEM.iter().map(PathBuf::from).collect();
    let pasta = Pasta::find(&system, dns).unwrap();
    let (network, inner_resolv_conf) = pasta.plan(directory.path()).unwrap();
    let Network::Helper { argv, unreachable } = network else { panic!("{network:?}") };
    let nameserver: Ipv4Addr = inner_resolv_conf.trim().strip_prefix("nameserver ").unwrap().parse().unwrap();

    let sandbox = Sandbox::new();
    let _helper = Helper(directory.path().join("pasta.pid"));
    let argv = argv.join(" ").replace("{pid}", &sandbox.0.id().to_string());
    let tunnel = "mount -t tmpfs none /dev/net && mknod -m 666 /dev/net/tun c 10 200";
    let resolver = format!("mount --bind {} /etc/resolv.conf", resolv_conf.display());
    sh(&format!("unshare --mount sh -c '{tunnel} && {resolver} && exec {USER} {argv}'"));
    inside(&sandbox.path(), || {
        for range in &unreachable {
            ip(&format!("route add unreachable {range}"));
        }
    });

    assert_eq!(reach(&sandbox.path(), web(PUBLIC)).await.unwrap(), HOST.to_string());
    assert_eq!(ask(&sandbox.path(), nameserver).await.unwrap(), "answer", "{dns:?}");
    let _on_the_host = std::net::TcpListener::bind("0.0.0.0:80").unwrap();
    let mut refused = [HOST, Ipv4Addr::new(192, 168, 77, 2), Ipv4Addr::LOCALHOST, Ipv4Addr::new(192, 0, 0, 6)].to_vec();
    refused.extend(FORBIDDEN);
    if dns.is_empty() {
        refused.push(NAMESERVER);
    }
    for address in refused {
        assert_refused(&sandbox.path(), web(address)).await;
    }
    assert_eq!(world.visitors(), HashSet::from([PUBLIC]));
    let refused = assert_refused(&sandbox.path(), "[2001:db8::7]:80".parse().unwrap()).await;
    assert_eq!(refused.kind(), std::io::ErrorKind::NetworkUnreachable);

    let pid = fs::read_to_string(directory.path().join("pasta.pid")).unwrap();
    let arguments = PathBuf::from(format!("/proc/{}/cmdline", pid.trim()));
    assert!(!fs::read(&arguments).unwrap().is_empty(), "it runs");
    Pasta::end(directory.path()).await.unwrap();
    assert!(fs::read(&arguments).unwrap_or_default().is_empty(), "it is dead");
    Pasta::end(directory.path()).await.unwrap();
}

#[tokio::test]
async fn another_process_with_the_number_is_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let mut bystander = Command::new("sleep").arg("60").spawn().unwrap();
    fs::write(directory.path().join("pasta.pid"), format!("{}\n", bystander.id())).unwrap();
    Pasta::end(directory.path()).await.unwrap();
    assert!(bystander.try_wait().unwrap().is_none());
    bystander.kill().unwrap();
    bystander.wait().unwrap();
    assert!(fs::read_dir(directory.path()).unwrap().next().is_none());
}

#[tokio::test]
async fn a_helper_that_wrote_no_number_yet_is_found() {
    for written in [None, Some("")] {
        let directory = tempfile::tempdir().unwrap();
        let pid_file = directory.path().join("pasta.pid");
        let start = |arguments: &[&str]| {
            let mut command = Command::new("sh");
            command.args(["-c", "read end", "sh"]).args(arguments).arg(&pid_file).stdin(Stdio::piped());
            command.spawn().unwrap()
        };
        let (mut helper, mut reader) = (start(&["--pid"]), start(&[]));
        if let Some(written) = written {
            fs::write(&pid_file, written).unwrap();
        }
        Pasta::end(directory.path()).await.unwrap();
        // It is waited for already, where it is a child of this process.
        assert!(helper.try_wait().is_err(), "it is dead");
        assert!(reader.try_wait().unwrap().is_none(), "who looks at the file is left alone");
        reader.kill().unwrap();
        reader.wait().unwrap();
        assert!(!pid_file.exists());
    }
}

/// A process in user and network namespaces of its own.
struct Sandbox(Child);

impl Sandbox {
    fn new() -> Self {
        // It tells on its output that it is inside.
        let program = "unshare --user --map-root-user --net sh -c 'ip link set lo up; echo; exec sleep 600'";
        let mut child =
            Command::new("sh").args(["-c", &format!("exec {USER} {program}")]).stdout(Stdio::piped()).spawn().unwrap();
        let mut ready = [0];
        std::io::Read::read_exact(child.stdout.as_mut().unwrap(), &mut ready).unwrap();
        Self(child)
    }

    fn path(&self) -> PathBuf {
        format!("/proc/{}/ns/net", self.0.id()).into()
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The helper program, which must not outlive a test that fails.
struct Helper(PathBuf);

impl Drop for Helper {
    fn drop(&mut self) {
        let pid =
            fs::read_to_string(&self.0).ok().and_then(|pid| rustix::process::Pid::from_raw(pid.trim().parse().ok()?));
        if let Some(pid) = pid {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
        }
    }
}

fn sh(script: &str) {
    let output = Command::new("sh").args(["-c", script]).stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{script}: {}", String::from_utf8_lossy(&output.stderr));
}
