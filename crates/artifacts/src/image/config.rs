//! An image's configuration: what runs in it, and of which layers it is made. What Innkeep has no use for (ExposedPorts, Volumes,
//! StopSignal, Healthcheck, Labels) is not read: the contract says where an agent listens and how it is stopped.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use innkeep_types::ArtifactDigest;
use serde::{Deserialize, Serialize};

use crate::image::Problem;
use crate::image::manifest::{Manifest, Platform};
use crate::image::reference::parse_digest;

/// The variables and the command line together, with what separates them. Source: our choice; Linux takes 128 KiB for one of them.
pub(crate) const MAX_PROCESS_BYTES: usize = 128 << 10;

/// What we read of a configuration. Source: OCI image specification, "Image Configuration".
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Config {
    /// The digests of its layers, uncompressed; the lowest first.
    pub(crate) diff_ids: Vec<ArtifactDigest>,
    pub(crate) process: Process,
}

/// What runs, as the image says it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct Process {
    user: Option<String>,
    env: Option<Vec<String>>,
    entrypoint: Option<Vec<String>>,
    cmd: Option<Vec<String>>,
    working_dir: Option<String>,
}

#[derive(Deserialize)]
struct File {
    #[serde(flatten)]
    platform: Platform,
    #[serde(default)]
    config: Option<Process>,
    rootfs: RootFs,
}

#[derive(Deserialize)]
struct RootFs {
    diff_ids: Vec<String>,
}

impl Config {
    /// Reads the configuration of `manifest`'s image and checks that this host runs it.
    pub(crate) fn parse(json: &[u8], manifest: &Manifest) -> Result<Self, Problem> {
        let config = Self::read(json)?;
        if config.diff_ids.len() != manifest.layers.len() {
            return Err(Problem::LayerCount { layers: manifest.layers.len(), diff_ids: config.diff_ids.len() });
        }
        Ok(config)
    }

    /// Reads a configuration that has no manifest beside it.
    pub(crate) fn read(json: &[u8]) -> Result<Self, Problem> {
        let file: File = serde_json::from_slice(json).map_err(Problem::Config)?;
        if !file.platform.fits() {
            return Err(Problem::Platform { has: vec![file.platform.to_string()] });
        }
        let diff_ids = file.rootfs.diff_ids.iter().map(|id| parse_digest(id)).collect::<Option<_>>();
        let diff_ids = diff_ids.ok_or(Problem::NoImage)?;
        let config = Self { diff_ids, process: file.config.unwrap_or_default() };
        // Found out before anything is pulled.
        config.process.argv()?;
        match config.process.bytes() {
            bytes if bytes > MAX_PROCESS_BYTES => Err(Problem::ProcessTooLarge(bytes)),
            _ => Ok(config),
        }
    }
}

impl Process {
    /// Returns program and arguments.
    pub(crate) fn argv(&self) -> Result<Vec<String>, Problem> {
        let parts = [&self.entrypoint, &self.cmd].into_iter().flatten().flatten();
        let argv: Vec<String> = parts.cloned().collect();
        match argv.first() {
            None => Err(Problem::NoCommand),
            Some(program) if program.is_empty() || argv.iter().any(|part| part.contains('\0')) => {
                Err(Problem::NoCommand)
            }
            Some(_) => Ok(argv),
        }
    }

    fn bytes(&self) -> usize {
        let texts = [&self.env, &self.entrypoint, &self.cmd].into_iter().flatten().flatten();
        texts.map(|text| text.len() + 1).sum()
    }

    /// Returns the variables; of two of one name the last.
    pub(crate) fn environment(&self) -> BTreeMap<String, String> {
        let variables = self.env.iter().flatten().filter_map(|variable| variable.split_once('='));
        let variables = variables.filter(|(name, value)| !name.is_empty() && !format!("{name}{value}").contains('\0'));
        variables.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
    }

    /// Returns where the program starts; absolute and without `..`.
    pub(crate) fn working_directory(&self) -> PathBuf {
        let mut path = PathBuf::from("/");
        for part in Path::new(self.working_dir.as_deref().unwrap_or_default()).components() {
            match part {
                std::path::Component::Normal(part) => path.push(part),
                std::path::Component::ParentDir => {
                    path.pop();
                }
                _ => {}
            }
        }
        path
    }

    /// Returns `User` as it stands.
    pub(crate) fn user(&self) -> &str {
        self.user.as_deref().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(config: &str) -> Result<Config, Problem> {
        let architecture = crate::image::manifest::host_architecture();
        let json = format!(
            r#"{{"os":"linux","architecture":"{architecture}","config":{config},"rootfs":{{"type":"layers","diff_ids":[]}}}}"#
        );
        Config::read(json.as_bytes())
    }

    #[test]
    fn entry_point_and_command_make_one_line() {
        for (config, expect) in [
            (r#"{"Entrypoint":["/a","b"],"Cmd":["c"]}"#, Some(vec!["/a", "b", "c"])),
            (r#"{"Entrypoint":null,"Cmd":["sh","-c","x"]}"#, Some(vec!["sh", "-c", "x"])),
            (r#"{"Entrypoint":["/a"]}"#, Some(vec!["/a"])),
            (r#"{"Entrypoint":[],"Cmd":[]}"#, None),
            (r#"{"Cmd":[""]}"#, None),
            (r#"{"Cmd":["a\u0000"]}"#, None),
            ("null", None),
        ] {
            let argv = read(config).and_then(|config| config.process.argv()).ok();
            assert_eq!(argv, expect.map(|argv| argv.into_iter().map(str::to_owned).collect()), "{config}");
        }
    }

    #[test]
    fn odd_members_do_no_harm() {
        let config =
            read(r#"{"Cmd":["x"],"Env":["A=1","B","=x","C=","A=2=3","D=\u0000"],"WorkingDir":"../a/./b/../c"}"#);
        let process = config.unwrap().process;
        let expect = BTreeMap::from([("A".to_owned(), "2=3".to_owned()), ("C".to_owned(), String::new())]);
        assert_eq!(process.environment(), expect);
        assert_eq!(process.working_directory(), Path::new("/a/c"));
        assert_eq!(Process::default().working_directory(), Path::new("/"));
    }

    #[test]
    fn variables_and_command_are_bounded_together() {
        let with = |bytes: usize| {
            let part = "x".repeat(bytes);
            read(&format!(r#"{{"Entrypoint":["/a","{part}"],"Cmd":["{part}"],"Env":["A={part}"]}}"#)).map(drop)
        };
        assert!(with(40_000).is_ok());
        let error = with(50_000).unwrap_err();
        assert_eq!(error.to_string(), "has 150008 bytes of ENV, ENTRYPOINT and CMD together; at most 131072 are taken");
        assert_eq!(error.kind(), innkeep_types::ErrorKind::Validation);
    }

    #[test]
    fn another_platform_is_named() {
        let json = br#"{"os":"windows","architecture":"arm","variant":"v7","rootfs":{"diff_ids":[]}}"#;
        let Err(Problem::Platform { has }) = Config::read(json) else { panic!("it should be refused") };
        assert_eq!(has, ["windows/arm/v7"]);
    }
}
