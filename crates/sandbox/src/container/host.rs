//! What the host says about itself: whether sandboxes work here at all, and which of its processes is whose.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use innkeep_artifacts::{Bundle, Content};
use innkeep_protocol::link::AgentState;
use innkeep_types::{
    AgentExit, ArtifactDigest, Clock, Egress, HealthCheck, Resources, SandboxId, Settings, SystemClock,
};
use tokio::time::timeout;

use super::ContainerDriver;
use super::options::chain;
use crate::driver::{Driver, Error, LaunchSpec, Unusable};
use crate::local::{remove_tree, status};

/// The longest that the trial may take. It takes milliseconds.
const TRIAL: Duration = Duration::from_secs(20);

/// Starts a sandbox with nothing in it, and ends it.
pub(super) async fn try_out(driver: &ContainerDriver) -> Result<(), Unusable> {
    let sandbox = match driver.launch(trial()).await {
        Ok(sandbox) => sandbox,
        // The walls stood: only the program is missing, in a tree that is made for agents that need no other.
        Err(Error::Agent { message }) if message.contains(NOT_THERE) => return Ok(()),
        Err(error) => return Err(unusable(&error)),
    };
    let mut state = sandbox.state();
    let ended = timeout(TRIAL, state.wait_for(|state| matches!(state, AgentState::Exited(_)))).await;
    let ended = matches!(ended, Ok(Ok(state)) if matches!(&*state, AgentState::Exited(facts) if facts.exit == AgentExit::Code(0)));
    let log_file = sandbox.log_file();
    let facts = sandbox.kill(Duration::ZERO).await;
    if let Some(logs) = log_file.parent() {
        // It said nothing that anybody wants to keep.
        let _ = remove_tree(logs);
    }
    if ended {
        return Ok(());
    }
    let words =
        facts.map_or_else(|| "it was lost".to_owned(), |facts| format!("{} {}", facts.exit, facts.log_tail.join(" ")));
    Err(Unusable { why: format!("a program in a sandbox did not end well: {words}"), fix: DOCTOR.to_owned() })
}

/// How the kernel says that a file does not exist (ENOENT), in the launcher's words.
const NOT_THERE: &str = "os error 2";

const DOCTOR: &str = "see what is missing: innkeep doctor";

fn trial() -> LaunchSpec {
    let bundle = Bundle {
        digest: ArtifactDigest::parse("0".repeat(64)).expect("64 hexadecimal digits"),
        // Something that is there, and need not be hidden.
        content: Content::Code { code: PathBuf::from("/usr/lib"), layers: Vec::new() },
        argv: vec!["/usr/bin/true".to_owned()],
        environment: BTreeMap::new(),
        settings: Settings::default(),
    };
    LaunchSpec {
        sandbox: SandboxId::generate(),
        bundle: Arc::new(bundle),
        environment: BTreeMap::new(),
        resources: Resources::default(),
        egress: Egress::None,
        port: 8080,
        health: HealthCheck::Tcp,
        start_timeout: TRIAL,
        ping_interval: TRIAL,
        ends_at: SystemClock.now().plus(TRIAL),
    }
}

fn unusable(error: &Error) -> Unusable {
    Unusable { why: chain(error), fix: DOCTOR.to_owned() }
}

/// Returns the process that `parent`, which is in a process namespace of its own, calls `inside` and has started.
pub(super) fn child_called(parent: i32, inside: i32) -> Option<i32> {
    let children = fs::read_to_string(format!("/proc/{parent}/task/{parent}/children")).ok()?;
    let mut pids = children.split_ascii_whitespace().filter_map(|pid| pid.parse().ok());
    let name = |pid| status(pid, "NSpid:")?.split_ascii_whitespace().next_back()?.parse().ok();
    pids.find(|pid| name(*pid) == Some(inside))
}
