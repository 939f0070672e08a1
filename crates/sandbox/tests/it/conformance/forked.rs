//! Agents that are forked: each of its own zygote, which has the agent's code and has not run it.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use innkeep_sandbox::PoolKey;
use innkeep_sandbox::driver::{Driver, LaunchSpec, ZygoteSpec, ZygoteState};
use innkeep_testkit::wait_for;
use innkeep_types::{EndpointName, RuntimeId, RuntimeVersion, SandboxId};

use super::world::SOON;

/// Returns a zygote that no launch before has asked for.
pub(super) fn zygote(versions: &AtomicU32) -> ZygoteSpec {
    let runtime = RuntimeId::parse("forked-Ab3dE6gH9j").unwrap();
    let version = RuntimeVersion::new(1 + versions.fetch_add(1, Ordering::Relaxed)).unwrap();
    let key = PoolKey { runtime, endpoint: EndpointName::default_endpoint(), version };
    ZygoteSpec { key, modules: Vec::new(), may_start: true }
}

/// Waits until the zygote that `spec` asks for forks. A launch of another script has the driver make it. False if none can be made of
/// what is to be launched.
pub(super) async fn await_zygote(driver: &Arc<dyn Driver>, spec: &LaunchSpec) -> bool {
    let Some(ZygoteSpec { key, .. }) = &spec.zygote else { return false };
    let Some(code) = spec.bundle.code().filter(|code| code.is_dir()) else { return false };
    let is_python = |program: &String| Path::new(program).ends_with("python3");
    if !spec.bundle.argv.first().is_some_and(is_python) {
        return false;
    }
    let state = || driver.zygotes().into_iter().find(|zygote| zygote.key == *key).map(|zygote| zygote.state);
    if state() == Some(ZygoteState::Ready) {
        return true;
    }
    // There are only so many at one time, and tests want one after the other.
    driver.forget(&|other| other != key);
    fs::write(code.join("idle.py"), "import time\ntime.sleep(600)").unwrap();
    let mut bundle = (*spec.bundle).clone();
    *bundle.argv.last_mut().unwrap() = "idle.py".to_owned();
    let first = LaunchSpec { sandbox: SandboxId::generate(), bundle: bundle.into(), ..spec.clone() };
    let sandbox = driver.launch(first).await.unwrap();
    sandbox.kill(Duration::ZERO).await;
    wait_for("the zygote", SOON, || state() != Some(ZygoteState::Starting)).await;
    assert_eq!(state(), Some(ZygoteState::Ready));
    fs::remove_file(code.join("idle.py")).unwrap();
    true
}
