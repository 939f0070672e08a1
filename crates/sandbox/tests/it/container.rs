//! What is true of containers as root alone: users of their own for every sandbox.

use std::time::Duration;

use innkeep_protocol::walls::{AGENT_ID, SIDECAR_ID};
use innkeep_testkit::wait_for;

use crate::conformance::agent::{PING, obedient};
use crate::conformance::remains::groups_called;
use crate::conformance::table::has_ended;
use crate::conformance::world::{Kind, SOON, World};
use crate::conformance::{every_kind, table, walled, with_code};

every_kind!(Container);
walled!(Container);
with_code!(Container);

#[tokio::test]
async fn every_sandbox_has_users_that_nobody_else_is() {
    let Some(world) = World::enter(Kind::Container, "").await else { return };
    let mut firsts = Vec::new();
    for sandbox in [obedient(&world).await, obedient(&world).await] {
        let sidecar = table::status(world.sidecar_pid(&sandbox), "Uid").unwrap();
        let agent = table::status(sandbox.agent_pid().unwrap(), "Uid").unwrap();
        assert_eq!(agent + SIDECAR_ID, sidecar + AGENT_ID);
        firsts.push(sidecar);
        assert!(sidecar >= 0x7000_0000, "beyond what anybody gives away: {sidecar:#x}");
        sandbox.kill(Duration::ZERO).await;
    }
    assert_ne!(firsts[0], firsts[1]);
}

#[tokio::test]
async fn containers_leave_nothing_to_a_server_without_isolation() {
    let Some(mut world) = World::enter(Kind::Container, "").await else { return };
    let (lives, dies) = (obedient(&world).await, obedient(&world).await);
    let had_groups = [&lives, &dies].map(|sandbox| !groups_called(sandbox.id()).is_empty());
    println!("groups: {had_groups:?}");
    world.kind = Kind::Process;
    world.replace_driver().await;
    world.kill_sidecar(&dies);
    wait_for("the agent to die", SOON, || has_ended(dies.agent_pid().unwrap())).await;
    let adopted = world.driver.adopt().await.unwrap();
    assert_eq!(adopted.living.iter().map(|sandbox| sandbox.id()).collect::<Vec<_>>(), [lives.id()]);
    assert!(groups_called(dies.id()).is_empty());
    adopted.living[0].kill(Duration::ZERO).await;
    assert!(groups_called(lives.id()).is_empty());
    assert_eq!(world.processes(), 0);
    world.driver.close().await;
}

#[tokio::test]
async fn processes_leave_nothing_to_a_server_of_containers() {
    if World::enter(Kind::Container, "").await.is_none() {
        return;
    }
    let Some(mut world) = World::enter(Kind::Process, "").await else { return };
    let script = format!(
        "import subprocess\nsubprocess.run(['/bin/sh', '-c', 'setsid setsid sleep 998 &'])\n{PING}\nserve(lambda: 'x')"
    );
    let sandbox = world.launch_ready(world.spec(&script)).await;
    wait_for("the agent and its descendant", SOON, || world.processes() == 2).await;
    world.kind = Kind::Container;
    world.replace_driver().await;
    world.kill_sidecar(&sandbox);
    wait_for("the agent to die", SOON, || has_ended(sandbox.agent_pid().unwrap())).await;
    assert_eq!(world.processes(), 1, "what is nobody's any more");
    assert_eq!(world.driver.adopt().await.unwrap().dead.len(), 1);
    assert_eq!(world.processes(), 0);
    world.driver.close().await;
}
