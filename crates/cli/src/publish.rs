//! Deploying, as `deploy` and `dev` share it: upload, create or update, wait until the new version serves or has failed, move the
//! endpoint.

mod base;
mod outcome;
mod request;
mod steps;
mod upload;

use std::convert::Infallible;
use std::time::Duration;

use innkeep_protocol::control::AgentRuntimeAccepted;
use innkeep_sdk::Client;
use innkeep_types::{EndpointName, RuntimeId, RuntimeName, RuntimeStatus, RuntimeVersion};
use serde::Serialize;
use serde_json::{Map, Value};

use crate::failure::{Code, Failure};
use crate::source::Package;
use crate::{resolve, wait};

pub(crate) use self::base::Base;
pub(crate) use self::outcome::{ready, serves};
pub(crate) use self::request::{EnvironmentChange, apply, container, create_request};
pub(crate) use self::steps::{Step, Steps};

/// From the accepted change to READY, where the server fetches an image first. Source: our choice; 2 GB at 10 Mbit/s.
const IMAGE_TIMEOUT: Duration = Duration::from_secs(30 * 60);

/// Between two looks at a pull.
const PROGRESS_PAUSE: Duration = Duration::from_millis(300);

/// What to deploy as.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) name: RuntimeName,
    /// Moved to the new version once it is READY; DEFAULT moves by itself.
    pub(crate) endpoint: EndpointName,
    /// Applied to the environment of the version before.
    pub(crate) environment: Vec<EnvironmentChange>,
    /// Applied to the settings of the version before, by name; null takes one back.
    pub(crate) settings: Map<String, Value>,
    /// Absent: that of the version before.
    pub(crate) protocol: Option<String>,
    /// `authorizerConfiguration`. Absent: that of the version before; null: none.
    pub(crate) authorizer: Option<Value>,
    /// Of an archive with several images, the one that is meant.
    pub(crate) tag: Option<String>,
    /// Whether to wait until the version serves.
    pub(crate) wait: bool,
}

impl Plan {
    /// Returns the plan that changes nothing but what is run.
    pub(crate) fn new(name: RuntimeName) -> Self {
        Self {
            name,
            endpoint: EndpointName::default_endpoint(),
            environment: Vec::new(),
            settings: Map::new(),
            protocol: None,
            authorizer: None,
            tag: None,
            wait: true,
        }
    }

    /// Tells whether an endpoint is to be moved that does not move by itself.
    pub(crate) fn names_an_endpoint(&self) -> bool {
        self.endpoint != EndpointName::default_endpoint()
    }
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
    /// Which endpoint serves it, or will once it is READY.
    pub(crate) endpoint: EndpointName,
    pub(crate) notes: Vec<String>,
    pub(crate) steps: Vec<Step>,
}

/// Uploads `package` and makes it the newest version of the runtime that `plan` names.
///
/// # Errors
/// With [`Code::AgentFailed`], the reason and the agent's last log lines if the version does not start; with [`Code::Failed`] if
/// there was no image to start.
pub(crate) async fn publish(
    client: &Client,
    package: Package,
    plan: &Plan,
    mut steps: Steps,
) -> Result<Published, Failure> {
    let is_image = package.is_image();
    let within = if is_image { IMAGE_TIMEOUT } else { wait::CHANGE_TIMEOUT };
    let mut uploaded = upload::upload(client, package, plan, &mut steps).await?;
    let existing = resolve::by_name(client, &plan.name).await?;
    let (accepted, created) = match &existing {
        None => {
            let settings = Base::settings(None, &plan.settings)?;
            let request = create_request(client.endpoint().account.as_str(), plan, uploaded.artifact)?;
            (client.create_runtime(&request, settings.as_ref()).await?, true)
        }
        Some(runtime) => {
            wait::settled(client, &runtime.id, None, within).await?;
            let base = Base::find(client, &resolve::runtime(client, runtime.id.as_str()).await?).await?;
            let settings = Base::settings(Some(&base), &plan.settings)?;
            if let Some(note) = base.note() {
                steps.done("repeated", note.clone());
                uploaded.notes.push(note);
            }
            let request = apply(plan, base.configuration, Some(uploaded.artifact))?;
            (client.update_runtime(&runtime.id, &request, settings.as_ref()).await?, false)
        }
    };
    let version = version_of(&accepted)?;
    steps.done(if created { "created" } else { "updated" }, format!("{} version {version}", plan.name));
    let AgentRuntimeAccepted { agent_runtime_id: id, agent_runtime_arn: arn, mut status, .. } = accepted;
    if plan.wait {
        if is_image {
            steps.doing("the server fetches the image, and boots it once");
        }
        let served = existing.as_ref().and_then(serves);
        status = tokio::select! {
            status = Box::pin(ready(client, &plan.name, &id, version, served, within)) => status?,
            never = Box::pin(show_pull(client, &id, &steps)), if is_image && steps.has_bars() => match never {},
        };
        steps.done("started", "the agent answers its health check".to_owned());
    }
    if plan.wait && plan.names_an_endpoint() {
        steps.done("moved", place(client, &id, &plan.endpoint, version).await?);
    }
    let (name, endpoint) = (plan.name.clone(), plan.endpoint.clone());
    Ok(Published { name, id, arn, version, status, created, endpoint, notes: uploaded.notes, steps: steps.into_done() })
}

/// Shows how far the server's pull of the newest version's image is, until it is dropped.
async fn show_pull(client: &Client, id: &RuntimeId, steps: &Steps) -> Infallible {
    let mut bar = None;
    loop {
        // What cannot be told is not shown: whether the version serves does not hang on it.
        match client.progress(id).await.ok().and_then(|progress| progress.pull) {
            Some(pull) => bar.get_or_insert_with(|| steps.pull_bar(&pull)).pulled(&pull),
            None => bar = None,
        }
        tokio::time::sleep(PROGRESS_PAUSE).await;
    }
}

/// Returns the version that the server made of a request.
pub(crate) fn version_of(accepted: &AgentRuntimeAccepted) -> Result<RuntimeVersion, Failure> {
    RuntimeVersion::parse(&accepted.agent_runtime_version)
        .map_err(|e| Failure::new(Code::Failed, format!("the server's answer is not what the API says: {e}")))
}

/// Makes `endpoint` serve `version`, whether it exists or not, and says what that changed.
async fn place(
    client: &Client,
    id: &RuntimeId,
    endpoint: &EndpointName,
    version: RuntimeVersion,
) -> Result<String, Failure> {
    let before = match client.get_endpoint(id, endpoint).await.map_err(Failure::from) {
        Err(absent) if absent.code == Code::NotFound => None,
        found => Some(found?),
    };
    match before {
        None => client.create_endpoint(id, endpoint, Some(version), None).await?,
        Some(_) => client.update_endpoint(id, endpoint, Some(version), None).await?,
    };
    wait::endpoint(client, id, endpoint).await?;
    let before = before.and_then(|before| before.live_version);
    Ok(match before {
        Some(before) => format!("{endpoint} from version {before} to {version}"),
        None => format!("{endpoint} to version {version}"),
    })
}
