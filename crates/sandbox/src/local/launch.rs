//! One run of the launcher: the plan in, one line out.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use innkeep_protocol::link::{LaunchAnswer, LaunchPlan, SandboxFacts};
use tokio::io::AsyncWriteExt;
use tokio::process::Child;
use tokio::time::timeout;

use crate::driver::Error;
use crate::embedded::Executable;

/// The longest that a launcher may take. It takes milliseconds.
const LAUNCH_TIMEOUT: Duration = Duration::from_secs(10);

/// A launcher that waits for its plan. Dropping it ends it.
#[derive(Debug)]
pub(crate) struct Launcher(Child);

impl Launcher {
    /// Starts one, in control groups that have these `cgroup.procs` files.
    pub(super) fn start(executable: &Executable, groups: &[PathBuf]) -> io::Result<Self> {
        Ok(Self(executable.command("launch").args(groups).spawn()?))
    }

    /// Tells whether it still waits.
    pub(super) fn is_waiting(&mut self) -> bool {
        matches!(self.0.try_wait(), Ok(None))
    }

    /// Ends it.
    pub(super) async fn end(mut self) {
        // One that is gone already is what we want.
        let _ = self.0.kill().await;
    }

    /// Launches what `plan` says and returns what is known of it.
    pub(crate) async fn launch(self, plan: &LaunchPlan) -> Result<SandboxFacts, Error> {
        let answer = timeout(LAUNCH_TIMEOUT, self.run(plan)).await.unwrap_or_else(|elapsed| Err(elapsed.into()));
        let failed = |source| Error::Host { sandbox: plan.sandbox.clone(), what: "run the launcher", source };
        match answer.map_err(failed)? {
            LaunchAnswer::Started(facts) => Ok(facts),
            LaunchAnswer::AgentFailed(message) => Err(Error::Agent { message }),
            LaunchAnswer::Failed(message) => Err(Error::Launcher { sandbox: plan.sandbox.clone(), message }),
        }
    }

    async fn run(mut self, plan: &LaunchPlan) -> io::Result<LaunchAnswer> {
        if let Some(mut stdin) = self.0.stdin.take() {
            // One that ended before has said why.
            let _ = stdin.write_all(&serde_json::to_vec(plan)?).await;
        }
        let output = self.0.wait_with_output().await?;
        if output.stdout.is_empty() {
            return Err(io::Error::other(format!("it said nothing and ended with {}", output.status)));
        }
        Ok(serde_json::from_slice(&output.stdout)?)
    }
}
