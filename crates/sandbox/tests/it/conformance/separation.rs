//! Pairs of sandboxes, side by side on one host: neither finds anything of the other's, or of the host's.

use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use innkeep_sandbox::driver::Sandbox;

use super::agent::{obedient, run, run_words};
use super::world::World;

pub(crate) async fn sandboxes_do_not_share_files_or_names(world: World) {
    let [one, two] = pair(&world).await;
    let places = world.own_places();
    let leave = format!("result = [open(d + '/secret', 'w').write('x') for d in {places}]");
    run(&one, &leave).await;
    assert_eq!(
        run(&two, &format!("[d for d in {places} if os.path.exists(d + '/secret')]")).await,
        serde_json::json!([])
    );
    assert_ne!(run(&one, "socket.gethostname()").await, run(&two, "socket.gethostname()").await);
    // Namespaces of its own for all that a kernel has names for.
    let namespaces =
        "[os.readlink(f'/proc/self/ns/{n}') for n in ('cgroup', 'ipc', 'mnt', 'net', 'pid', 'user', 'uts')]";
    let (ones, twos) = (run_words(&one, namespaces).await, run_words(&two, namespaces).await);
    let hosts = ["cgroup", "ipc", "mnt", "net", "pid", "user", "uts"]
        .map(|name| std::fs::read_link(format!("/proc/self/ns/{name}")).unwrap());
    for ((one, two), host) in ones.iter().zip(&twos).zip(hosts) {
        assert!(one != two && host.to_str() != Some(one) && host.to_str() != Some(two), "{one} {two} {host:?}");
    }
    end([one, two]).await;
}

pub(crate) async fn sandboxes_do_not_see_or_signal_each_others_processes(world: World) {
    let [one, two] = pair(&world).await;
    // In a namespace of its own, what one starts has a number that the other can guess.
    let child = run(&one, "child = subprocess.Popen(['sleep', '999'])\nresult = child.pid").await;
    let everything =
        "own = os.getpid()\nresult = [n for n in range(2, 400) if n != own and attempt(os.kill, n, 9) != 'ESRCH']";
    assert_eq!(run(&two, everything).await, serde_json::json!([]));
    // Nor all at once. (The caller and PID 1 are spared by the kernel.)
    assert_eq!(run(&two, "attempt(os.kill, -1, 9)").await.as_str().unwrap_or("ESRCH"), "ESRCH");
    assert_eq!(run(&one, &format!("child.poll() is None and os.path.exists('/proc/{child}')")).await, true);
    for host in [std::process::id().cast_signed(), world.sidecar_pid(&one), one.agent_pid().unwrap()] {
        let answer = run(&two, &format!("attempt(os.kill, {host}, 9) if {host} != os.getpid() else 'ESRCH'")).await;
        assert_eq!(answer, "ESRCH");
    }
    assert_eq!(run(&one, "1 + 1").await, 2);
    end([one, two]).await;
}

pub(crate) async fn sandboxes_do_not_reach_each_others_or_the_hosts_sockets(world: World) {
    let [one, two] = pair(&world).await;
    let hosts = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = hosts.local_addr().unwrap().port();
    let name = format!("innkeep-test-{}", one.id());
    let host_name = format!("{name}-host");
    let address = rustix::net::SocketAddrUnix::new_abstract_name(host_name.as_bytes()).unwrap();
    let _hosts = listen(&address);
    let serve = format!(
        "kept = [socket.create_server(('127.0.0.1', {port})), socket.socket(socket.AF_UNIX)]\n\
                         kept[1].bind('\\0{name}')\nkept[1].listen()\nresult = None"
    );
    assert_eq!(run(&one, &serve).await, serde_json::Value::Null);
    let reach = format!(
        "def reach(family, address):\n with socket.socket(family) as s: s.connect(address)\n return 'reached'\n\
         result = [attempt(reach, socket.AF_INET, ('127.0.0.1', {port})), attempt(reach, socket.AF_UNIX, '\\0{name}'), \
         attempt(reach, socket.AF_UNIX, '\\0{host_name}')]"
    );
    assert_eq!(run_words(&one, &reach).await, ["reached", "reached", "ECONNREFUSED"], "its own it reaches");
    assert_eq!(run_words(&two, &reach).await, ["ECONNREFUSED"; 3]);
    // System V's names too.
    let shared = |flags: &str| format!("ctypes.CDLL(None).shmget(0x1ee7, 4096, {flags})");
    assert_ne!(run(&one, &shared("0o1600")).await, -1);
    assert_eq!(run(&two, &shared("0")).await, -1);
    assert_eq!(run_words(&two, "[name for _, name in socket.if_nameindex()]").await, ["lo"]);
    end([one, two]).await;
}

async fn pair(world: &World) -> [Arc<dyn Sandbox>; 2] {
    [obedient(world).await, obedient(world).await]
}

async fn end(sandboxes: [Arc<dyn Sandbox>; 2]) {
    for sandbox in sandboxes {
        sandbox.kill(Duration::ZERO).await;
    }
}

fn listen(address: &rustix::net::SocketAddrUnix) -> std::os::fd::OwnedFd {
    use rustix::net::{AddressFamily, SocketType};
    let socket = rustix::net::socket(AddressFamily::UNIX, SocketType::STREAM, None).unwrap();
    rustix::net::bind(&socket, address).unwrap();
    rustix::net::listen(&socket, 1).unwrap();
    socket
}
