//! What is true of containers as an ordinary user alone: one user, and the limits that the host delegates.

use std::time::Duration;

use innkeep_sandbox::container::ContainerDriver;

use crate::conformance::agent::obedient;
use crate::conformance::world::{Kind, World, options};
use crate::conformance::{every_kind, table, walled, with_code};

every_kind!(Rootless);
walled!(Rootless);
with_code!(Rootless);

#[tokio::test]
async fn a_sandbox_is_of_the_servers_user_and_that_is_said() {
    let name = concat!(module_path!(), "::a_sandbox_is_of_the_servers_user_and_that_is_said");
    let Some(world) = World::enter(Kind::Rootless, name).await else { return };
    let sandbox = obedient(&world).await;
    for pid in [world.sidecar_pid(&sandbox), sandbox.agent_pid().unwrap()] {
        assert_eq!(table::status(pid, "Uid"), Some(rustix::process::geteuid().as_raw()));
    }
    assert!(world.driver.capabilities().caveats.iter().any(|caveat| caveat.starts_with("Rootless")));
    sandbox.kill(Duration::ZERO).await;
}

#[tokio::test]
async fn where_limits_are_missing_the_driver_is_refused_unless_they_are_waived() {
    let name = concat!(module_path!(), "::where_limits_are_missing_the_driver_is_refused_unless_they_are_waived");
    let Some(world) = World::enter(Kind::Rootless, name).await else { return };
    if !world.lacks_limit("memory") {
        println!("skipped: limits are delegated here");
        return;
    }
    let unusable = ContainerDriver::new(world.path(), options(false)).await.unwrap_err();
    assert!(unusable.why.starts_with("memory of sandboxes cannot be limited here: "), "{unusable:?}");
    assert!(unusable.fix.ends_with("; or do without limits: allow_missing_limits = true"), "{unusable:?}");
}
