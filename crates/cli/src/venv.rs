//! A project's virtual environment: where its packages are, and the fingerprint that tells whether the server has them.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use innkeep_auth::Digest;

use crate::failure::Failure;
use crate::pack::Contents;

/// What a fresh virtual environment holds; with nothing else in it, the project has none worth taking.
const FRESH: [&str; 7] = ["pip", "setuptools", "wheel", "pkg_resources", "_distutils_hack", "distutils", "_virtualenv"];

/// A virtual environment with packages in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Venv {
    pub(crate) site_packages: PathBuf,
    /// The interpreter's folder: `python3.11`.
    pub(crate) python: String,
}

impl Venv {
    /// Returns the virtual environment in `.venv` or `venv` of `project`, if packages were installed into it.
    pub(crate) fn find(project: &Path) -> Option<Self> {
        [".venv", "venv"].iter().find_map(|name| Self::at(&project.join(name)))
    }

    fn at(directory: &Path) -> Option<Self> {
        if !directory.join("pyvenv.cfg").is_file() {
            return None;
        }
        let interpreters = fs::read_dir(directory.join("lib")).ok()?.filter_map(Result::ok);
        let mut found = interpreters.filter_map(|entry| {
            let python = entry.file_name().into_string().ok().filter(|name| name.starts_with("python"))?;
            let site_packages = entry.path().join("site-packages");
            is_used(&site_packages).then_some(Self { site_packages, python })
        });
        found.next()
    }

    /// Returns what names the packages as they are: the SHA-256, in hex, of interpreter and sorted paths, sizes and times of
    /// change. Contents are not read: they are tens of megabytes, and every deploy would wait for it. Blocks.
    pub(crate) fn fingerprint(&self) -> Result<String, Failure> {
        let root = &self.site_packages;
        let read = |error| Failure::io(format!("cannot read {}", root.display()), &error);
        let mut digest = Digest::new();
        digest.update(self.python.as_bytes());
        for entry in Contents::SitePackages.walk(root) {
            let entry = entry.map_err(|e| read(e.into()))?;
            if entry.file_type().is_dir() {
                continue;
            }
            let metadata = entry.metadata().map_err(|e| read(e.into()))?;
            let modified = metadata.modified().map_err(read)?.duration_since(UNIX_EPOCH).unwrap_or_default();
            let name = entry.path().strip_prefix(root).unwrap_or_else(|_| entry.path());
            digest.update(format!("\0{}\0{}\0{}", name.display(), metadata.len(), modified.as_nanos()).as_bytes());
        }
        Ok(digest.finish().iter().map(|byte| format!("{byte:02x}")).collect())
    }
}

fn is_used(site_packages: &Path) -> bool {
    let Ok(entries) = fs::read_dir(site_packages) else { return false };
    entries.filter_map(Result::ok).any(|entry| {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        let stem = name.split(['-', '.']).next().unwrap_or_default();
        stem != "__pycache__" && !FRESH.contains(&stem)
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn project(venv: &str, packages: &[&str]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        let site_packages = dir.path().join(venv).join("lib/python3.11/site-packages");
        fs::create_dir_all(&site_packages).unwrap();
        fs::write(dir.path().join(venv).join("pyvenv.cfg"), "version = 3.11.2\n").unwrap();
        for package in packages {
            fs::create_dir_all(site_packages.join(package)).unwrap();
            fs::write(site_packages.join(package).join("__init__.py"), package).unwrap();
        }
        dir
    }

    #[test]
    fn a_venv_is_found_where_people_put_it() {
        for name in [".venv", "venv"] {
            let dir = project(name, &["pip", "requests"]);
            let venv = Venv::find(dir.path()).unwrap();
            assert_eq!(venv.python, "python3.11");
            assert!(venv.site_packages.starts_with(dir.path().join(name)));
        }
        assert_eq!(Venv::find(project("environment", &["requests"]).path()), None);
    }

    #[test]
    fn a_fresh_venv_does_not_stand_for_the_requirements() {
        assert_eq!(Venv::find(project(".venv", &["pip", "pip-23.0.dist-info", "setuptools"]).path()), None);
    }

    #[test]
    fn the_fingerprint_follows_packages_and_not_byte_code() {
        let dir = project(".venv", &["requests"]);
        let venv = Venv::find(dir.path()).unwrap();
        let before = venv.fingerprint().unwrap();
        assert_eq!(before.len(), 64);
        let package = venv.site_packages.join("requests");
        fs::create_dir(package.join("__pycache__")).unwrap();
        fs::write(package.join("__pycache__/x.pyc"), "x").unwrap();
        assert_eq!(venv.fingerprint().unwrap(), before);

        let file = fs::File::options().write(true).open(package.join("__init__.py")).unwrap();
        file.set_modified(UNIX_EPOCH + Duration::from_secs(1)).unwrap();
        let touched = venv.fingerprint().unwrap();
        assert_ne!(touched, before);
        assert_ne!(Venv { python: "python3.12".to_owned(), ..venv }.fingerprint().unwrap(), touched);
    }
}
