//! What the user deploys, as named on the command line, and what is uploaded for it.

mod image;

use std::fs::File;
use std::path::{Path, PathBuf};

use innkeep_types::RuntimeName;

use crate::failure::Failure;
use crate::pack::{self, Contents, Packed};
use crate::venv::Venv;

/// What the user deploys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Source {
    /// A project folder.
    Folder(PathBuf),
    /// A finished code zip.
    Zip(PathBuf),
    /// An OCI image, by reference: the server fetches it.
    Reference(String),
    /// An archive of an OCI image: what `docker save` writes, or an OCI layout as tar.
    Archive(PathBuf),
    /// A folder that is an OCI layout.
    Layout(PathBuf),
}

/// A source, ready to be uploaded.
#[derive(Debug)]
pub(crate) enum Package {
    /// A zip as it is.
    Zip { zip: File, bytes: u64 },
    /// A project folder, zipped, and the packages that go with it.
    Project { packed: Packed, layer: Option<Layer> },
    /// An archive of an image.
    Archive { archive: File, bytes: u64 },
    /// An image that is not uploaded.
    Reference(String),
}

/// Packages of a virtual environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Layer {
    pub(crate) venv: Venv,
    pub(crate) fingerprint: String,
}

impl Source {
    /// Returns what the argument DIR|ZIP|IMAGE names. A file or folder of that name comes first.
    pub(crate) fn parse(given: &str) -> Result<Self, Failure> {
        let path = Path::new(given);
        let cannot_open = |e| Failure::io(format!("cannot open {given}"), &e);
        if path.is_dir() {
            let path = path.canonicalize().map_err(cannot_open)?;
            return Ok(if image::is_layout(&path) { Self::Layout(path) } else { Self::Folder(path) });
        }
        if path.is_file() {
            if path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("zip")) {
                return Ok(Self::Zip(path.to_owned()));
            }
            return match image::is_archive(path).map_err(cannot_open)? {
                true => Ok(Self::Archive(path.to_owned())),
                false => Err(Failure::usage(format!("{given} is neither a folder, a .zip nor an image's archive"))
                    .with_fix("deploy the folder that holds it")),
            };
        }
        if image::is_reference(given) {
            return Ok(Self::Reference(given.to_owned()));
        }
        let absent = Failure::usage(format!("there is no folder, zip or image archive {given}"));
        let is_path = given.contains('/') || path.extension().is_some();
        Err(absent.with_fix(match is_path {
            true => "see whether the path is right, from where you are: ls",
            false => {
                "an image of a registry is named with its tag, or with its registry: docker.io/library/python:3.12"
            }
        }))
    }

    /// Returns the runtime name that the folder, file or image gives.
    pub(crate) fn default_name(&self) -> Result<RuntimeName, Failure> {
        let (shown, name) = match self {
            Self::Folder(path) | Self::Layout(path) => (path.display().to_string(), path.file_name()),
            Self::Zip(path) => (path.display().to_string(), path.file_stem()),
            Self::Archive(path) => (path.display().to_string(), image::archive_stem(path)),
            Self::Reference(reference) => (reference.clone(), Some(image::repository(reference).as_ref())),
        };
        let name = name.and_then(|name| RuntimeName::from_folder(&name.to_string_lossy()));
        name.ok_or_else(|| Failure::usage(format!("{shown} gives no runtime name")).with_fix("choose one with --name"))
    }

    /// Packs the source, off the async workers.
    pub(crate) async fn package(&self) -> Result<Package, Failure> {
        let source = self.clone();
        let packing = tokio::task::spawn_blocking(move || source.package_blocking());
        packing.await.map_err(|e| Failure::io("cannot pack the source", &e.into()))?
    }

    fn package_blocking(&self) -> Result<Package, Failure> {
        match self {
            Self::Zip(path) => open(path).map(|(zip, bytes)| Package::Zip { zip, bytes }),
            Self::Archive(path) => open(path).map(|(archive, bytes)| Package::Archive { archive, bytes }),
            Self::Layout(path) => image::pack_layout(path).map(|(archive, bytes)| Package::Archive { archive, bytes }),
            Self::Reference(reference) => Ok(Package::Reference(reference.clone())),
            Self::Folder(path) => {
                let layer = match Venv::find(path) {
                    Some(venv) => Some(Layer { fingerprint: venv.fingerprint()?, venv }),
                    None => None,
                };
                Ok(Package::Project { packed: pack::folder(path, Contents::Project)?, layer })
            }
        }
    }
}

