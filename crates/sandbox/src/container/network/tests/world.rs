//! A host and a world of a test's own: two network namespaces with a link between them. In the world there are a web server, which
//! tells whom it talks to, and a nameserver, on a public address and on such as sandboxes must not reach.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{self, Read};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsFd, AsRawFd};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use parking_lot::Mutex;
use rustix::thread::LinkNameSpaceType;
use tokio::io::AsyncWriteExt;
use tokio::task::JoinSet;

use super::super::namespace::Namespace;
use super::super::program;
use crate::sys;

/// The host, as the world sees it.
pub(super) const HOST: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 2);
/// A public address in the world.
pub(super) const PUBLIC: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 7);
/// The nameserver of sandboxes; a private address.
pub(super) const NAMESERVER: Ipv4Addr = Ipv4Addr::new(10, 9, 9, 53);

/// How long to wait for what is to be reached, and for what is not to be: most of that is refused at once.
const REACHED: Duration = Duration::from_secs(10);
const REFUSED: Duration = Duration::from_millis(200);

/// What the host of a test is connected to.
#[derive(Debug)]
pub(super) struct World {
    path: PathBuf,
    _namespace: Namespace,
    locks: tempfile::TempDir,
    seen: Arc<Mutex<Seen>>,
    _servers: JoinSet<()>,
}

#[derive(Debug, Default)]
struct Seen {
    visitors: HashSet<Ipv4Addr>,
    questions: Vec<(Vec<u8>, Ipv4Addr)>,
}

impl World {
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn locks(&self) -> &Path {
        self.locks.path()
    }

    /// Returns the addresses at which the web server was reached.
    pub(super) fn visitors(&self) -> HashSet<Ipv4Addr> {
        self.seen.lock().visitors.clone()
    }

    /// Returns what the nameserver was sent, by whom.
    pub(super) fn questions(&self) -> Vec<(Vec<u8>, Ipv4Addr)> {
        self.seen.lock().questions.clone()
    }

    fn new() -> Self {
        let namespace = Namespace::new().unwrap();
        let path = PathBuf::from(format!("/proc/{}/fd/{}", std::process::id(), namespace.file.as_raw_fd()));
        ip("link set lo up");
        ip(&format!("link add uplink type veth peer name world netns {}", path.display()));
        ip(&format!("address add {HOST}/24 dev uplink"));
        ip("address add 192.168.77.2/24 dev uplink");
        ip("link set uplink up");
        let (web, nameservers) = inside(&path, || {
            ip("address add 203.0.113.1/24 dev world");
            for address in super::FORBIDDEN.into_iter().chain([PUBLIC, NAMESERVER]) {
                ip(&format!("address add {address}/32 dev world"));
            }
            ip("link set lo up");
            ip("link set world up");
            // One for each address, so that it answers from the one that it was asked at.
            let nameservers = [NAMESERVER, PUBLIC].map(|address| UdpSocket::bind((address, 53)).unwrap());
            (TcpListener::bind("0.0.0.0:80").unwrap(), nameservers)
        });
        ip("route add default via 203.0.113.1");
        fs::write("/proc/sys/net/ipv4/ip_forward", "0").unwrap();
        let seen = Arc::<Mutex<Seen>>::default();
        let mut servers = JoinSet::new();
        servers.spawn(serve_web(web, seen.clone()));
        for nameserver in nameservers {
            servers.spawn(serve_names(nameserver, seen.clone()));
        }
        Self { path, _namespace: namespace, locks: tempfile::tempdir().unwrap(), seen, _servers: servers }
    }
}

/// Runs a test on a host of its own, or says why it does not.
#[expect(clippy::print_stdout, reason = "says why it is skipped")]
pub(super) fn in_a_new_host(test: impl AsyncFnOnce(World) + Send) {
    let missing = ["nft", "ip"].into_iter().find(|name| program::find(name, &program::SYSTEM).is_none());
    if !rustix::process::geteuid().is_root() || missing.is_some() {
        println!("skipped: needs root, nft and ip (missing: {missing:?})");
        return;
    }
    thread::scope(|scope| {
        let host = scope.spawn(|| {
            sys::enter_new_network().unwrap();
            // Its threads are started by this one, and so are on this host too.
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async { test(World::new()).await });
        });
        host.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    });
}

