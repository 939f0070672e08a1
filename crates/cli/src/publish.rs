//! Deploying, as `deploy` and `dev` share it: upload, create or update, wait until the new version serves or has failed.

use std::collections::BTreeMap;
use std::time::Duration;

use innkeep_protocol::control::{
    AgentRuntimeArtifact, AgentRuntimeRequest, Code as CodeLocation, CodeConfiguration, GetAgentRuntimeResponse,
    ProtocolConfiguration, S3Location,
};
use innkeep_protocol::operator::{RuntimeView, UploadedArtifact};
use innkeep_sdk::{Client, UploadKind};
use innkeep_types::{RuntimeId, RuntimeName, RuntimeStatus, RuntimeVersion, Settings};
use serde::Serialize;
use serde_json::{Map, Value};
use tokio::time::Instant;

use crate::failure::{Code, Failure};
use crate::output::{Output, Style, human_bytes, human_duration};
use crate::resolve;
use crate::source::{Layer, Package};

/// From the accepted change to READY. Source: the SDKs' own pollers give up after 300 s.
const READY_TIMEOUT: Duration = Duration::from_secs(300);

const FIRST_POLL: Duration = Duration::from_millis(50);
const LONGEST_POLL: Duration = Duration::from_millis(500);

/// What to deploy as.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) name: RuntimeName,
    /// Applied to the environment of the version before.
    pub(crate) environment: Vec<EnvironmentChange>,
    /// Applied to the settings of the version before, by name; null takes one back.
    pub(crate) settings: Map<String, Value>,
    /// Absent: that of the version before.
    pub(crate) protocol: Option<String>,
    /// Whether to wait until the version serves.
    pub(crate) wait: bool,
}

/// One `--env`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum EnvironmentChange {
    Set(String, String),
    Remove(String),
}

/// What was deployed.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Published {
    pub(crate) name: RuntimeName,
    pub(crate) id: RuntimeId,
    pub(crate) arn: String,
    pub(crate) version: RuntimeVersion,
    pub(crate) status: RuntimeStatus,
    pub(crate) created: bool,
    pub(crate) notes: Vec<String>,
    pub(crate) steps: Vec<Step>,
}

/// One step, as it was timed.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Step {
    name: &'static str,
    detail: String,
    ms: u64,
}

/// The steps of one deployment, timed and shown as they end.
#[derive(Debug)]
pub(crate) struct Steps {
    out: Output,
    since: Instant,
    done: Vec<Step>,
}

impl Steps {
    pub(crate) fn new(out: Output) -> Self {
        Self { out, since: Instant::now(), done: Vec::new() }
    }

    /// Says what goes on, where it may take long.
    fn doing(&self, what: &str) {
        if self.out.progress {
            self.out.note(self.out.err(Style::Dim, &format!("{:>8}  {what}", "…")));
        }
    }

    fn done(&mut self, name: &'static str, detail: String) {
        let took = self.since.elapsed();
        if self.out.progress {
            let time = self.out.err(Style::Dim, &format!("{:>8}", human_duration(took)));
            self.out.note(format!("{time}  {name:<9} {detail}"));
        }
        self.done.push(Step { name, detail, ms: u64::try_from(took.as_millis()).unwrap_or(u64::MAX) });
        self.since = Instant::now();
    }
}

/// Uploads `package` and makes it the newest version of the runtime that `plan` names.
///
/// # Errors
/// With [`Code::AgentFailed`], the reason and the agent's last log lines if the version does not start.
pub(crate) async fn publish(
    client: &Client,
    package: Package,
    plan: &Plan,
    mut steps: Steps,
) -> Result<Published, Failure> {
    let artifact = upload(client, package, &mut steps).await?;
    let existing = resolve::by_name(client, &plan.name).await?;
    let settings = settings(existing.as_ref(), &plan.settings)?;
    let (accepted, created) = match &existing {
        None => (client.create_runtime(&create_request(client, plan, &artifact), settings.as_ref()).await?, true),
        Some(runtime) => {
            let current = settled(client, plan, &runtime.id, None).await?;
            let request = update_request(plan, &artifact, current);
            (client.update_runtime(&runtime.id, &request, settings.as_ref()).await?, false)
        }
    };
    let id = accepted.agent_runtime_id;
    let version = RuntimeVersion::parse(&accepted.agent_runtime_version)
        .map_err(|e| Failure::new(Code::Failed, format!("the server's answer is not what the API says: {e}")))?;
    steps.done(if created { "created" } else { "updated" }, format!("{} version {version}", plan.name));

    let mut status = accepted.status;
    if plan.wait {
        let served = existing.and_then(|runtime| runtime.endpoints.iter().find_map(|endpoint| endpoint.live_version));
        status = wait_until_ready(client, plan, &id, version, served).await?;
        steps.done("started", "the agent answers its health check".to_owned());
    }
    let UploadedArtifact { notes, .. } = artifact;
    let (name, arn) = (plan.name.clone(), accepted.agent_runtime_arn);
    Ok(Published { name, id, arn, version, status, created, notes, steps: steps.done })
}

