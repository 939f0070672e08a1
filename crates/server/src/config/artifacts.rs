//! Settings about where artifacts come from and what runs them: `[s3]`, `[registries]`, `docker_config`, `[interpreters]`.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use innkeep_artifacts::{INTERPRETERS, Options, RegistryOptions, S3Options, Secret};
use serde::{Deserialize, Deserializer, Serialize, de};

use super::{Config, values};

/// `[s3]`: an S3-compatible object store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct S3Settings {
    /// Its base URL, `https://s3.example.com`.
    pub endpoint: String,
    /// The region that requests are signed for; default `us-east-1`, which most self-hosted stores take.
    #[serde(default = "S3Settings::region")]
    pub region: String,
    /// The access key's id.
    pub access_key_id: String,
    /// The access key's secret.
    #[serde(skip_serializing, deserialize_with = "values::secret")]
    pub secret_access_key: Secret,
    /// Whether the bucket is the first segment of the path, or part of the host's name; default true.
    #[serde(default = "S3Settings::path_style")]
    pub path_style: bool,
}

impl S3Settings {
    fn region() -> String {
        "us-east-1".to_owned()
    }

    fn path_style() -> bool {
        true
    }
}

/// `[registries."host:port"]`: how one registry is spoken to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RegistrySettings {
    /// Who asks; with a password, and before the Docker configuration file's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    /// The user's password, or token.
    #[serde(skip_serializing, deserialize_with = "values::some_secret")]
    pub password: Option<Secret>,
    /// Speak to it without TLS; on loopback that is always allowed. Default false.
    pub allow_plain_http: bool,
}

impl Config {
    /// Returns what the artifact store is opened with.
    pub(crate) fn artifacts(&self) -> Options {
        let registry = |registry: &RegistrySettings| RegistryOptions {
            credentials: registry.username.clone().zip(registry.password.clone()),
            allow_plain_http: registry.allow_plain_http,
        };
        Options {
            registries: self.registries.iter().map(|(host, each)| (host.clone(), registry(each))).collect(),
            docker_config: self.docker_config.clone(),
            s3: self.s3.clone().map(|s3| S3Options {
                endpoint: s3.endpoint,
                region: s3.region,
                access_key_id: s3.access_key_id,
                secret_access_key: s3.secret_access_key,
                path_style: s3.path_style,
            }),
            interpreters: self.interpreters.clone(),
        }
    }
}

/// Returns the file that `docker login` of the server's user writes, or will write, if it can be read: nobody asked for it by name,
/// and one that cannot be is no reason to pull nothing. Source: Docker's `DOCKER_CONFIG`.
pub(super) fn docker_config(variables: &BTreeMap<String, String>) -> Option<String> {
    let given = |name: &str| variables.get(name).filter(|value| !value.is_empty());
    let folder = given("DOCKER_CONFIG").map(PathBuf::from);
    let folder = folder.or_else(|| Some(Path::new(given("HOME")?).join(".docker")))?;
    let path = folder.join("config.json");
    match File::open(&path) {
        Err(error) if error.kind() != ErrorKind::NotFound => None,
        _ => path.into_os_string().into_string().ok(),
    }
}

/// Returns the names of the secrets that are set.
pub(super) fn secrets(config: &Config) -> Vec<String> {
    let s3 = config.s3.iter().map(|_| "s3.secret_access_key".to_owned());
    let with_password = config.registries.iter().filter(|(_, registry)| registry.password.is_some());
    s3.chain(with_password.map(|(host, _)| format!("registries.{host:?}.password"))).collect()
}

/// Reads `[interpreters]`: known words, absolute paths.
pub(super) fn interpreters<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<String, PathBuf>, D::Error> {
    let interpreters = BTreeMap::<String, PathBuf>::deserialize(deserializer)?;
    for (word, program) in &interpreters {
        if !INTERPRETERS.contains(&word.as_str()) {
            return Err(de::Error::custom(format!("interpreters: {word:?} is none of {}", INTERPRETERS.join(", "))));
        }
        if !program.is_absolute() || program.to_str().is_none_or(|path| path.contains(':')) {
            return Err(de::Error::custom(format!(
                "interpreters: {word} is {}, but must be an absolute path without `:`",
                program.display()
            )));
        }
    }
    Ok(interpreters)
}
