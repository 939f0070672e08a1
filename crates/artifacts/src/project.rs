//! Finds out what a folder of code is and how it is started. Looks at files only: runs nothing, installs nothing.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::archive;
use crate::host::is_executable;

pub(crate) mod native;
mod package_json;
pub(crate) mod requirements;
pub(crate) mod settings;

/// Why a folder cannot be run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nothing in it looks like an agent.
    #[error(
        "nothing to run: there is no main.py, agent.py, app.py or package.json, and no executable called agent or \
         bootstrap; name what to run in innkeep.toml: [agent] entrypoint = \"…\""
    )]
    NothingToRun,
    /// It is of a kind that a later version will run.
    #[error("{found} is not supported yet: {instead}")]
    NotYet {
        /// What was found.
        found: &'static str,
        /// What works today.
        instead: &'static str,
    },
    /// The entry point named by the project cannot be started.
    #[error("entrypoint {entry_point:?} of {file} {problem}")]
    EntryPoint {
        /// Where it is named.
        file: &'static str,
        /// As named.
        entry_point: String,
        /// Continues the sentence.
        problem: &'static str,
    },
    /// A file of the project says something that is not understood.
    #[error("{file}: {problem}")]
    File {
        /// Which file.
        file: &'static str,
        /// What is wrong with it.
        problem: String,
    },
}

/// What runs the entry point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Language {
    /// A Python interpreter.
    Python,
    /// Node.js.
    Node,
    /// The kernel.
    Executable,
}

/// A folder that can be run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Project {
    pub(crate) language: Language,
    /// One or two items, as `entryPoint` of the API has them.
    pub(crate) entry_point: Vec<String>,
}

/// Returns how the code in `code` is started: as its `innkeep.toml` says, else by the usual names.
pub(crate) fn detect(code: &Path) -> Result<Project, Error> {
    if let Some(entry_point) = settings::read(code)?.entry_point {
        let language = language(code, &entry_point)?;
        return Ok(Project { language, entry_point });
    }
    let one = |language, name: &str| Ok(Project { language, entry_point: vec![name.to_owned()] });
    if let Some(name) = ["main.py", "agent.py", "app.py"].into_iter().find(|name| code.join(name).is_file()) {
        return one(Language::Python, name);
    }
    if let Some(main) = package_json::main(code)? {
        return one(Language::Node, &main);
    }
    if let Some(name) = ["agent", "bootstrap"].into_iter().find(|name| is_executable(&code.join(name))) {
        return one(Language::Executable, name);
    }
    if code.join("Cargo.toml").is_file() {
        let instead = "build it by `cargo install --path . --root .`, and name the executable in innkeep.toml: \
                       [agent] entrypoint = \"bin/NAME\"";
        return Err(Error::NotYet { found: "building a Cargo project", instead });
    }
    if code.join("Dockerfile").is_file() {
        let instead = "images need the container driver; deploy a folder with a main.py, or any executable";
        return Err(Error::NotYet { found: "building a Dockerfile", instead });
    }
    Err(Error::NothingToRun)
}

/// Returns what runs `entry_point`, by the ending of what it starts in the end.
fn language(code: &Path, entry_point: &[String]) -> Result<Language, Error> {
    let started = entry_point.last().map(String::as_str).unwrap_or_default();
    let program = entry_point.first().map(String::as_str).unwrap_or_default();
    let refuse = |entry_point: &str, problem| {
        Err(Error::EntryPoint { file: settings::FILE, entry_point: entry_point.to_owned(), problem })
    };
    let (language, file) = match Path::new(started).extension().and_then(|ending| ending.to_str()) {
        Some("py") => (Language::Python, started),
        Some("js" | "mjs" | "cjs") => (Language::Node, started),
        _ => (Language::Executable, program),
    };
    match file_in(code, file) {
        None if file.trim_start_matches("./").starts_with("target/") => refuse(
            file,
            "was not uploaded, as nothing in target is; `cargo install --path . --root .` puts it into bin",
        ),
        None => refuse(file, "is not a file of the project"),
        Some(path) if language == Language::Executable && !is_executable(&code.join(&path)) => {
            refuse(file, "is not executable; run `chmod +x` on it")
        }
        Some(_) => Ok(language),
    }
}

/// Returns the path below `code` of the file that `name` names, or `None` if it names no file there.
pub(crate) fn file_in(code: &Path, name: &str) -> Option<PathBuf> {
    archive::path::parse(name.as_bytes()).ok().filter(|path| code.join(path).is_file())
}

/// Returns the text of a file of the project, or `None` if there is none of that name.
fn read_file(code: &Path, file: &'static str) -> Result<Option<String>, Error> {
    match fs::read_to_string(code.join(file)) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::File { file, problem: error.to_string() }),
    }
}

#[cfg(test)]
mod tests;