impl Package {
    /// Tells whether it is an OCI image.
    pub(crate) fn is_image(&self) -> bool {
        matches!(self, Self::Archive { .. } | Self::Reference(_))
    }
}

impl Layer {
    /// Zips the packages, off the async workers.
    pub(crate) async fn package(&self) -> Result<Packed, Failure> {
        let root = self.venv.site_packages.clone();
        let packing = tokio::task::spawn_blocking(move || pack::folder(&root, Contents::SitePackages));
        packing.await.map_err(|e| Failure::io("cannot pack the virtual environment", &e.into()))?
    }
}

fn open(path: &Path) -> Result<(File, u64), Failure> {
    let open = File::open(path).and_then(|file| Ok((file.metadata()?.len(), file)));
    open.map(|(bytes, file)| (file, bytes)).map_err(|e| Failure::io(format!("cannot open {}", path.display()), &e))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::Code;

    #[test]
    fn names_come_from_folders_files_and_images() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
        std::fs::create_dir(path("sdk-echo")).unwrap();
        std::fs::write(path("my.agent.zip"), "").unwrap();
        for archive in ["an-image.tar", "an.image.tar.gz", "saved"] {
            std::fs::write(path(archive), [0x1f, 0x8b, 8, 0]).unwrap();
        }
        let name = |given: &str| Source::parse(given).unwrap().default_name().unwrap().to_string();
        assert_eq!(name(&path("sdk-echo")), "sdk_echo");
        assert_eq!(name(&path("my.agent.zip")), "my_agent");
        assert_eq!(name(&path("an-image.tar")), "an_image");
        assert_eq!(name(&path("an.image.tar.gz")), "an_image");
        assert_eq!(name(&path("saved")), "saved");
        for (reference, expect) in [
            ("python:3.12", "python"),
            ("ghcr.io/x/my-agent:v1.2", "my_agent"),
            ("localhost:5000/a", "a"),
            ("localhost:5000/a@sha256:0000000000000000000000000000000000000000000000000000000000000000", "a"),
        ] {
            assert_eq!(name(reference), expect);
        }
    }

    #[test]
    fn what_is_on_disk_says_itself_what_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let parse = || Source::parse(dir.path().to_str().unwrap()).unwrap();
        let root = dir.path().canonicalize().unwrap();
        std::fs::write(dir.path().join("index.json"), "{}").unwrap();
        assert_eq!(parse(), Source::Folder(root.clone()));
        std::fs::write(dir.path().join("oci-layout"), "{}").unwrap();
        assert_eq!(parse(), Source::Layout(root));
    }

    #[test]
    fn what_cannot_be_deployed_says_why() {
        let dir = tempfile::tempdir().unwrap();
        let script = dir.path().join("agent.sh");
        std::fs::write(&script, "#!/bin/sh\n").unwrap();
        let message = |given: &str| {
            let failure = Source::parse(given).unwrap_err();
            assert_eq!(failure.code, Code::Usage);
            failure.message
        };
        assert!(message(script.to_str().unwrap()).contains("neither"));
        let near = format!("{}/tpyo", dir.path().display());
        for path in ["./nothing", "/no/such/thing", "nothing", "image.tar", "src/tpyo", &near] {
            assert!(message(path).contains("no folder, zip or image archive"), "{path}");
        }
    }
}
