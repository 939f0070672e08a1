//! The text files of the repository, as git sees them: tracked, or new and not ignored.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use walkdir::{DirEntry, WalkDir};

use crate::command::Run;

/// One text file.
#[derive(Debug)]
pub(super) struct File {
    /// Relative to the root, with `/` between its parts.
    pub(super) path: String,
    /// Its content.
    pub(super) text: String,
}

/// Returns every text file below `root`, by path.
///
/// # Errors
/// When a file cannot be read.
pub(super) fn files(root: &Path) -> Result<Vec<File>> {
    let mut files = Vec::new();
    for path in listed_by_git(root).unwrap_or_else(|| walked(root)) {
        let absolute = root.join(&path);
        if !absolute.is_file() {
            continue; // deleted and not yet committed, or a link to a directory
        }
        let bytes = fs::read(&absolute).with_context(|| format!("could not read {}", absolute.display()))?;
        if let Ok(text) = String::from_utf8(bytes) {
            files.push(File { path: path.to_string_lossy().into_owned(), text });
        }
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(files)
}

fn listed_by_git(root: &Path) -> Option<Vec<PathBuf>> {
    let listed =
        Run::new("git").args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"]).dir(root).output()?;
    let listed = String::from_utf8(listed).ok()?;
    Some(listed.split_terminator('\0').map(PathBuf::from).collect())
}

/// For an unpacked source archive, which has no `.git`.
fn walked(root: &Path) -> Vec<PathBuf> {
    let skipped = |entry: &DirEntry| {
        let name = entry.file_name().to_string_lossy();
        matches!(name.as_ref(), "target" | ".git" | ".venv" | "node_modules" | "__pycache__")
    };
    let entries = WalkDir::new(root).into_iter().filter_entry(|entry| !skipped(entry)).flatten();
    let files = entries.filter(|entry| entry.file_type().is_file());
    files.filter_map(|entry| entry.path().strip_prefix(root).ok().map(Path::to_owned)).collect()
}
