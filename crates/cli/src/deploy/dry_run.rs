//! `deploy --dry-run`: how what is deployed differs from what would be. Nothing is sent but questions.

use std::io;

use innkeep_protocol::diff::configuration as configuration_of;
use innkeep_protocol::operator::RuntimeView;
use innkeep_sdk::Document;
use innkeep_types::{Artifact, RuntimeVersion};
use serde::Serialize;
use serde_json::{Value, json};

use crate::context::Context;
use crate::diff::{self, Change};
use crate::failure::{Code, Failure};
use crate::output::{Output, count, human_bytes};
use crate::publish::{self, Base, Plan};
use crate::resolve;
use crate::source::Package;

/// A file of these names makes the server install packages; only then it knows what the artifact is.
const REQUIREMENTS: [&str; 2] = ["requirements.txt", "pyproject.toml"];

/// What would be done.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Forecast {
    dry_run: bool,
    name: String,
    created: bool,
    /// Of an update: the version that it repeats where nothing else is said.
    base: Option<u32>,
    version: u32,
    /// Of a project.
    files: Option<usize>,
    /// What would be uploaded.
    upload_bytes: Option<u64>,
    layer: Option<String>,
    /// Whether it is what is deployed; null where that is not known without an upload.
    artifact: Option<Sameness>,
    /// From that version to the next.
    changes: Vec<Change>,
    endpoint: Option<Move>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Sameness {
    Changed,
    Unchanged,
}

/// What would become of the endpoint that is named.
#[derive(Debug, Serialize)]
struct Move {
    name: String,
    from: Option<RuntimeVersion>,
}

pub(super) async fn run(context: &Context, package: Package, plan: &Plan, show_values: bool) -> Result<(), Failure> {
    let client = match context.client() {
        Ok(client) => Some(client),
        // What would be packed can be told without a server.
        Err(failure) if failure.code == Code::Unreachable => None,
        Err(failure) => return Err(failure),
    };
    let existing = match &client {
        Some(client) => resolve::by_name(client, &plan.name).await?,
        None => None,
    };
    let base = match (&client, &existing) {
        (Some(client), Some(runtime)) => Some(Base::find(client, runtime).await?),
        _ => None,
    };
    let before = base.as_ref().map(deployed).unwrap_or_default();
    let account = client.as_ref().map_or_else(|| "000000000000".to_owned(), |c| c.endpoint().account.to_string());
    let package_digest = digest(&package)?;
    let (artifact, sameness) = artifact(&package, package_digest.as_deref(), before.get("agentRuntimeArtifact"));
    let mut after = match &existing {
        None => publish::create_request(&account, plan, artifact.unwrap_or_default())?,
        Some(_) => publish::apply(plan, before.clone(), artifact)?,
    };
    let settings = Base::settings(base.as_ref(), &plan.settings)?;
    let settings = match settings {
        Some(settings) => serde_json::to_value(settings).unwrap_or_default(),
        None => before.get("settings").cloned().unwrap_or_default(),
    };
    if !settings.is_null() {
        after.insert("settings".to_owned(), settings);
    }
    after.retain(|_, value| !value.is_null());
    let forecast = Forecast {
        dry_run: true,
        name: plan.name.to_string(),
        created: existing.is_none(),
        base: base.as_ref().map(|base| base.version.get()),
        version: existing.as_ref().and_then(|runtime| runtime.latest_version.next()).map_or(1, RuntimeVersion::get),
        files: if let Package::Project { packed, .. } = &package { Some(packed.n_files) } else { None },
        upload_bytes: upload_bytes(&package),
        layer: layer(&package).map(str::to_owned),
        artifact: sameness,
        changes: diff::diff(&before, &after, show_values),
        endpoint: plan.names_an_endpoint().then(|| endpoint(plan, existing.as_ref())),
    };
    if context.out.json {
        return context.out.json(&forecast);
    }
    if let Some(note) = base.and_then(|base| base.note()) {
        context.out.note(note);
    }
    tell(context.out, &package, &forecast)
}