/// Runs something in another network namespace.
pub(super) fn inside<T: Send>(namespace: &Path, work: impl FnOnce() -> T + Send) -> T {
    enter(File::open(namespace).unwrap(), work)
}

fn enter<T: Send>(namespace: File, work: impl FnOnce() -> T + Send) -> T {
    let enter_and_work = move || {
        rustix::thread::move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
        work()
    };
    thread::scope(|scope| scope.spawn(enter_and_work).join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
}

/// Connects from a namespace and returns what the web server says: the address of its visitor.
pub(super) async fn reach(from: &Path, to: SocketAddr) -> io::Result<String> {
    visit(from, to, REACHED).await
}

/// Fails the test if that works.
pub(super) async fn assert_refused(from: &Path, to: SocketAddr) -> io::Error {
    match visit(from, to, REFUSED).await {
        Ok(answer) => panic!("{to} was reached from {}: {answer}", from.display()),
        Err(error) => error,
    }
}

async fn visit(from: &Path, to: SocketAddr, patience: Duration) -> io::Result<String> {
    // Opened here, where `thread-self` is the caller.
    let from = File::open(from)?;
    tokio::task::spawn_blocking(move || {
        enter(from, || {
            let mut stream = TcpStream::connect_timeout(&to, patience)?;
            stream.set_read_timeout(Some(REACHED))?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer)?;
            Ok(answer)
        })
    })
    .await
    .unwrap()
}

/// Asks a nameserver from a namespace.
pub(super) async fn ask(from: &Path, nameserver: Ipv4Addr) -> io::Result<String> {
    let from = from.to_owned();
    tokio::task::spawn_blocking(move || {
        inside(&from, || {
            let socket = UdpSocket::bind("0.0.0.0:0")?;
            socket.set_read_timeout(Some(REACHED))?;
            socket.connect((nameserver, 53))?;
            socket.send(b"question")?;
            let mut answer = [0; 64];
            let n = socket.recv(&mut answer)?;
            Ok(String::from_utf8_lossy(&answer[..n]).into_owned())
        })
    })
    .await
    .unwrap()
}

pub(super) fn ip(arguments: &str) -> String {
    run("ip", arguments)
}

pub(super) fn nft(arguments: &str) -> String {
    run("nft", arguments)
}

pub(super) fn forwarding() -> String {
    fs::read_to_string("/proc/sys/net/ipv4/ip_forward").unwrap().trim().to_owned()
}

pub(super) fn our_links() -> Vec<String> {
    let links = fs::read_to_string("/proc/thread-self/net/dev").unwrap();
    links.lines().filter(|line| line.trim_start().starts_with("ik-")).map(str::to_owned).collect()
}

fn run(name: &str, arguments: &str) -> String {
    let program = program::find(name, &program::SYSTEM).unwrap();
    let output = Command::new(program).args(arguments.split(' ')).output().unwrap();
    assert!(output.status.success(), "{name} {arguments}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

async fn serve_web(listener: TcpListener, seen: Arc<Mutex<Seen>>) {
    listener.set_nonblocking(true).unwrap();
    let listener = tokio::net::TcpListener::from_std(listener).unwrap();
    loop {
        let (mut stream, visitor) = listener.accept().await.unwrap();
        if let SocketAddr::V4(at) = stream.local_addr().unwrap() {
            seen.lock().visitors.insert(*at.ip());
        }
        let _ = stream.write_all(visitor.ip().to_string().as_bytes()).await;
    }
}

async fn serve_names(socket: UdpSocket, seen: Arc<Mutex<Seen>>) {
    socket.set_nonblocking(true).unwrap();
    let socket = tokio::net::UdpSocket::from_std(socket).unwrap();
    let mut question = [0; 64];
    loop {
        let (n, sender) = socket.recv_from(&mut question).await.unwrap();
        if let SocketAddr::V4(sender) = sender {
            seen.lock().questions.push((question[..n].to_vec(), *sender.ip()));
        }
        let _ = socket.send_to(b"answer", sender).await;
    }
}
