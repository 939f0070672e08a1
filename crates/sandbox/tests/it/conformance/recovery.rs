//! Servers that go, and servers that come back.

use std::path::PathBuf;
use std::time::Duration;

use innkeep_protocol::link::{AgentState, ExitCause};
use innkeep_testkit::wait_for;
use innkeep_types::{Clock, SandboxId, SystemClock, UnixMillis};
use tokio::time::{Instant, timeout};

use super::agent::{self, PING};
use super::remains::groups_called;
use super::table::{has_ended, kill};
use super::world::{SOON, World};

pub(crate) async fn an_agent_and_all_that_it_started_die_with_their_sidecar(mut world: World) {
    // One child of its own, and one that cut every tie but its environment.
    let script = format!(
        "import subprocess\nsubprocess.run(['/bin/sh', '-c', 'sleep 999 & setsid setsid sleep 998 &'])\n{PING}\nserve(lambda: 'x')"
    );
    for server_is_there in [true, false] {
        let sandbox = world.launch_ready(world.spec(&script)).await;
        wait_for("the agent and its descendants", SOON, || world.processes() == 3).await;
        let mut state = sandbox.state();
        if server_is_there {
            world.kill_sidecar(&sandbox);
        } else {
            world.replace_driver().await;
            world.kill_sidecar(&sandbox);
            wait_for("the agent to die", SOON, || has_ended(sandbox.agent_pid().unwrap())).await;
            let adopted = world.driver.adopt().await.unwrap();
            assert_eq!(adopted.dead, [(sandbox.id().clone(), None)], "nobody saw how it ended");
        }
        while state.changed().await.is_ok() {}
        assert_eq!(world.processes(), 0);
        assert!(!world.directory(&sandbox).exists());
        assert_eq!(sandbox.kill(SOON).await, None, "nobody saw how it ended");
    }
    world.driver.close().await;
}

/// The sandbox of a server that never comes back. (Through the API the shortest life is a minute.)
pub(crate) async fn without_a_server_a_sandbox_ends_at_its_deadline_and_leaves_the_facts_to_the_next(mut world: World) {
    let mut spec = world.spec(&format!("{PING}\nserve(lambda: 'x')"));
    spec.ends_at = UnixMillis(SystemClock.now().0 + 1000);
    let sandbox = world.launch(spec).await.unwrap();
    let directory = world.directory(&sandbox);
    let sidecar = world.sidecar_pid(&sandbox);
    world.replace_driver().await;
    wait_for("agent and sidecar to end", SOON, || world.processes() == 0 && has_ended(sidecar)).await;
    assert!(directory.exists());

    let adopted = world.driver.adopt().await.unwrap();
    assert!(adopted.living.is_empty());
    let [(id, Some(facts))] = adopted.dead.as_slice() else { panic!("{:?}", adopted.dead) };
    assert_eq!((id, facts.cause), (sandbox.id(), ExitCause::Deadline));
    assert!(!directory.exists());
    world.driver.close().await;
}

pub(crate) async fn a_later_driver_adopts_what_lives_and_removes_what_does_not(mut world: World) {
    let script = agent::obedient_script();
    let lives = world.launch_ready(world.spec(&script)).await;
    let dies = world.launch_ready(world.spec(&script)).await;
    agent::run(&lives, "memory = 'kept'\nresult = None").await;
    let pid = lives.agent_pid();
    world.replace_driver().await;
    world.kill_sidecar(&dies);
    wait_for("the agent to die", SOON, || has_ended(dies.agent_pid().unwrap())).await;

    let adopted = world.driver.adopt().await.unwrap();
    assert_eq!(adopted.living.iter().map(|sandbox| sandbox.id()).collect::<Vec<_>>(), [lives.id()]);
    assert_eq!(adopted.living[0].agent_pid(), pid);
    assert!(matches!(&*adopted.living[0].state().borrow(), AgentState::Healthy(_)));
    assert_eq!(agent::run(&adopted.living[0], "memory").await, "kept");
    assert_eq!(adopted.living[0].usage().is_some(), lives.usage().is_some());
    assert!(!world.directory(&dies).exists());

    adopted.living[0].kill(Duration::ZERO).await;
    assert_eq!(world.processes(), 0);
    assert!(world.driver.adopt().await.unwrap().living.is_empty());
    world.driver.close().await;
}

const KILL_STEP: Duration = Duration::from_micros(250);

/// Sweeps 60 ms in steps of 1.5 ms: a start takes less.
pub(crate) async fn a_start_that_a_server_leaves_in_the_lurch_leaves_nothing(mut world: World) {
    let mut n_adopted = 0;
    for step in 0..40 {
        let spec = world.spec(&format!("{PING}\nserve(lambda: 'x')"));
        let id = spec.sandbox.clone();
        // Time that is up drops the launch, as a crash would.
        let _ = timeout(Duration::from_micros(1500) * step, world.driver.launch(spec)).await;
        world.replace_driver().await;
        for sandbox in world.driver.adopt().await.unwrap().living {
            n_adopted += 1;
            sandbox.kill(Duration::ZERO).await;
        }
        assert_gone(&world, &id).await;
    }
    assert!(n_adopted > 0, "the sweep did not reach the end of a start");
    world.driver.close().await;
}

/// Sweeps 10 ms in steps of 0.25 ms, from the moment the launcher has the sandbox's directory.
pub(crate) async fn a_start_whose_launcher_or_sidecar_is_killed_at_any_moment_leaves_nothing(world: World) {
    let mut n_failed = 0;
    // A zygote each takes its time; each third of the steps has its own victim.
    let stride = if world.is_forked() { 4 } else { 1 };
    for step in (0..40).step_by(stride) {
        let spec = world.spec(&format!("{PING}\nserve(lambda: 'x')"));
        let id = spec.sandbox.clone();
        let is_over = std::cell::Cell::new(false);
        world.make_ready(&spec).await;
        let launch = async {
            let launched = world.driver.launch(spec).await;
            is_over.set(true);
            launched
        };
        let killer = async {
            let mut found = Vec::new();
            let mut seen = None;
            let waited = |seen: Option<Instant>| seen.is_some_and(|seen| seen.elapsed() >= step * KILL_STEP);
            while !is_over.get() && !waited(seen) {
                found = world.launching();
                seen = seen.or_else(|| found.first().map(|_| Instant::now()));
                tokio::task::yield_now().await;
            }
            // The launcher alone, the sidecar alone, or both.
            match (step % 3, found.as_slice()) {
                (0, [launcher, ..]) => kill(*launcher),
                (1, [_, sidecar, ..]) => kill(*sidecar),
                (_, found) => found.iter().for_each(|&pid| kill(pid)),
            }
        };
        let (launched, ()) = tokio::join!(launch, killer);
        match launched {
            Ok(sandbox) => drop(sandbox.kill(Duration::ZERO).await),
            Err(_) => n_failed += 1,
        }
        assert_gone(&world, &id).await;
    }
    println!("{n_failed} starts were cut off");
    assert!(n_failed > 0);
}

async fn assert_gone(world: &World, id: &SandboxId) {
    let is_gone = || world.processes() == 0 && world.sidecars().is_empty();
    wait_for("processes of a start that was cut off to end", SOON, is_gone).await;
    assert!(!world.sandbox_directory(id).exists());
    assert_eq!(groups_called(id), <[PathBuf; 0]>::default());
}
