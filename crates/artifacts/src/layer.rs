//! Layers: folders of Python packages that several artifacts share, named by what they were made from.

use std::path::Path;
use std::time::Duration;

use innkeep_types::ArtifactDigest;
use serde::Serialize;
use tokio::process::Command;

use crate::command::{self, Failure};
use crate::home::{Home, Scratch, place_tree, touch};
use crate::host::Python;
use crate::project::native::Native;
use crate::project::requirements::Requirements;
use crate::store::{Store, blocking, run_blocking};
use crate::{Error, archive, digest};

/// How long an installation may take.
const INSTALL_LIMIT: Duration = Duration::from_secs(10 * 60);
/// How long compiling a folder of Python files may take; what is left over is compiled at each start.
const COMPILE_LIMIT: Duration = Duration::from_secs(60);
/// Python files from which on two processes compile: to load and start them takes as long as some fifty small files do, and they save half.
const SHARED_FILES: usize = 100;
/// How much of a failed installation's output is shown, lines.
const SHOWN_LINES: usize = 15;

/// All that decides what an installation yields; its digest names the layer.
#[derive(Serialize)]
struct Recipe<'a> {
    requirements: &'a str,
    /// `3.11`: what is compiled for one patch release serves all of them.
    python: String,
    platform: [&'static str; 2],
    tool: &'static str,
    /// The zip, if the requirements may name files in it.
    project: Option<&'a ArtifactDigest>,
}

/// Returns the fingerprint that `name` spells.
pub(crate) fn fingerprint(name: &str) -> Result<ArtifactDigest, Error> {
    ArtifactDigest::parse(name).map_err(|_| Error::Fingerprint(name.to_owned()))
}

/// Returns the fingerprint that `name` spells if that layer is here.
pub(crate) fn present(home: &Home, name: &str) -> Result<ArtifactDigest, Error> {
    let fingerprint = fingerprint(name)?;
    let place = home.layer(&fingerprint);
    if !place.is_dir() {
        return Err(Error::NoLayer(name.to_owned()));
    }
    touch(&place);
    Ok(fingerprint)
}

/// Unpacks an uploaded zip as the layer called `fingerprint`; does nothing if it is here already.
pub(crate) async fn add(store: &Store, fingerprint: ArtifactDigest, upload: Scratch) -> Result<(), Error> {
    let place = store.home.layer(&fingerprint);
    let _turn = store.flights.enter(place.to_string_lossy().as_ref()).await;
    if place.is_dir() {
        touch(&place);
        return Ok(());
    }
    let scratch = store.home.scratch_dir().map_err(io)?;
    let (scratch, native) = blocking("unpack a layer", move || {
        archive::unpack(upload.path(), scratch.path())?;
        let native = Native::scan(&[scratch.path()]);
        Ok((scratch, native))
    })
    .await?;
    // The layer serves any Python, but compiled files serve one: most likely this one.
    if let Ok(python) = store.host.python(&store.home, native.minor()).await {
        compile(&store.home, &python, scratch.path()).await;
    }
    blocking("store a layer", move || place_tree(scratch.path(), &place).map_err(io)).await
}

