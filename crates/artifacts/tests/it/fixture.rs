//! A store in a temporary directory, and zips for it.

use std::fs;
use std::io::{Cursor, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use innkeep_artifacts::{Artifacts, Error, Kind, Options, Scratch, Uploaded};
use innkeep_types::Artifact;
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

/// A store that leaves nothing behind.
pub(crate) struct Store {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) artifacts: Artifacts,
}

impl Store {
    pub(crate) fn new() -> Self {
        Self::with(Options::default())
    }

    pub(crate) fn with(options: Options) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let artifacts = Artifacts::open(dir.path(), options).unwrap();
        Self { dir, artifacts }
    }

    /// Returns the file that a server would have filled with `zip`.
    pub(crate) fn upload(&self, zip: &[u8]) -> Scratch {
        let file = self.artifacts.upload_file().unwrap();
        fs::write(file.path(), zip).unwrap();
        file
    }

    pub(crate) async fn add(&self, zip: &[u8], kind: Kind) -> Result<Uploaded, Error> {
        self.artifacts.add(self.upload(zip), kind).await
    }

    /// Returns all that is kept in the store, relative to it.
    pub(crate) fn files(&self) -> Vec<String> {
        let root = self.dir.path().join("artifacts");
        let kept = walkdir::WalkDir::new(&root).min_depth(2).sort_by_file_name().into_iter().map(Result::unwrap);
        kept.map(|entry| entry.path().strip_prefix(&root).unwrap().display().to_string()).collect()
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        // Bundles are read-only, which keeps anybody but root from removing them.
        for entry in walkdir::WalkDir::new(self.dir.path()).into_iter().flatten() {
            if entry.file_type().is_dir() {
                let _ = fs::set_permissions(entry.path(), fs::Permissions::from_mode(0o755));
            }
        }
    }
}

/// Returns a zip that `write` fills.
pub(crate) fn zip_of(write: impl FnOnce(&mut ZipWriter<Cursor<Vec<u8>>>)) -> Vec<u8> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    write(&mut zip);
    zip.finish().unwrap().into_inner()
}

/// Returns a zip of these files; a name that ends in `*` is executable.
pub(crate) fn zip(files: &[(&str, &[u8])]) -> Vec<u8> {
    zip_of(|zip| {
        for (name, content) in files {
            let mode = if name.ends_with('*') { 0o4755 } else { 0o600 };
            zip.start_file(name.trim_end_matches('*'), SimpleFileOptions::default().unix_permissions(mode)).unwrap();
            zip.write_all(content).unwrap();
        }
    })
}

/// Returns what Create would hold for what was uploaded.
pub(crate) fn artifact(uploaded: &Uploaded) -> Artifact {
    Artifact::Code {
        bucket: Artifact::BUILT_IN_BUCKET.to_owned(),
        prefix: uploaded.prefix.clone(),
        version_id: None,
        runtime: uploaded.runtime.clone(),
        entry_point: uploaded.entry_point.clone(),
    }
}

/// Runs a bundle as a driver would and returns what it prints.
pub(crate) fn run(bundle: &innkeep_artifacts::Bundle) -> String {
    let [program, arguments @ ..] = bundle.argv.as_slice() else { panic!("no program") };
    assert!(Path::new(program).is_absolute());
    let mut command = std::process::Command::new(program);
    command.args(arguments).env_clear().envs(&bundle.environment).current_dir(bundle.code().unwrap());
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}
