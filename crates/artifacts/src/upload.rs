//! From an upload to a stored artifact: unpack on trial, find out what it is, see to its packages, keep it.

use innkeep_types::ArtifactDigest;

use crate::home::{Scratch, place_file};
use crate::project::native::Native;
use crate::project::requirements::Requirements;
use crate::project::{self, Language, Project};
use crate::store::{Manifest, Store, blocking};
use crate::{Error, Kind, Uploaded, archive, digest, layer};

/// What a look into the upload found.
struct Inspected {
    upload: Scratch,
    /// The code, unpacked on trial.
    code: Scratch,
    zip: ArtifactDigest,
    /// `None` only for a finished zip: whoever creates the runtime may know its entry point.
    project: Option<Project>,
    native: Native,
    requirements: Option<Requirements>,
}

/// Checks the zip in `upload` and stores it.
pub(crate) async fn add(store: &Store, upload: Scratch, kind: Kind) -> Result<Uploaded, Error> {
    let given = match &kind {
        Kind::Project { layer: Some(fingerprint) } => Some(layer::present(&store.home, fingerprint)?),
        _ => None,
    };
    let code = store.home.scratch_dir().map_err(io)?;
    let layer_dir = given.as_ref().map(|fingerprint| store.home.layer(fingerprint));
    let wants_packages = kind == Kind::Project { layer: None };
    let is_finished = kind == Kind::Zip;
    let found = blocking("look into the upload", move || {
        archive::unpack(upload.path(), code.path())?;
        let zip = digest::of_file(upload.path()).map_err(io)?;
        let project = match project::detect(code.path()) {
            Err(project::Error::NothingToRun) if is_finished => None,
            detected => Some(detected?),
        };
        let is_python = project.as_ref().is_some_and(|project| project.language == Language::Python);
        let requirements = if wants_packages && is_python { Requirements::read(code.path())? } else { None };
        let native = Native::scan(&[Some(code.path()), layer_dir.as_deref()].into_iter().flatten().collect::<Vec<_>>());
        Ok(Inspected { upload, code, zip, project, native, requirements })
    })
    .await?;

    let mut notes = Vec::new();
    let (runtime, layer) = settle(store, &found, given, &mut notes).await?;
    let entry_point = found.project.map(|project| project.entry_point).unwrap_or_default();
    let home = store.home.clone();
    let prefix = blocking("store the upload", move || {
        place_file(found.upload, &home.zip(&found.zip)).map_err(io)?;
        Manifest { zip: found.zip, layer }.write(&home)
    })
    .await?;
    Ok(Uploaded { prefix: prefix.into(), runtime, entry_point, notes })
}

/// Chooses the runtime and sees to the layer; tells people in `notes`.
async fn settle(
    store: &Store,
    found: &Inspected,
    given: Option<ArtifactDigest>,
    notes: &mut Vec<String>,
) -> Result<(String, Option<ArtifactDigest>), Error> {
    let Some(project) = &found.project else {
        notes.push("no main.py, agent.py or app.py was found: name runtime and entryPoint yourself".to_owned());
        return Ok((PROVIDED.to_owned(), given));
    };
    let entry_point = project.entry_point.join(" ");
    match project.language {
        Language::Executable => {
            notes.push(format!("{entry_point} is run as it is"));
            Ok((PROVIDED.to_owned(), given))
        }
        Language::Node => {
            let node = store.host.node(&store.home).await?;
            notes.push(format!("{entry_point} is run by Node.js {} ({})", node.version, node.program.display()));
            Ok(("NODE_22".to_owned(), given))
        }
        Language::Python => {
            let python = store.host.python(&store.home, found.native.minor()).await?;
            notes.push(format!("{entry_point} is run by Python {} ({})", python.version, python.program.display()));
            notes.extend(found.native.misfit());
            let Some(requirements) = &found.requirements else { return Ok((python.runtime(), given)) };
            let (layer, note) = layer::install(store, requirements, &python, found.code.path(), &found.zip).await?;
            notes.push(note);
            Ok((python.runtime(), Some(layer)))
        }
    }
}

/// Our word beside the API's runtimes: any executable.
pub(crate) const PROVIDED: &str = "PROVIDED";

fn io(source: std::io::Error) -> Error {
    Error::Io { doing: "store the upload".to_owned(), source }
}
