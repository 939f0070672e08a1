//! What the host says about itself: whether sandboxes work here at all, and which of its processes is whose.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use innkeep_artifacts::{Bundle, Content, Image};
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
    // Something that is there, and need not be hidden.
    let content = Content::Code { code: PathBuf::from("/usr/lib"), layers: Vec::new() };
    let sandbox = match driver.launch(trial(content)).await {
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

/// Starts a sandbox of an image without a file, to see whether its walls stand: then nothing but the program is missing.
pub(super) async fn try_image(driver: &ContainerDriver, data_dir: &Path) -> Result<(), Unusable> {
    let layer = data_dir.join("trial");
    let made = fs::create_dir(&layer).or_else(|error| match error.kind() {
        // A server that was killed just here left it.
        io::ErrorKind::AlreadyExists => Ok(()),
        _ => Err(error),
    });
    made.map_err(|error| Unusable::data_dir(data_dir, &error))?;
    let image = Image {
        layers: vec![layer.clone()],
        user: 0,
        group: 0,
        groups: Vec::new(),
        home: "/".to_owned(),
        working_directory: PathBuf::from("/"),
    };
    let spec = trial(Content::Image { image });
    let logs = data_dir.join("logs").join(spec.sandbox.as_str());
    let launched = driver.launch(spec).await;
    // What is left is removed the next time.
    let _ = (fs::remove_dir(&layer), remove_tree(&logs));
    match launched {
        Err(Error::Agent { message }) if message.contains(NOT_THERE) => Ok(()),
        Err(error) => Err(unusable(&error)),
        Ok(sandbox) => {
            sandbox.kill(Duration::ZERO).await;
            Err(Unusable::new("a program ran in a sandbox that has none", DOCTOR))
        }
    }
}

/// How the kernel says that a file does not exist (ENOENT), in the launcher's words.
const NOT_THERE: &str = "(os error 2)";

const DOCTOR: &str = "see what is missing: innkeep doctor";

/// Returns how to start `program` upon the base, with nothing else in it.
#[cfg(test)]
pub(super) fn trial_of(program: &str) -> LaunchSpec {
    let mut spec = trial(Content::Code { code: PathBuf::from("/usr/lib"), layers: Vec::new() });
    Arc::make_mut(&mut spec.bundle).argv = vec![program.to_owned()];
    spec
}

fn trial(content: Content) -> LaunchSpec {
    let bundle = Bundle {
        digest: ArtifactDigest::parse("0".repeat(64)).expect("64 hexadecimal digits"),
        content,
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
        zygote: None,
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
