//! What compiled modules in a folder of Python packages demand: a minor version and a processor.

use std::collections::BTreeMap;
use std::path::Path;

use walkdir::WalkDir;

use crate::host::MINORS;

/// How many modules are built for each (Python 3 minor version, processor).
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Native(BTreeMap<(u8, String), usize>);

impl Native {
    /// Looks through `folders`.
    pub(crate) fn scan(folders: &[&Path]) -> Self {
        let mut found = BTreeMap::new();
        for entry in folders.iter().flat_map(WalkDir::new).flatten() {
            if let Some(tag) = entry.file_name().to_str().and_then(tag) {
                *found.entry(tag).or_default() += 1;
            }
        }
        Self(found)
    }

    /// Returns the minor version that most of the modules are built for. `None` if there are none.
    pub(crate) fn minor(&self) -> Option<u8> {
        self.0.iter().max_by_key(|(_, n_modules)| **n_modules).map(|((minor, _), _)| *minor)
    }

    /// Returns a sentence for people if no module can be loaded by the processor of this host.
    pub(crate) fn misfit(&self) -> Option<String> {
        let here = std::env::consts::ARCH;
        let ((_, processor), _) = self.0.first_key_value()?;
        let fits = self.0.keys().any(|(_, processor)| processor == here);
        (!fits).then(|| {
            format!("the compiled modules are for {processor} and this host is {here}: importing them will fail")
        })
    }
}

/// Reads `_speedups.cpython-311-x86_64-linux-gnu.so`.
fn tag(file: &str) -> Option<(u8, String)> {
    let (_, rest) = file.strip_suffix(".so")?.split_once(".cpython-3")?;
    let (minor, platform) = rest.split_once('-')?;
    let minor = minor.parse().ok().filter(|minor| MINORS.contains(minor))?;
    Some((minor, platform.split('-').next()?.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_names_tell_version_and_processor() {
        assert_eq!(tag("_x.cpython-311-x86_64-linux-gnu.so"), Some((11, "x86_64".to_owned())));
        assert_eq!(tag("a.cpython-312-aarch64-linux-musl.so"), Some((12, "aarch64".to_owned())));
        for other in ["x.abi3.so", "libc.so", "x.cpython-36m-x86_64-linux-gnu.so", "x.py", "x.cpython-311.pyc"] {
            assert_eq!(tag(other), None, "{other}");
        }
    }
}
