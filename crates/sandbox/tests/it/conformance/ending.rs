//! How sandboxes end, and that nothing of them is left.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use innkeep_protocol::link::{AgentState, ExitCause};
use innkeep_protocol::walls::IDS;
use innkeep_sandbox::driver::{Binding, Error};
use innkeep_testkit::wait_for;
use innkeep_types::{AgentExit, UnixMillis};

use super::agent::{PING, obedient, run};
use super::remains::{groups_called, mounts_with};
use super::table::{self, children_of, has_ended, processes, status};
use super::world::{SOON, World};

pub(crate) async fn kill_leaves_no_process_whatever_the_agent_started(world: World) {
    // Ignores SIGTERM, and has a grandchild in a session of its own whose parent is gone.
    let script = format!(
        "import signal, subprocess\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n\
         subprocess.run(['/bin/sh', '-c', 'setsid sleep 999 & setsid setsid sleep 998 &'])\n\
         child = subprocess.Popen(['sleep', '997'], stdout=subprocess.DEVNULL)\n{PING}\nserve(lambda: 'x')"
    );
    let sandbox = world.launch_ready(world.spec(&script)).await;
    wait_for("the agent and its three descendants", SOON, || world.processes() == 4).await;
    let begun = tokio::time::Instant::now();
    let grace = Duration::from_millis(300);
    let facts = sandbox.kill(grace).await.unwrap();
    assert!(begun.elapsed() >= grace, "SIGTERM is ignored, so it takes the whole grace");
    assert_eq!((facts.exit, facts.cause), (AgentExit::Signal(9), ExitCause::Stopped));
    assert_eq!(world.processes(), 0);
    assert!(!world.directory(&sandbox).exists());
    assert!(sandbox.log_file().exists());
    assert!(matches!(sandbox.dial(None).await, Err(Error::Link { .. })));
    assert_eq!(sandbox.kill(grace).await, Some(facts), "it may be killed again");
}

pub(crate) async fn a_kill_that_waits_for_its_grace_is_hastened_by_one_without(world: World) {
    let script = format!("import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n{PING}\nserve(lambda: 'x')");
    let sandbox = world.launch_ready(world.spec(&script)).await;
    let hour = Duration::from_secs(60 * 60);
    let (patient, _) = tokio::join!(sandbox.kill(hour), sandbox.kill(Duration::ZERO));
    assert_eq!(patient.unwrap().exit, AgentExit::Signal(9));
}

pub(crate) async fn sigterm_gives_an_agent_the_chance_to_end_itself(world: World) {
    let script = format!(
        "import signal, sys\nsignal.signal(signal.SIGTERM, lambda *_: sys.exit(7))\n{PING}\nserve(lambda: 'x')"
    );
    let sandbox = world.launch_ready(world.spec(&script)).await;
    let facts = sandbox.kill(SOON).await.unwrap();
    assert_eq!((facts.exit, facts.cause), (AgentExit::Code(7), ExitCause::Stopped));
}

pub(crate) async fn sigterm_of_a_sidecar_reaches_its_agent_and_the_agent_s_end_is_told(world: World) {
    let script = format!(
        "import signal, sys\nsignal.signal(signal.SIGTERM, lambda *_: sys.exit(7))\n{PING}\nserve(lambda: 'x')"
    );
    let sandbox = world.launch_ready(world.spec(&script)).await;
    let sidecar = world.sidecar_pid(&sandbox);
    table::terminate(sidecar);
    let mut state = sandbox.state();
    while state.changed().await.is_ok() {}
    let AgentState::Exited(facts) = state.borrow().clone() else { panic!("{:?}", state.borrow()) };
    assert_eq!((facts.exit, facts.cause), (AgentExit::Code(7), ExitCause::Stopped));
    wait_for("the sidecar to end", SOON, || has_ended(sidecar)).await;
}