fn tell(out: Output, package: &Package, forecast: &Forecast) -> Result<(), Failure> {
    let Forecast { name, created, version, files, upload_bytes, layer, artifact, changes, endpoint, .. } = forecast;
    match created {
        true => out.data(format!("would create {name}"))?,
        false => out.data(format!("would update {name} to version {version}"))?,
    }
    match (package, upload_bytes) {
        (Package::Reference(reference), _) => out.data(format!("would have the server fetch {reference}"))?,
        (_, Some(bytes)) => {
            let files = files.map(|n| format!("{}, ", count(n, "file"))).unwrap_or_default();
            out.data(format!("would upload {files}{}", human_bytes(*bytes)))?;
        }
        (_, None) => {}
    }
    if let Some(layer) = layer {
        out.data(format!("with the packages of its virtual environment, layer {}", &layer[..12]))?;
    }
    let what = if package.is_image() { "image" } else { "code" };
    match (created, artifact) {
        (true, _) => {}
        // Its digests are among the changes.
        (false, Some(Sameness::Changed)) if changes.iter().any(Change::is_of_code) => {}
        (false, Some(Sameness::Changed)) => out.data(format!("{what} changed"))?,
        (false, Some(Sameness::Unchanged)) => out.data(format!("{what} unchanged"))?,
        (false, None) => out.note(format!("whether the {what} has changed is known once the server has it")),
    }
    diff::show(out, changes)?;
    match endpoint {
        None => Ok(()),
        Some(Move { name, from: None }) => out.data(format!("would create endpoint {name} with version {version}")),
        Some(Move { name, from: Some(from) }) => {
            out.data(format!("would move endpoint {name} from version {from} to {version}"))
        }
    }
}

/// Returns the configuration and settings of the version that the next one is made from.
fn deployed(base: &Base) -> Document {
    let mut configuration = configuration_of(base.configuration.clone());
    configuration.insert("settings".to_owned(), serde_json::to_value(&base.settings).unwrap_or_default());
    configuration
}

fn endpoint(plan: &Plan, existing: Option<&RuntimeView>) -> Move {
    let named = existing.and_then(|runtime| runtime.endpoints.iter().find(|endpoint| endpoint.name == plan.endpoint));
    Move {
        name: plan.endpoint.to_string(),
        from: named.map(|named| named.live_version.unwrap_or(named.target_version)),
    }
}

fn upload_bytes(package: &Package) -> Option<u64> {
    match package {
        Package::Zip { bytes, .. } | Package::Archive { bytes, .. } => Some(*bytes),
        Package::Project { packed, .. } => Some(packed.zip_bytes),
        Package::Reference(_) => None,
    }
}

fn layer(package: &Package) -> Option<&str> {
    match package {
        Package::Project { layer, .. } => layer.as_ref().map(|layer| layer.fingerprint.as_str()),
        _ => None,
    }
}

/// Returns the prefix under which the server will keep the code, if its packages are known too.
fn digest(package: &Package) -> Result<Option<String>, Failure> {
    let layer = layer(package);
    let zip = match package {
        Package::Zip { zip, .. } => {
            let mut zip = zip;
            let digest = io::Seek::rewind(&mut zip).and_then(|()| innkeep_sdk::sha256(zip));
            digest.map_err(|e| Failure::io("cannot read the zip", &e))?
        }
        Package::Project { packed, .. } if layer.is_some() || !REQUIREMENTS.iter().any(|name| packed.holds(name)) => {
            packed.digest
        }
        _ => return Ok(None),
    };
    prefix(&hex(&zip), layer).map(Some)
}

/// Returns the SHA-256 of the manifest that the artifact store keeps of such code.
fn prefix(zip: &str, layer: Option<&str>) -> Result<String, Failure> {
    let layer = layer.map_or_else(|| "null".to_owned(), |layer| format!("\"{layer}\""));
    let manifest = format!("{{\"zip\":\"{zip}\",\"layer\":{layer}}}");
    let digest = innkeep_sdk::sha256(manifest.as_bytes());
    digest.map(|digest| hex(&digest)).map_err(|e| Failure::io("cannot take a digest", &e))
}

fn hex(digest: &[u8; 32]) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Returns the `agentRuntimeArtifact` that would be asked for, as far as it is known, and whether it is the one that is deployed.
/// Entry point and interpreter are the server's to find; until then those of `deployed` are taken.
fn artifact(package: &Package, prefix: Option<&str>, deployed: Option<&Value>) -> (Option<Value>, Option<Sameness>) {
    let deployed = deployed.unwrap_or(&Value::Null);
    if let Package::Reference(reference) = package {
        let next = publish::container(reference);
        let sameness = match next == *deployed {
            false => Some(Sameness::Changed),
            true if reference.contains('@') => Some(Sameness::Unchanged),
            // A tag may name another image by now.
            true => None,
        };
        return (Some(next), sameness);
    }
    let kind = if package.is_image() { "containerConfiguration" } else { "codeConfiguration" };
    let s3 = &deployed["codeConfiguration"]["code"]["s3"];
    match prefix {
        _ if deployed.get(kind).is_none() => (Some(json!({kind: {}})), Some(Sameness::Changed)),
        None => (Some(deployed.clone()), None),
        Some(prefix) => {
            let same = s3["bucket"] == Artifact::BUILT_IN_BUCKET && s3["prefix"] == *prefix;
            let mut next = deployed.clone();
            next["codeConfiguration"]["code"]["s3"] = json!({"bucket": Artifact::BUILT_IN_BUCKET, "prefix": prefix});
            (Some(next), Some(if same { Sameness::Unchanged } else { Sameness::Changed }))
        }
    }
}
