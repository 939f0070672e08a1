//! Which Python packages a project needs, from `requirements.txt` or `pyproject.toml`.

use std::path::Path;

use serde::Deserialize;

use super::{Error, read_file};

/// Packages to install.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Requirements {
    /// The file that names them.
    pub(crate) file: &'static str,
    /// In the format of `requirements.txt`, without blank lines and comment lines.
    pub(crate) text: String,
}

impl Requirements {
    /// Returns the requirements of the project in `code`; `requirements.txt` goes first. `None` if it has none.
    pub(crate) fn read(code: &Path) -> Result<Option<Self>, Error> {
        let (file, text) = if let Some(text) = read_file(code, "requirements.txt")? {
            ("requirements.txt", text)
        } else if let Some(text) = read_file(code, PYPROJECT)? {
            (PYPROJECT, dependencies(&text)?.join("\n"))
        } else {
            return Ok(None);
        };
        let lines = text.lines().filter(|line| !matches!(line.trim_start().chars().next(), None | Some('#')));
        let text: String = lines.flat_map(|line| [line.trim_end(), "\n"]).collect();
        Ok(Some(Self { file, text }).filter(|found| !found.text.is_empty()))
    }

    /// Tells whether the text alone says what is installed: nothing but packages of an index. Everything else (`-r other.txt`,
    /// `-e .`, `--find-links wheels`, `./package`) may mean other files of the project.
    pub(crate) fn is_self_contained(&self) -> bool {
        self.text.lines().all(|line| {
            let requirement = line.split(" #").next().unwrap_or_default().split(';').next().unwrap_or_default();
            requirement.starts_with(|first: char| first.is_ascii_alphanumeric())
                && !requirement.contains(['/', '\\'])
                && !requirement.trim_end().ends_with(".whl")
        })
    }
}

const PYPROJECT: &str = "pyproject.toml";

#[derive(Deserialize, Default)]
#[serde(default)]
struct PyProject {
    project: Metadata,
    tool: Tool,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Metadata {
    dependencies: Vec<String>,
    dynamic: Vec<String>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Tool {
    uv: Uv,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Uv {
    sources: toml::Table,
}

fn dependencies(text: &str) -> Result<Vec<String>, Error> {
    let refuse = |problem: String| Error::File { file: PYPROJECT, problem };
    let file: PyProject = toml::from_str(text).map_err(|error| refuse(error.to_string()))?;
    // Installing such a name from the public index instead would run a stranger's code.
    if !file.tool.uv.sources.is_empty() {
        return Err(refuse(
            "[tool.uv.sources] is not supported; run `uv export --no-hashes -o requirements.txt`, or deploy with a .venv".to_owned(),
        ));
    }
    if file.project.dynamic.iter().any(|field| field == "dependencies") {
        return Err(refuse(
            "dynamic dependencies are not supported; write them to requirements.txt, or deploy with a .venv".to_owned(),
        ));
    }
    Ok(file.project.dependencies)
}