pub(crate) async fn a_sandbox_ends_by_itself_at_its_deadline_or_without_its_directory(world: World) {
    let mut spec = world.spec(&format!("{PING}\nserve(lambda: 'x')"));
    spec.ends_at = UnixMillis(0);
    let sandbox = world.launch(spec).await.unwrap();
    let mut state = sandbox.state();
    while state.changed().await.is_ok() {}
    assert!(matches!(&*state.borrow(), AgentState::Exited(facts) if facts.cause == ExitCause::Deadline));

    let sandbox = world.launch_ready(world.spec(&format!("{PING}\nserve(lambda: 'x')"))).await;
    let mut state = sandbox.state();
    // A session's time is its own, and not that of the sandbox that waited for it.
    sandbox.bind(&Binding { ends_at: UnixMillis(0) }).await.unwrap();
    while state.changed().await.is_ok() {}
    assert!(matches!(&*state.borrow(), AgentState::Exited(facts) if facts.cause == ExitCause::Deadline));

    let sandbox = world.launch_ready(world.spec(&format!("{PING}\nserve(lambda: 'x')"))).await;
    let mut state = sandbox.state();
    fs::remove_dir_all(world.directory(&sandbox)).unwrap();
    while state.changed().await.is_ok() {}
    assert_eq!(world.processes(), 0);
}

pub(crate) async fn the_sidecar_is_no_child_of_the_server_and_ends_with_its_agent(world: World) {
    let sandbox = world.launch_ready(world.spec(&format!("{PING}\nserve(lambda: 'x')"))).await;
    let sidecar = world.sidecar_pid(&sandbox);
    assert!(!children_of(std::process::id()).contains(&sidecar));
    sandbox.kill(Duration::ZERO).await;
    wait_for("the sidecar to end", SOON, || has_ended(sidecar)).await;
}

pub(crate) async fn orphans_are_reaped_while_the_agent_lives(world: World) {
    let sandbox = obedient(&world).await;
    let start = "subprocess.run(['/bin/sh', '-c', 'for i in 1 2 3 4 5; do (sleep 0.01 &) ; done'])\nresult = None";
    run(&sandbox, start).await;
    let sidecar = world.sidecar_pid(&sandbox).cast_unsigned();
    let agent = sandbox.agent_pid().unwrap();
    wait_for("the agent to be the only child", SOON, || children_of(sidecar) == [agent]).await;
    sandbox.kill(Duration::ZERO).await;
}

pub(crate) async fn a_sandbox_leaves_no_process_mount_group_or_directory(world: World) {
    let sandbox = obedient(&world).await;
    let id = sandbox.id().clone();
    run(
        &sandbox,
        "child = subprocess.Popen(['setsid', 'sleep', '999'])\nopen('/tmp/x', 'w').write('x')\nresult = None",
    )
    .await;
    let sidecar = world.sidecar_pid(&sandbox);
    let has_groups = !groups_called(&id).is_empty();
    assert_eq!(has_groups, !world.lacks_limit("memory"));
    let first_id = status(sidecar, "Uid").unwrap() / IDS * IDS;
    sandbox.kill(Duration::ZERO).await;
    assert!(has_ended(sidecar) && world.processes() == 0);
    assert_eq!(groups_called(&id), <[PathBuf; 0]>::default());
    assert_eq!(mounts_with(id.as_str()), <[String; 0]>::default());
    assert_eq!(mounts_with(world.path().to_str().unwrap()), <[String; 0]>::default());
    assert!(!world.directory(&sandbox).exists());
    if world.has_users() {
        let ids = first_id..first_id + IDS;
        let is_of_sandbox = |pid| !has_ended(pid) && status(pid, "Uid").is_some_and(|uid| ids.contains(&uid));
        assert_eq!(processes().filter(|&pid| is_of_sandbox(pid)).count(), 0, "by whatever name");
    }
    let names = fs::read_dir(world.path()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    // What stays is the log, and the zygote.
    let stays = |name: &String| name.starts_with("code-") || name == "bin" || world.is_forked() && name == "zygotes";
    let left = BTreeSet::from_iter(names.filter(|name| !stays(name)));
    assert_eq!(left, BTreeSet::from(["logs", "sandboxes"].map(str::to_owned)));
    assert_eq!(fs::read_dir(world.path().join("sandboxes")).unwrap().count(), 0);
}