async fn upload(client: &Client, package: Package, steps: &mut Steps) -> Result<UploadedArtifact, Failure> {
    let (zip, kind) = match package {
        Package::Zip { zip, bytes } => {
            steps.done("opened", human_bytes(bytes));
            (zip, UploadKind::Zip)
        }
        Package::Project { packed, layer } => {
            steps.done("packed", format!("{} files, {}", packed.n_files, human_bytes(packed.zip_bytes)));
            if let Some(layer) = &layer {
                upload_layer(client, layer, steps).await?;
            }
            if layer.is_none() {
                steps.doing("uploading, and installing what the project requires");
            }
            (packed.zip, UploadKind::Project { layer: layer.map(|layer| layer.fingerprint) })
        }
    };
    let artifact = client.upload_artifact(zip, &kind).await?;
    steps.done("uploaded", artifact.notes.join("; "));
    Ok(artifact)
}

async fn upload_layer(client: &Client, layer: &Layer, steps: &mut Steps) -> Result<(), Failure> {
    let python = &layer.venv.python;
    if client.has_layer(&layer.fingerprint).await? {
        steps.done("packages", format!("of the {python} environment, unchanged"));
        return Ok(());
    }
    steps.doing(&format!("uploading the packages of the {python} environment"));
    let packed = layer.package().await?;
    let size = human_bytes(packed.zip_bytes);
    client.upload_layer(&layer.fingerprint, packed.zip).await?;
    steps.done("packages", format!("of the {python} environment, {size}"));
    Ok(())
}

async fn wait_until_ready(
    client: &Client,
    plan: &Plan,
    id: &RuntimeId,
    version: RuntimeVersion,
    served: Option<RuntimeVersion>,
) -> Result<RuntimeStatus, Failure> {
    match settled(client, plan, id, Some(version)).await?.status {
        RuntimeStatus::Ready => Ok(RuntimeStatus::Ready),
        _ => Err(did_not_start(client, plan, id, version, served).await),
    }
}

/// Returns the runtime, or one version of it, once no change to it is under way.
async fn settled(
    client: &Client,
    plan: &Plan,
    id: &RuntimeId,
    version: Option<RuntimeVersion>,
) -> Result<GetAgentRuntimeResponse, Failure> {
    let deadline = Instant::now() + READY_TIMEOUT;
    let mut pause = FIRST_POLL;
    loop {
        let runtime = client.get_runtime(id, version).await?;
        if !runtime.status.in_progress() {
            return Ok(runtime);
        }
        if Instant::now() >= deadline {
            let (name, version, status) = (&plan.name, &runtime.agent_runtime_version, runtime.status.as_str());
            let message = format!("version {version} of {name} is still {status} after {READY_TIMEOUT:?}");
            return Err(Failure::new(Code::TimedOut, message).with_fix(format!("innkeep status {name}")));
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 6 / 5).min(LONGEST_POLL);
    }
}

async fn did_not_start(
    client: &Client,
    plan: &Plan,
    id: &RuntimeId,
    version: RuntimeVersion,
    served: Option<RuntimeVersion>,
) -> Failure {
    // Without the reason it is still a failure, and a truer one than that of the question.
    let known = client.failure(id).await.unwrap_or_default();
    let mut failure = Failure::new(Code::AgentFailed, format!("version {version} of {} did not start", plan.name));
    failure.cause = known.failure_reason;
    failure.log_tail = known.log_tail;
    failure.with_fix(match served {
        Some(served) => format!("correct the agent and deploy again; version {served} serves on"),
        None => "correct the agent and deploy again".to_owned(),
    })
}

