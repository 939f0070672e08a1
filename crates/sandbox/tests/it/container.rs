//! What is true of containers as root alone: users of their own for every sandbox.

use std::time::Duration;

use innkeep_protocol::walls::{AGENT_ID, SIDECAR_ID};

use crate::conformance::agent::obedient;
use crate::conformance::world::{Kind, World};
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
