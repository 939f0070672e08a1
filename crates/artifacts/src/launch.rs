//! The command line and environment that start an artifact on this host.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::home::Home;
use crate::host::{Host, MINORS, Python, is_executable};
use crate::project::file_in;
use crate::{Error, upload};

/// The host's program that runs the entry point.
#[derive(Debug)]
pub(crate) enum Runner {
    Python(Python),
    Node(PathBuf),
    /// The entry point is a program itself.
    None,
}

/// How a bundle is started.
#[derive(Debug)]
pub(crate) struct Launch {
    pub(crate) argv: Vec<String>,
    pub(crate) environment: BTreeMap<String, String>,
}

impl Runner {
    /// Returns what runs `runtime` on this host.
    pub(crate) async fn find(host: &Host, home: &Home, runtime: &str) -> Result<Self, Error> {
        match runtime {
            upload::PROVIDED => Ok(Self::None),
            "NODE_22" => Ok(Self::Node(host.node(home).await?.program)),
            _ => {
                let minor = runtime.strip_prefix("PYTHON_3_").and_then(|minor| minor.parse().ok());
                let minor = minor.filter(|minor| MINORS.contains(minor));
                let minor = minor.ok_or_else(|| Error::Runtime(runtime.to_owned()))?;
                Ok(Self::Python(host.python(home, Some(minor)).await?))
            }
        }
    }

    /// Returns how `entry_point` is started. The code is looked at in `code`, and will run from `place`.
    pub(crate) fn launch(
        &self,
        entry_point: &[String],
        code: &Path,
        place: &Path,
        layer: Option<&Path>,
    ) -> Result<Launch, Error> {
        let refuse = |problem: String| Error::EntryPoint { entry_point: entry_point.to_vec(), problem };
        let file = |name: &str| match file_in(code, name) {
            Some(path) => Ok(text(&place.join(path))),
            None => Err(refuse(format!("is not in the artifact: there is no file {name:?}"))),
        };
        let argv = match (self, entry_point) {
            (Self::Python(python), [script]) => vec![text(&python.program), file(script)?],
            (Self::Python(python), [launcher, script]) => {
                let scripts = [Some((code, place)), layer.map(|layer| (layer, layer))].into_iter().flatten();
                let mut scripts = scripts.map(|(now, then)| (now.join("bin").join(launcher), then));
                let Some((_, root)) = scripts.find(|(path, _)| path.is_file() && !launcher.contains('/')) else {
                    return Err(refuse(format!(
                        "is not in the artifact: {launcher:?} is no console script of its packages (bin/{launcher})"
                    )));
                };
                // A launcher takes the command that it shall run.
                let program = text(&python.program);
                vec![program.clone(), text(&root.join("bin").join(launcher)), program, file(script)?]
            }
            (Self::Node(node), [script]) => vec![text(node), file(script)?],
            (Self::None, [program, arguments @ ..]) => {
                let path = file(program)?;
                if !file_in(code, program).is_some_and(|path| is_executable(&code.join(path))) {
                    return Err(refuse(format!("cannot be run: {program:?} is not executable")));
                }
                std::iter::once(path).chain(arguments.iter().cloned()).collect()
            }
            (Self::Python(_), _) => return Err(refuse("must be a script, or a launcher and a script".to_owned())),
            (Self::Node(_), _) => return Err(refuse("must be one script".to_owned())),
            (Self::None, []) => return Err(refuse("must name a program".to_owned())),
        };
        Ok(Launch { argv, environment: self.environment(place, layer) })
    }

    fn environment(&self, place: &Path, layer: Option<&Path>) -> BTreeMap<String, String> {
        let program = match self {
            Self::Python(python) => Some(python.program.as_path()),
            Self::Node(node) => Some(node.as_path()),
            Self::None => None,
        };
        let own = [layer.map(|layer| layer.join("bin")), program.and_then(Path::parent).map(Path::to_owned)];
        let usual = ["/usr/local/bin", "/usr/bin", "/bin"].map(PathBuf::from);
        let mut search: Vec<PathBuf> = own.into_iter().flatten().collect();
        search.extend(usual.into_iter().filter(|dir| !search.contains(dir)).collect::<Vec<_>>());
        let mut environment = BTreeMap::from([("PATH".to_owned(), joined(&search))]);
        if matches!(self, Self::Python(_)) {
            let packages: Vec<PathBuf> = std::iter::once(place).chain(layer).map(Path::to_owned).collect();
            environment.insert("PYTHONPATH".to_owned(), joined(&packages));
            environment.insert("PYTHONUNBUFFERED".to_owned(), "1".to_owned());
            // What the operator installed for himself is not part of the artifact.
            environment.insert("PYTHONNOUSERSITE".to_owned(), "1".to_owned());
        }
        environment
    }
}

/// Joins items of a search path; [`Home::open`] and [`Host::new`] let no `:` into one.
fn joined(paths: &[PathBuf]) -> String {
    paths.iter().map(|path| text(path)).collect::<Vec<_>>().join(":")
}

/// Spells a path; [`Home::open`], [`Host::new`] and the archive's rules let only UTF-8 in.
fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}