/// Installs `requirements` of the project in `code` as a layer, unless that was done before; returns it and a sentence for people.
pub(crate) async fn install(
    store: &Store,
    requirements: &Requirements,
    python: &Python,
    code: &Path,
    zip: &ArtifactDigest,
) -> Result<(ArtifactDigest, String), Error> {
    let file = requirements.file;
    let uv = store.host.find("uv");
    let tool = if uv.is_some() { "uv" } else { "pip" };
    let fingerprint = digest::of_json(&Recipe {
        requirements: &requirements.text,
        python: format!("3.{}", python.minor),
        platform: [std::env::consts::ARCH, std::env::consts::OS],
        tool,
        project: (!requirements.is_self_contained()).then_some(zip),
    });
    let place = store.home.layer(&fingerprint);
    let _turn = store.flights.enter(place.to_string_lossy().as_ref()).await;
    if place.is_dir() {
        touch(&place);
        return Ok((fingerprint, format!("the packages of {file} were installed before")));
    }
    let scratch = store.home.scratch_dir().map_err(io)?;
    let (packages, list) = (scratch.path().join("packages"), scratch.path().join("requirements.txt"));
    std::fs::write(&list, &requirements.text).map_err(io)?;
    let mut command = match uv {
        Some(uv) => {
            let mut command = Command::new(uv);
            // Links into uv's cache would be made read-only with the layer.
            command.args(["pip", "install", "--link-mode", "copy", "--no-progress", "--python"]).arg(&python.program);
            command
        }
        None => {
            let mut command = python.module("pip");
            command.args(["install", "--no-input", "--no-compile", "--disable-pip-version-check"]);
            command.env("PIP_ROOT_USER_ACTION", "ignore").env("PIP_USER", "0");
            command
        }
    };
    // Where requirements.txt has names of files, they are meant from where it lies.
    let list = if file == "requirements.txt" { code.join(file) } else { list };
    command.arg("--target").arg(&packages).arg("-r").arg(list).current_dir(code);
    match command::run(command, &scratch.path().join("log"), INSTALL_LIMIT).await {
        Ok(_) => {}
        Err(Failure::Io(source)) => return Err(io(source)),
        Err(Failure::Failed { output, .. }) if output.ends_with("No module named pip") => {
            return Err(Error::NoInstaller { file });
        }
        Err(Failure::Failed { how, output }) => {
            let skip = output.lines().count().saturating_sub(SHOWN_LINES);
            let tail = output.lines().skip(skip).collect::<Vec<_>>().join("\n");
            return Err(Error::Install { file, tool, how, tail });
        }
    }
    compile(&store.home, python, &packages).await;
    blocking("store a layer", move || {
        // Nothing was installed if every line is for another platform.
        std::fs::create_dir_all(&packages).map_err(io)?;
        let placed = place_tree(&packages, &place).map_err(io);
        drop(scratch);
        placed
    })
    .await?;
    Ok((fingerprint, format!("the packages of {file} were installed by {tool}")))
}

/// Compiles the Python files in `folder`, so that no start has to; starts work without, only slower.
///
/// By hash and unchecked, because what is compiled will never change and its modification times say nothing.
pub(crate) async fn compile(home: &Home, python: &Python, folder: &Path) {
    let mut command = python.module("compileall");
    let tree = folder.to_owned();
    let processes = if run_blocking(move || are_many(&tree)).await.unwrap_or(true) { "2" } else { "1" };
    command.args(["-q", "-j", processes, "--invalidation-mode", "unchecked-hash", "."]).current_dir(folder);
    let Ok(log) = home.scratch_file() else { return };
    if let Err(failure) = command::run(command, log.path(), COMPILE_LIMIT).await {
        // Packages for several versions of Python hold files that one of them cannot compile.
        tracing::debug!(?failure, "some Python files were not compiled");
    }
}

/// Tells whether the folder has more Python files than one process should compile.
fn are_many(folder: &Path) -> bool {
    let is_python = |entry: &walkdir::DirEntry| entry.path().extension().is_some_and(|extension| extension == "py");
    walkdir::WalkDir::new(folder).into_iter().flatten().filter(is_python).take(SHARED_FILES).count() == SHARED_FILES
}

fn io(source: std::io::Error) -> Error {
    Error::Io { doing: "store a layer of Python packages".to_owned(), source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_are_a_hundred_python_files_wherever_they_lie() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("inside")).unwrap();
        let write = |name: String| std::fs::write(folder.path().join(name), "").unwrap();
        (1..SHARED_FILES).for_each(|i| write(format!("inside/{i}.py")));
        (0..SHARED_FILES).for_each(|i| write(format!("{i}.txt")));
        assert!(!are_many(folder.path()));
        write("last.py".to_owned());
        assert!(are_many(folder.path()));
    }
}
