//! How a bundle looks from inside: what its root is, which of the host's directories are shown where, what everything is called
//! there, and who the agent is.

mod image;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use innkeep_artifacts::{Bundle, Content};
use innkeep_protocol::walls::{AGENT_ID, Base, Identity, Mount, Root};

/// Where the code is seen. Source: AgentCore developer guide, code deployments.
const CODE: &str = "/var/task";

/// Where layers of packages are seen, by number.
const LAYERS: &str = "/opt/layers";

/// The agent's home, and where it puts what it needs for a while.
const HOME: &str = "/home/agent";
const TMP: &str = "/tmp";

/// What the development base shows of the host.
const HOST_BASE: [&str; 6] = ["/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64"];

/// Why a bundle cannot be shown, in words for who deployed it.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Error {
    #[error(
        "{} is outside of what agents see of this host, and {} cannot be shown to them, because that is more than a program's own \
         directory; install it below /usr, or in a directory of its own such as /opt/NAME/bin", .program.display(), .root.display()
    )]
    TooMuch { program: PathBuf, root: PathBuf },
    #[error(transparent)]
    Image(#[from] image::Error),
}

/// An agent's root, command, environment and directories, in the names of the inside.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Guest {
    pub(super) root: Root,
    pub(super) agent: Identity,
    pub(super) argv: Vec<String>,
    pub(super) environment: BTreeMap<String, String>,
    pub(super) working_directory: PathBuf,
    pub(super) mounts: Vec<Mount>,
}

impl Guest {
    /// Translates `bundle` and `environment`. Code sees `base`; a program outside of the development base comes with the directory
    /// that it is installed in. `has_users`: the sandbox has users of its own.
    ///
    /// # Errors
    /// When that directory holds more than programs: somebody's home, or `private`, the server's own directory. When an image asks
    /// for more than a sandbox has.
    pub(super) fn new(
        bundle: &Bundle,
        environment: BTreeMap<String, String>,
        base: &Base,
        private: &Path,
        has_users: bool,
    ) -> Result<Self, Error> {
        let (code, layers) = match &bundle.content {
            Content::Code { code, layers } => (code, layers.as_slice()),
            Content::Image { image } => {
                return Ok(image::guest(image, bundle.argv.clone(), environment, has_users)?);
            }
        };
        let mut mounts = vec![Mount { source: code.clone(), target: PathBuf::from(CODE), private_layer: true }];
        for (n, layer) in layers.iter().enumerate() {
            let target = Path::new(LAYERS).join(n.to_string());
            mounts.push(Mount { source: layer.clone(), target, private_layer: false });
        }
        let names = Vec::from_iter(mounts.iter().map(|mount| (text(&mount.source), text(&mount.target))));
        let inside = |word: &String| names.iter().fold(word.clone(), |word, (from, to)| renamed(&word, from, to));
        let mut argv: Vec<String> = bundle.argv.iter().map(inside).collect();
        let mut environment: BTreeMap<_, _> =
            environment.iter().map(|(name, value)| (name.clone(), inside(value))).collect();
        for (name, value) in [("HOME", HOME), ("TMPDIR", TMP)] {
            environment.entry(name.to_owned()).or_insert_with(|| value.to_owned());
        }
        if *base == Base::Host
            && let Some(program) = argv.first_mut()
            && let Some((found, mount)) = installation(Path::new(program), &mounts, private)?
        {
            *program = text(&found);
            mounts.extend(mount);
        }
        let (root, agent, working_directory) = (Root::Base(base.clone()), Identity::AGENT, CODE.into());
        Ok(Self { root, agent, argv, environment, working_directory, mounts })
    }
}

/// Returns `word` with every path below `from` moved to `to`.
fn renamed(word: &str, from: &str, to: &str) -> String {
    let mut renamed = String::with_capacity(word.len());
    let mut rest = word;
    while let Some(at) = rest.find(from) {
        let (before, after) = (rest.get(..at).unwrap_or_default(), rest.get(at + from.len()..).unwrap_or_default());
        let is_whole = after.is_empty() || after.starts_with(['/', ':', ' ']);
        renamed.push_str(before);
        renamed.push_str(if is_whole { to } else { from });
        rest = after;
    }
    renamed + rest
}

/// Returns where `program` really is, and the directory that it is installed in, if nothing shows it yet: an interpreter of the
/// deployer's own. One that is not there is named when it shall run.
fn installation(program: &Path, mounts: &[Mount], private: &Path) -> Result<Option<(PathBuf, Option<Mount>)>, Error> {
    let is_shown = |path: &Path| {
        let places = HOST_BASE.iter().map(Path::new).chain(mounts.iter().map(|mount| mount.target.as_path()));
        places.into_iter().any(|place| path.starts_with(place))
    };
    if is_shown(program) {
        return Ok(None);
    }
    // Through all links: what leads to an interpreter often lies among somebody's own things.
    let Ok(found) = program.canonicalize() else { return Ok(None) };
    if is_shown(&found) {
        return Ok(Some((found, None)));
    }
    let Some(bin) = found.parent() else { return Ok(None) };
    let root = bin.parent().filter(|_| bin.file_name().is_some_and(|name| name == "bin")).unwrap_or(bin).to_owned();
    if is_too_much(&root, private) {
        return Err(Error::TooMuch { program: found, root });
    }
    let mount = Mount { source: root.clone(), target: root, private_layer: false };
    Ok(Some((found, Some(mount))))
}

