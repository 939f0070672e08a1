//! One run of the launcher: the plan in, one line out.

use std::io;
use std::process::Stdio;
use std::time::Duration;

use innkeep_protocol::link::{LaunchAnswer, LaunchPlan, SandboxFacts};
use tokio::io::AsyncWriteExt;
use tokio::process::Command;
use tokio::time::timeout;

use crate::driver::Error;
use crate::embedded::Executable;

/// The longest that a launcher may take. It takes milliseconds.
const LAUNCH_TIMEOUT: Duration = Duration::from_secs(10);

/// Launches what `plan` says and returns what is known of it.
pub(super) async fn launch(executable: &Executable, plan: &LaunchPlan) -> Result<SandboxFacts, Error> {
    let answer = timeout(LAUNCH_TIMEOUT, run(executable, plan)).await.unwrap_or_else(|elapsed| Err(elapsed.into()));
    let failed = |source| Error::Host { sandbox: plan.sandbox.clone(), what: "run the launcher", source };
    match answer.map_err(failed)? {
        LaunchAnswer::Started(facts) => Ok(facts),
        LaunchAnswer::AgentFailed(message) => Err(Error::Agent { message }),
        LaunchAnswer::Failed(message) => Err(Error::Launcher { sandbox: plan.sandbox.clone(), message }),
    }
}

async fn run(executable: &Executable, plan: &LaunchPlan) -> io::Result<LaunchAnswer> {
    let mut launcher = Command::new(executable.path())
        .arg0("innkeep-sidecar")
        .arg("launch")
        .env_clear()
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()?;
    if let Some(mut stdin) = launcher.stdin.take() {
        stdin.write_all(&serde_json::to_vec(plan)?).await?;
    }
    let output = launcher.wait_with_output().await?;
    if output.stdout.is_empty() {
        return Err(io::Error::other(format!("it said nothing and ended with {}", output.status)));
    }
    Ok(serde_json::from_slice(&output.stdout)?)
}
