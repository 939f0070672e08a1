//! What the user deploys, as named on the command line, and the zip that is uploaded for it.

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
}

/// A source, ready to be uploaded.
#[derive(Debug)]
pub(crate) enum Package {
    /// A zip as it is.
    Zip { zip: File, bytes: u64 },
    /// A project folder, zipped, and the packages that go with it.
    Project { packed: Packed, layer: Option<Layer> },
}

/// Packages of a virtual environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Layer {
    pub(crate) venv: Venv,
    pub(crate) fingerprint: String,
}

impl Source {
    /// Returns what the argument DIR|ZIP|IMAGE names.
    pub(crate) fn parse(given: &str) -> Result<Self, Failure> {
        let path = Path::new(given);
        if path.is_dir() {
            return path.canonicalize().map(Self::Folder).map_err(|e| Failure::io(format!("cannot open {given}"), &e));
        }
        if path.is_file() {
            return match path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("zip")) {
                true => Ok(Self::Zip(path.to_owned())),
                false => Err(Failure::usage(format!("{given} is neither a folder nor a .zip"))
                    .with_fix("deploy the folder that holds it")),
            };
        }
        let looks_like_a_path = given.starts_with(['.', '/', '~']) || given.ends_with('/');
        if !looks_like_a_path && given.contains([':', '/']) {
            let message = format!(
                "{given} is not on this disk; OCI images cannot be deployed before the container driver is there"
            );
            return Err(Failure::usage(message).with_fix("deploy the project's folder or a code zip"));
        }
        Err(Failure::usage(format!("there is no folder or zip {given}")))
    }

    /// Returns the runtime name that the folder or file gives.
    pub(crate) fn default_name(&self) -> Result<RuntimeName, Failure> {
        let (Self::Folder(path) | Self::Zip(path)) = self;
        let stem = if matches!(self, Self::Folder(_)) { path.file_name() } else { path.file_stem() };
        let name = stem.and_then(|name| RuntimeName::from_folder(&name.to_string_lossy()));
        name.ok_or_else(|| {
            Failure::usage(format!("{} gives no runtime name", path.display())).with_fix("choose one with --name")
        })
    }

    /// Zips the source, off the async workers.
    pub(crate) async fn package(&self) -> Result<Package, Failure> {
        let source = self.clone();
        let packing = tokio::task::spawn_blocking(move || source.package_blocking());
        packing.await.map_err(|e| Failure::io("cannot pack the source", &e.into()))?
    }

    fn package_blocking(&self) -> Result<Package, Failure> {
        match self {
            Self::Zip(path) => {
                let open = File::open(path).and_then(|zip| Ok((zip.metadata()?.len(), zip)));
                let (bytes, zip) = open.map_err(|e| Failure::io(format!("cannot open {}", path.display()), &e))?;
                Ok(Package::Zip { zip, bytes })
            }
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

impl Layer {
    /// Zips the packages, off the async workers.
    pub(crate) async fn package(&self) -> Result<Packed, Failure> {
        let root = self.venv.site_packages.clone();
        let packing = tokio::task::spawn_blocking(move || pack::folder(&root, Contents::SitePackages));
        packing.await.map_err(|e| Failure::io("cannot pack the virtual environment", &e.into()))?
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::Code;

    #[test]
    fn names_come_from_folders_and_zips() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
        std::fs::create_dir(path("sdk-echo")).unwrap();
        std::fs::write(path("my.agent.zip"), "").unwrap();
        let name = |given: &str| Source::parse(given).unwrap().default_name().unwrap().to_string();
        assert_eq!(name(&path("sdk-echo")), "sdk_echo");
        assert_eq!(name(&path("my.agent.zip")), "my_agent");
    }

    #[test]
    fn what_cannot_be_deployed_says_why() {
        let message = |given: &str| {
            let failure = Source::parse(given).unwrap_err();
            assert_eq!(failure.code, Code::Usage);
            failure.message
        };
        for image in ["python:3.12", "localhost:5000/x:y", "ghcr.io/a/b"] {
            assert!(message(image).contains("container driver"), "{image}");
        }
        for path in ["./nothing", "/no/such/thing", "nothing"] {
            assert!(message(path).contains("no folder or zip"), "{path}");
        }
    }
}