fn create_request(client: &Client, plan: &Plan, artifact: &UploadedArtifact) -> AgentRuntimeRequest {
    AgentRuntimeRequest {
        agent_runtime_name: Some(plan.name.to_string()),
        agent_runtime_artifact: Some(code(artifact)),
        // Stored and shown, not assumed: no role of that name has to exist.
        role_arn: Some(format!("arn:aws:iam::{}:role/innkeep", client.endpoint().account)),
        protocol_configuration: protocol(plan),
        environment_variables: environment(BTreeMap::new(), &plan.environment),
        ..AgentRuntimeRequest::default()
    }
}

/// An Update replaces everything, so what the plan does not name is repeated from the version before.
fn update_request(plan: &Plan, artifact: &UploadedArtifact, current: GetAgentRuntimeResponse) -> AgentRuntimeRequest {
    let current = AgentRuntimeRequest::from(current);
    AgentRuntimeRequest {
        agent_runtime_artifact: Some(code(artifact)),
        protocol_configuration: protocol(plan).or(current.protocol_configuration),
        environment_variables: environment(current.environment_variables.unwrap_or_default(), &plan.environment),
        ..current
    }
}

fn code(artifact: &UploadedArtifact) -> AgentRuntimeArtifact {
    let UploadedArtifact { bucket, prefix, runtime, entry_point, notes: _ } = artifact;
    let s3 = S3Location { bucket: Some(bucket.clone()), prefix: Some(prefix.clone()), version_id: None };
    let code = CodeConfiguration {
        code: Some(CodeLocation { s3: Some(s3) }),
        runtime: Some(runtime.clone()),
        entry_point: Some(entry_point.clone()),
    };
    AgentRuntimeArtifact { code_configuration: Some(code), container_configuration: None }
}

fn protocol(plan: &Plan) -> Option<ProtocolConfiguration> {
    let server_protocol = plan.protocol.as_ref()?.to_ascii_uppercase();
    Some(ProtocolConfiguration { server_protocol: Some(server_protocol), ..ProtocolConfiguration::default() })
}

/// Returns the settings to ask for; none if there is nothing to change, which keeps those of the version before.
fn settings(existing: Option<&RuntimeView>, changes: &Map<String, Value>) -> Result<Option<Settings>, Failure> {
    if changes.is_empty() {
        return Ok(None);
    }
    let before = existing.map(|runtime| &runtime.settings);
    let Ok(Value::Object(mut settings)) = serde_json::to_value(before.cloned().unwrap_or_default()) else {
        return Err(Failure::new(Code::Failed, "the settings of the version before cannot be read"));
    };
    settings.extend(changes.clone());
    serde_json::from_value(Value::Object(settings)).map(Some).map_err(|e| Failure::usage(format!("--set: {e}")))
}

fn environment(
    mut variables: BTreeMap<String, String>,
    changes: &[EnvironmentChange],
) -> Option<BTreeMap<String, String>> {
    for change in changes {
        match change {
            EnvironmentChange::Set(name, value) => variables.insert(name.clone(), value.clone()),
            EnvironmentChange::Remove(name) => variables.remove(name),
        };
    }
    Some(variables).filter(|variables| !variables.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_changed_and_not_replaced() {
        let before = BTreeMap::from([("A".to_owned(), "1".to_owned()), ("B".to_owned(), "2".to_owned())]);
        let changes = [
            EnvironmentChange::Set("A".to_owned(), "9".to_owned()),
            EnvironmentChange::Remove("B".to_owned()),
            EnvironmentChange::Set("C".to_owned(), String::new()),
        ];
        let after = environment(before, &changes).unwrap();
        assert_eq!(
            after.into_iter().collect::<Vec<_>>(),
            [("A".to_owned(), "9".to_owned()), ("C".to_owned(), String::new())]
        );
        assert_eq!(environment(BTreeMap::new(), &changes[1..2]), None);
    }
}
