//! `package.json`: which file Node.js runs.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;

use super::{Error, file_in, read_file};

const FILE: &str = "package.json";

#[derive(Deserialize)]
struct Package {
    main: Option<String>,
    #[serde(default)]
    scripts: BTreeMap<String, String>,
    #[serde(default)]
    dependencies: BTreeMap<String, serde_json::Value>,
}

/// Returns the file that starts the package in `code`: that of `scripts.start` if it is plain `node FILE`, else `main`, else
/// `index.js`. `None` if there is no package.
pub(crate) fn main(code: &Path) -> Result<Option<String>, Error> {
    let Some(text) = read_file(code, FILE)? else { return Ok(None) };
    let refuse = |problem: String| Error::File { file: FILE, problem };
    let package: Package = serde_json::from_str(&text).map_err(|error| refuse(error.to_string()))?;
    if !package.dependencies.is_empty() && !code.join("node_modules").is_dir() {
        let instead = "deploy a zip that holds node_modules, or bundle the agent into one file";
        return Err(Error::NotYet { found: "installing npm packages", instead });
    }
    let start = package.scripts.get("start").and_then(|line| line.strip_prefix("node ")).map(str::trim);
    let start = start.filter(|file| !file.contains(char::is_whitespace) && !file.starts_with('-'));
    let main = start.or(package.main.as_deref()).unwrap_or("index.js");
    // As `node` itself does, the ending may be left out.
    [main.to_owned(), format!("{main}.js"), format!("{main}/index.js")]
        .into_iter()
        .find(|file| file_in(code, file).is_some())
        .map(Some)
        .ok_or_else(|| refuse(format!("names {main:?} as what to run, which is not a file of the project")))
}