/// Tells whether a directory holds more than a program: a part of the host, a home, what a home hides, or what is the server's.
fn is_too_much(root: &Path, private: &Path) -> bool {
    let is_hidden = root.file_name().is_none_or(|name| name.to_string_lossy().starts_with('.'));
    let is_high = root.components().count() <= 2 || root.parent() == Some(Path::new("/home"));
    is_hidden || is_high || private.starts_with(root) || root.starts_with(private)
}

/// Returns the files that the root has of its own.
pub(super) fn files(root: &Root, hostname: &str, resolv_conf: String) -> BTreeMap<PathBuf, String> {
    let hosts = format!("127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost\n127.0.1.1\t{hostname}\n");
    let mut files = BTreeMap::from([
        (PathBuf::from("/etc/hosts"), hosts),
        (PathBuf::from("/etc/hostname"), format!("{hostname}\n")),
        (PathBuf::from("/etc/resolv.conf"), resolv_conf),
    ]);
    // A tree has its own, and so has an image.
    if *root == Root::Base(Base::Host) {
        let users = format!(
            "root:x:0:0:root:/root:/bin/sh\nagent:x:{AGENT_ID}:{AGENT_ID}:agent:{HOME}:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n"
        );
        files.insert(PathBuf::from("/etc/passwd"), users);
        files.insert(PathBuf::from("/etc/group"), format!("root:x:0:\nagent:x:{AGENT_ID}:\nnogroup:x:65534:\n"));
        files.insert(PathBuf::from("/etc/nsswitch.conf"), "passwd: files\ngroup: files\nhosts: files dns\n".to_owned());
    }
    files
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use innkeep_types::{ArtifactDigest, Settings};

    use super::*;

    fn bundle(argv: &[&str]) -> Bundle {
        Bundle {
            digest: ArtifactDigest::parse("0".repeat(64)).unwrap(),
            content: Content::Code {
                code: PathBuf::from("/data/bundles/ab/code"),
                layers: vec![PathBuf::from("/data/layers/cd")],
            },
            argv: argv.iter().map(|&word| word.to_owned()).collect(),
            environment: BTreeMap::new(),
            settings: Settings::default(),
        }
    }

    #[test]
    fn every_name_of_the_host_becomes_one_of_the_inside() {
        let environment =
            [("PYTHONPATH", "/data/bundles/ab/code:/data/layers/cd"), ("OTHER", "/data/layers/cdx"), ("HOME", "/x")];
        let environment = environment.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        let bundle = bundle(&["/usr/bin/python3", "/data/layers/cd/bin/gunicorn", "/data/bundles/ab/code/main.py"]);
        let guest = Guest::new(&bundle, environment, &Base::Host, Path::new("/data"), true).unwrap();
        assert_eq!(guest.argv, ["/usr/bin/python3", "/opt/layers/0/bin/gunicorn", "/var/task/main.py"]);
        let expected = [
            ("HOME", "/x"),
            ("OTHER", "/data/layers/cdx"),
            ("PYTHONPATH", "/var/task:/opt/layers/0"),
            ("TMPDIR", "/tmp"),
        ];
        assert_eq!(guest.environment, expected.map(|(name, value)| (name.to_owned(), value.to_owned())).into());
        let targets: Vec<_> = guest.mounts.iter().map(|mount| (text(&mount.target), mount.private_layer)).collect();
        assert_eq!(targets, [("/var/task".to_owned(), true), ("/opt/layers/0".to_owned(), false)]);
    }

    #[test]
    fn an_interpreter_of_the_deployers_own_comes_along_and_nothing_else() {
        let host = tempfile::tempdir().unwrap();
        let host = host.path().canonicalize().unwrap();
        let place = |path: &str| host.join(path);
        for program in ["py/3.12/bin/python", "node/node", ".local/bin/tool", "data/bin/tool", "deep/data2/bin/tool"] {
            std::fs::create_dir_all(place(program).parent().unwrap()).unwrap();
            std::fs::write(place(program), "").unwrap();
        }
        std::os::unix::fs::symlink(place("py/3.12/bin/python"), place(".local/bin/python")).unwrap();
        std::os::unix::fs::symlink("/usr/bin/env", place(".local/bin/usual")).unwrap();
        let shown = |program: &Path, base: &Base| {
            let private = place("deep/data2/bin/innkeep");
            let guest = Guest::new(&bundle(&[&text(program)]), BTreeMap::new(), base, &private, true)?;
            Ok::<_, Error>((guest.argv[0].clone(), guest.mounts.get(2).map(|mount| mount.source.clone())))
        };
        let real = text(&place("py/3.12/bin/python"));
        for link in ["py/3.12/bin/python", ".local/bin/python"] {
            assert_eq!(shown(&place(link), &Base::Host), Ok((real.clone(), Some(place("py/3.12")))), "{link}");
        }
        assert_eq!(shown(&place("node/node"), &Base::Host).unwrap().1, Some(place("node")));
        assert_eq!(shown(&place(".local/bin/usual"), &Base::Host), Ok(("/usr/bin/env".to_owned(), None)));
        for program in [".local/bin/tool", "deep/data2/bin/tool"] {
            shown(&place(program), &Base::Host).unwrap_err();
        }
        assert!(is_too_much(Path::new("/root"), &place("x")) && is_too_much(Path::new("/home/ann"), &place("x")));
        for program in ["/usr/local/bin/node", "/bin/sh", "/data/bundles/ab/code/agent", "/node"] {
            assert_eq!(shown(Path::new(program), &Base::Host).unwrap().1, None, "{program}");
        }
        assert_eq!(shown(&place("node/node"), &Base::Tree(PathBuf::from("/tree"))).unwrap().1, None);
    }
}
