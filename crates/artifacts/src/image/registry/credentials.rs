//! Who we are to a registry: from the settings, else from a Docker configuration file and the credential helpers that it names.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use http::HeaderValue;
use serde::Deserialize;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::Command;

use crate::Secret;
use crate::command::hide_settings;
use crate::image::Problem;
use crate::image::registry::Registries;

/// How long a credential helper may take.
const HELPER_LIMIT: Duration = Duration::from_secs(20);
/// How much of its output is read, bytes.
const MAX_OUTPUT_BYTES: u64 = 64 << 10;
/// The name under which Docker keeps the login to its own registry.
const DOCKER_HUB: &str = "https://index.docker.io/v1/";

/// Credentials, and where they are from.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Login {
    pub(super) proof: Proof,
    /// For people.
    pub(super) place: String,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Proof {
    Password {
        user: String,
        password: Secret,
    },
    /// To be changed for tokens at the token service.
    IdentityToken(Secret),
}

impl Login {
    /// Returns the `Authorization` of user and password.
    pub(super) fn basic(&self) -> Option<HeaderValue> {
        let Proof::Password { user, password } = &self.proof else { return None };
        let pair = BASE64_STANDARD.encode(format!("{user}:{}", password.0));
        let mut value = HeaderValue::try_from(format!("Basic {pair}")).ok()?;
        value.set_sensitive(true);
        Some(value)
    }
}

/// What we read of `config.json`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct DockerConfig {
    auths: BTreeMap<String, Auth>,
    cred_helpers: BTreeMap<String, String>,
    creds_store: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Auth {
    /// `USER:PASSWORD` in base64.
    auth: String,
    username: String,
    password: String,
    identitytoken: String,
}

/// What a helper prints.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Helped {
    username: String,
    secret: String,
}

impl Registries {
    /// Returns the credentials for `host`, if there are any.
    pub(super) async fn login(&self, host: &str) -> Result<Option<Login>, Problem> {
        if let Some((user, password)) = self.options.get(host).and_then(|options| options.credentials.clone()) {
            return Ok(Some(Login { proof: Proof::Password { user, password }, place: "[registries]".to_owned() }));
        }
        let Some(path) = &self.docker_config else { return Ok(None) };
        let place = path.display().to_string();
        let failed =
            |problem: String| Problem::Credentials { registry: host.to_owned(), place: place.clone(), problem };
        let json = match tokio::fs::read(path).await {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            json => json.map_err(|error| failed(error.to_string()))?,
        };
        // Without what stands there, which may be secret.
        let config: DockerConfig = serde_json::from_slice(&json)
            .map_err(|error| failed(format!("it is no Docker configuration (line {})", error.line())))?;
        let own = config.cred_helpers.iter().find(|(key, _)| names(key, host)).map(|(_, helper)| helper);
        if let Some(helper) = own {
            return ask(helper, host, path).await.map_err(failed);
        }
        let auth = config.auths.iter().find(|(key, auth)| names(key, host) && !auth.is_empty());
        if let Some((_, auth)) = auth {
            let proof =
                auth.proof().ok_or_else(|| failed("its `auth` is no user and password in base64".to_owned()))?;
            return Ok(Some(Login { proof, place: path.display().to_string() }));
        }
        match config.creds_store.as_str() {
            "" => Ok(None),
            store => ask(store, host, path).await.map_err(failed),
        }
    }
}

impl Auth {
    fn is_empty(&self) -> bool {
        self.auth.is_empty() && self.username.is_empty() && self.identitytoken.is_empty()
    }

    fn proof(&self) -> Option<Proof> {
        if !self.identitytoken.is_empty() {
            return Some(Proof::IdentityToken(Secret(self.identitytoken.clone())));
        }
        if self.auth.is_empty() {
            let password = Secret(self.password.clone());
            return Some(Proof::Password { user: self.username.clone(), password });
        }
        let pair = String::from_utf8(BASE64_STANDARD.decode(self.auth.trim()).ok()?).ok()?;
        let (user, password) = pair.split_once(':')?;
        // Docker for Windows once ended it by NULs.
        let password = Secret(password.trim_end_matches('\0').to_owned());
        Some(Proof::Password { user: user.to_owned(), password })
    }
}

/// Tells whether `key` of a Docker configuration means `host`.
fn names(key: &str, host: &str) -> bool {
    let key = key.strip_prefix("https://").or_else(|| key.strip_prefix("http://")).unwrap_or(key);
    let key = key.trim_end_matches('/');
    let key = key.strip_suffix("/v1").or_else(|| key.strip_suffix("/v2")).unwrap_or(key);
    key == host || (host == "docker.io" && matches!(key, "index.docker.io" | "registry-1.docker.io"))
}

/// Asks the credential helper called `name`. Source: github.com/docker/docker-credential-helpers, "Development".
async fn ask(name: &str, host: &str, config: &Path) -> Result<Option<Login>, String> {
    if name.is_empty() || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b)) {
        return Err(format!("{name:?} is no name of a credential helper"));
    }
    let program = format!("docker-credential-{name}");
    let mut command = Command::new(&program);
    command.arg("get").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    command.kill_on_drop(true);
    hide_settings(&mut command);
    let server = if host == "docker.io" { DOCKER_HUB } else { host };
    let run = async {
        let mut child = command.spawn()?;
        if let Some(mut stdin) = child.stdin.take() {
            // It may know without reading.
            let _ = stdin.write_all(server.as_bytes()).await;
        }
        let mut output = Vec::new();
        if let Some(stdout) = child.stdout.take() {
            stdout.take(MAX_OUTPUT_BYTES).read_to_end(&mut output).await?;
        }
        Ok::<_, io::Error>((child.wait().await?, output))
    };
    let (status, output) = match tokio::time::timeout(HELPER_LIMIT, run).await {
        Err(_) => return Err(format!("{program} did not answer within {} s", HELPER_LIMIT.as_secs())),
        Ok(Err(error)) => return Err(format!("{program} could not be run: {error}")),
        Ok(Ok(ended)) => ended,
    };
    if !status.success() {
        let text = String::from_utf8_lossy(&output);
        // The word of all helpers for "I have none".
        if text.contains("credentials not found") {
            return Ok(None);
        }
        return Err(format!("{program} failed ({status})"));
    }
    let helped: Helped = serde_json::from_slice(&output).map_err(|_| format!("{program} did not print credentials"))?;
    let secret = Secret(helped.secret);
    let proof = match helped.username.as_str() {
        "<token>" => Proof::IdentityToken(secret),
        user => Proof::Password { user: user.to_owned(), password: secret },
    };
    Ok(Some(Login { proof, place: format!("{program} (by {})", config.display()) }))
}
