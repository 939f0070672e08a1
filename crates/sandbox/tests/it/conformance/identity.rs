//! Who an agent is behind walls, what it may do, and whom it sees.

use std::process::Command;
use std::time::Duration;

use innkeep_sandbox::driver::LaunchSpec;
use serde_json::json;

use super::agent::{obedient, obedient_script, run, run_words};
use super::world::World;

pub(crate) async fn an_agent_is_its_user_without_any_power(world: World) {
    let sandbox = obedient(&world).await;
    let id = world.agent_id();
    assert_eq!(run(&sandbox, "[*os.getresuid(), *os.getresgid()]").await, json!([id, id, id, id, id, id]));
    // Who may not map groups cannot give up its own either; inside they are nobody's.
    assert_eq!(run(&sandbox, &format!("set(os.getgroups()) <= {{{id}, 65534}}")).await, true);
    let fields = ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs", "Seccomp"];
    let status = "dict(line.split(':\\t', 1) for line in open('/proc/self/status').read().splitlines())";
    let values = run_words(&sandbox, &format!("[{status}[field] for field in {fields:?}]")).await;
    let none = "0".repeat(16);
    assert_eq!(values, [&none, &none, &none, &none, &none, "1", "2"]);
    sandbox.kill(Duration::ZERO).await;
}

pub(crate) async fn an_agent_finds_itself_where_it_was_promised(world: World) {
    let spec: LaunchSpec = world.spec(&obedient_script());
    let sandbox = world.launch_ready(spec).await;
    let place =
        "[os.environ['HOME'], os.environ['TMPDIR'], os.getcwd(), socket.gethostname(), open('/etc/hostname').read()]";
    let id = sandbox.id();
    assert_eq!(run_words(&sandbox, place).await, ["/home/agent", "/tmp", "/var/task", id.as_str(), &format!("{id}\n")]);
    // Where people look for their name and their home.
    let user = "import pwd\nresult = [pwd.getpwuid(os.getuid()).pw_name, os.path.expanduser('~')]";
    assert_eq!(run_words(&sandbox, user).await, ["agent", "/home/agent"]);
    let umask = "open('new', 'w')\nos.mkdir('newer')\nresult = [oct(os.stat(name).st_mode & 0o777) for name in ('new', 'newer')]";
    assert_eq!(run_words(&sandbox, umask).await, ["0o644", "0o755"]);
    let descriptors = "[os.readlink(f'/proc/self/fd/{n}').split(':')[0] for n in range(3)]";
    assert_eq!(run_words(&sandbox, descriptors).await, ["/dev/null", "pipe", "pipe"]);
    sandbox.kill(Duration::ZERO).await;
}

pub(crate) async fn the_sidecar_is_pid_1_and_out_of_reach(world: World) {
    let sandbox = obedient(&world).await;
    assert_eq!(run(&sandbox, "os.getppid()").await, 1);
    let looks = r"
def look(name): return open(f'/proc/1/{name}', 'rb').read(1)
result = [attempt(look, name) for name in ('environ', 'mem', 'maps', 'auxv', 'syscall', 'stack')]
result += [attempt(os.listdir, f'/proc/1/{name}') for name in ('fd', 'fdinfo', 'map_files')]
result += [attempt(os.readlink, f'/proc/1/{name}') for name in ('exe', 'cwd', 'root', 'fd/0', 'ns/mnt')]
";
    let seen = run_words(&sandbox, looks).await;
    assert!(seen.iter().all(|error| ["EACCES", "EPERM", "ENOENT"].contains(&error.as_str())), "{seen:?}");
    // Where agent and sidecar are one user, only landlock stands between them.
    let are_apart = world.has_users() || landlock_version() >= 6;
    let signals = "[attempt(os.kill, 1, number) for number in (0, 1, 9, 15, 17, 18, 19)]";
    if are_apart {
        assert_eq!(run_words(&sandbox, signals).await, ["EPERM"; 7]);
    } else {
        println!("not tested: this kernel's landlock does not know signals");
    }
    // PTRACE_ATTACH, PTRACE_SEIZE, pidfd_getfd of descriptor 0, process_vm_readv.
    let calls = r"
libc = ctypes.CDLL(None, use_errno=True)
def call(*arguments):
    return 'done' if libc.syscall(*arguments) >= 0 else errno.errorcode[ctypes.get_errno()]
pidfd = attempt(os.pidfd_open, 1)
vector = (ctypes.c_size_t * 2)(ctypes.addressof(ctypes.create_string_buffer(8)), 8)
result = [call(101, 16, 1, 0, 0), call(101, 0x4206, 1, 0, 0), call(438, pidfd, 0, 0), call(310, 1, vector, 1, vector, 1, 0)]
";
    if cfg!(target_arch = "x86_64") {
        let refused = run_words(&sandbox, calls).await;
        assert!(refused.iter().all(|error| ["EPERM", "ENOSYS", "ESRCH"].contains(&error.as_str())), "{refused:?}");
    }
    assert_eq!(run(&sandbox, "1 + 1").await, 2, "it is still there");
    sandbox.kill(Duration::ZERO).await;
}

pub(crate) async fn an_agent_sees_no_process_but_its_own(world: World) {
    let sandbox = obedient(&world).await;
    // Its children it sees, and not the sidecar.
    let listed = "child = subprocess.Popen(['sleep', '999'])\n\
                  result = [sorted(int(n) for n in os.listdir('/proc') if n.isdigit()), sorted([os.getpid(), child.pid])]";
    let listed = run(&sandbox, listed).await;
    assert_eq!(listed[0], listed[1]);
    assert_eq!(run(&sandbox, "[n for n in range(1, 300) if n != 1 and os.path.exists(f'/proc/{n}')]").await, listed[0]);
    sandbox.kill(Duration::ZERO).await;
}

fn landlock_version() -> i32 {
    // landlock_create_ruleset(2), which has this number everywhere.
    let ask = ["-c", "import ctypes; print(ctypes.CDLL(None).syscall(444, None, 0, 1))"];
    let answer = Command::new("/usr/bin/python3").args(ask).output().unwrap();
    String::from_utf8(answer.stdout).unwrap().trim().parse().unwrap()
}
