//! A package to the server's artifact store, and what the API calls it there.

use innkeep_protocol::operator::UploadedArtifact;
use innkeep_sdk::{Client, Upload, UploadKind};
use serde_json::Value;

use super::request::{code, container};
use super::{Plan, Steps};
use crate::failure::Failure;
use crate::output::{count, human_bytes};
use crate::source::{Layer, Package};

/// What a package has become.
pub(super) struct Uploaded {
    /// `agentRuntimeArtifact`.
    pub(super) artifact: Value,
    /// What the server found and decided, one sentence each.
    pub(super) notes: Vec<String>,
}

pub(super) async fn upload(
    client: &Client,
    package: Package,
    plan: &Plan,
    steps: &mut Steps,
) -> Result<Uploaded, Failure> {
    match package {
        Package::Reference(uri) => Ok(Uploaded { artifact: container(&uri), notes: Vec::new() }),
        Package::Archive { archive: file, bytes } => {
            steps.done("packed", human_bytes(bytes));
            let bar = steps.bar(bytes);
            steps.doing("uploading the image");
            let (archive, tag) = (Upload { file, meter: bar.meter() }, plan.tag.as_deref());
            let image = client.upload_image(archive, plan.name.as_str(), tag).await?;
            drop(bar);
            steps.done("uploaded", image.notes.join("; "));
            Ok(Uploaded { artifact: container(&image.container_uri), notes: image.notes })
        }
        Package::Zip { zip: file, bytes } => {
            steps.done("opened", human_bytes(bytes));
            let bar = steps.bar(bytes);
            let zip = Upload { file, meter: bar.meter() };
            let uploaded = client.upload_artifact(zip, &UploadKind::Zip).await?;
            drop(bar);
            Ok(uploaded_code(uploaded, steps))
        }
        Package::Project { packed, layer } => {
            steps.done("packed", format!("{}, {}", count(packed.n_files, "file"), human_bytes(packed.zip_bytes)));
            match &layer {
                Some(layer) => upload_layer(client, layer, steps).await?,
                None => steps.doing("uploading, and installing what the project requires"),
            }
            let kind = UploadKind::Project { layer: layer.map(|layer| layer.fingerprint) };
            let bar = steps.bar(packed.zip_bytes);
            let uploaded = client.upload_artifact(Upload { file: packed.zip, meter: bar.meter() }, &kind).await?;
            drop(bar);
            Ok(uploaded_code(uploaded, steps))
        }
    }
}

fn uploaded_code(uploaded: UploadedArtifact, steps: &mut Steps) -> Uploaded {
    steps.done("uploaded", uploaded.notes.join("; "));
    Uploaded { artifact: code(&uploaded), notes: uploaded.notes }
}

async fn upload_layer(client: &Client, layer: &Layer, steps: &mut Steps) -> Result<(), Failure> {
    let python = &layer.venv.python;
    if client.has_layer(&layer.fingerprint).await? {
        steps.done("packages", format!("of the {python} environment, unchanged"));
        return Ok(());
    }
    steps.doing(&format!("uploading the packages of the {python} environment"));
    let packed = layer.package().await?;
    let bar = steps.bar(packed.zip_bytes);
    client.upload_layer(&layer.fingerprint, Upload { file: packed.zip, meter: bar.meter() }).await?;
    drop(bar);
    steps.done("packages", format!("of the {python} environment, {}", human_bytes(packed.zip_bytes)));
    Ok(())
}
