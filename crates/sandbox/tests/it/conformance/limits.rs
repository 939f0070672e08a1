//! What an agent may use, what happens beyond that, and what is counted.

use std::time::Duration;

use innkeep_protocol::link::{AgentState, ExitCause, ExitFacts};
use innkeep_types::AgentExit;
use innkeep_types::limits::{INOTIFY_INSTANCES, INOTIFY_WATCHES};

use super::agent::{obedient, obedient_script, run};
use super::world::World;

pub(crate) async fn out_of_memory_is_told_and_only_then(world: World) {
    let ended = async |script: &str| -> ExitFacts {
        let mut spec = world.spec(script);
        spec.resources.memory_bytes = 64 << 20;
        let sandbox = world.launch(spec).await.unwrap();
        let mut state = sandbox.state();
        let state = state.wait_for(|state| matches!(state, AgentState::Exited(_))).await.unwrap().clone();
        let AgentState::Exited(facts) = state else { unreachable!() };
        assert_eq!(sandbox.kill(Duration::ZERO).await.unwrap().cause, facts.cause);
        facts
    };
    let killed = ended("import os\nos.kill(os.getpid(), 9)").await;
    assert_eq!((killed.exit, killed.cause), (AgentExit::Signal(9), ExitCause::Itself));
    if world.lacks_limit("memory") {
        return;
    }
    let greedy = ended("print('greedy')\nbytearray(256 << 20)").await;
    assert_eq!((greedy.exit, greedy.cause), (AgentExit::Signal(9), ExitCause::OutOfMemory));
    assert_eq!(greedy.log_tail, ["greedy"], "the sidecar lived to tell");
    // Files of the private layer are memory too.
    let writes = ended("f = open('/tmp/big', 'wb')\nwhile True: f.write(bytes(1 << 20))").await;
    assert_eq!(writes.cause, ExitCause::OutOfMemory);
    // A child that is killed is the agent's to deal with.
    let child = "import subprocess, sys\n\
                 child = subprocess.run([sys.executable, '-c', 'bytearray(256 << 20)'])\nsys.exit(0 if child.returncode == -9 else 1)";
    let lived_on = ended(child).await;
    assert_eq!((lived_on.exit, lived_on.cause), (AgentExit::Code(0), ExitCause::Itself));
}

pub(crate) async fn processes_are_limited(world: World) {
    let mut spec = world.spec(&obedient_script());
    spec.resources.processes = 20;
    let sandbox = world.launch_ready(spec).await;
    let bomb = r"
def fork():
    pid = os.fork()
    if pid == 0: signal.pause()
    return pid
children = []
while isinstance(answer := attempt(fork), int) and len(children) < 100: children.append(answer)
for child in children:
    os.kill(child, 9)
    os.waitpid(child, 0)
result = [answer, len(children)]
";
    for _ in 0..2 {
        let (error, n_children): (String, usize) = serde_json::from_value(run(&sandbox, bomb).await).unwrap();
        assert_eq!(error, "EAGAIN");
        assert!((15..20).contains(&n_children), "{n_children}");
    }
    sandbox.kill(Duration::ZERO).await;
}

pub(crate) async fn open_files_are_limited(world: World) {
    let mut spec = world.spec(&obedient_script());
    spec.resources.open_files = 2000;
    let sandbox = world.launch_ready(spec).await;
    let limits = "[resource.getrlimit(resource.RLIMIT_NOFILE), resource.getrlimit(resource.RLIMIT_CORE)]";
    assert_eq!(run(&sandbox, limits).await, serde_json::json!([[1024, 2000], [0, 0]]));
    let open = r"
resource.setrlimit(resource.RLIMIT_NOFILE, (2000, 2000))
held = []
while isinstance(fd := attempt(os.open, '/dev/null', 0), int) and len(held) < 5000: held.append(fd)
for one in held: os.close(one)
try: resource.setrlimit(resource.RLIMIT_NOFILE, (2001, 2001)); raised = True
except (ValueError, OSError): raised = False
result = [fd, len(held) > 1900, raised]
";
    assert_eq!(run(&sandbox, open).await, serde_json::json!(["EMFILE", true, false]));
    sandbox.kill(Duration::ZERO).await;
}

pub(crate) async fn watches_of_files_are_limited(world: World) {
    let sandbox = obedient(&world).await;
    let watch = r"
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
held = []
while (fd := libc.inotify_init1(os.O_CLOEXEC)) >= 0 and len(held) < 500: held.append(fd)
result = [len(held), errno.errorcode[ctypes.get_errno()], int(open('/proc/sys/user/max_inotify_watches').read())]
for one in held: os.close(one)
";
    assert_eq!(run(&sandbox, watch).await, serde_json::json!([INOTIFY_INSTANCES, "EMFILE", INOTIFY_WATCHES]));
    sandbox.kill(Duration::ZERO).await;
}

pub(crate) async fn usage_is_what_is_counted(world: World) {
    let sandbox = world.launch_ready(world.spec(&obedient_script())).await;
    let Some(before) = sandbox.usage() else {
        assert!(!world.has_users(), "as root everything is counted");
        println!("not tested: nothing is counted here");
        sandbox.kill(Duration::ZERO).await;
        return;
    };
    run(
        &sandbox,
        "held = bytearray(64 << 20)\nchild = subprocess.Popen(['sleep', '999'])\n\
                   until = time.process_time() + 0.1\nwhile time.process_time() < until: pass\nresult = None",
    )
    .await;
    let after = sandbox.usage().unwrap();
    // Sidecar and agent; then a child.
    assert_eq!((before.processes, after.processes), (Some(2), Some(3)));
    // The kernel charges in batches, some of them late.
    assert!(after.memory_bytes.unwrap() >= before.memory_bytes.unwrap() + (63 << 20), "{before:?} {after:?}");
    assert!(after.cpu_ms.unwrap() >= before.cpu_ms.unwrap() + 100, "{before:?} {after:?}");
    sandbox.kill(Duration::ZERO).await;
    assert_eq!(sandbox.usage(), None);
}
