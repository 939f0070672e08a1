//! What every command needs to begin: how to talk, where the data directory is, which server to ask, and with which key.

use std::io;
use std::path::{Path, PathBuf};

use innkeep_protocol::operator::ServerFile;
use innkeep_sdk::{Client, Credentials, Endpoint};
use innkeep_types::{AccountId, Region};

use crate::args::Global;
use crate::credentials;
use crate::environment::Environment;
use crate::failure::{Code, Failure};
use crate::output::Output;

const DEFAULT_REGION: &str = "us-west-2";
const DEFAULT_ACCOUNT: &str = "000000000000";

/// What every command needs to begin.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) out: Output,
    pub(crate) environment: Environment,
    pub(crate) data_dir: PathBuf,
    /// Whether a flag or a variable named the data directory.
    pub(crate) data_dir_is_named: bool,
    /// `--url`, else `INNKEEP_URL`.
    pub(crate) url: Option<String>,
    profile: Option<String>,
}

impl Context {
    pub(crate) fn new(global: Global, out: Output, environment: Environment) -> Result<Self, Failure> {
        let root = rustix::process::geteuid().is_root();
        let named = global.data_dir.or_else(|| environment.get("INNKEEP_DATA_DIR").map(PathBuf::from));
        let data_dir_is_named = named.is_some();
        let data_dir = named.map_or_else(|| default_data_dir(&environment, root), Ok)?;
        let url = global.url.or_else(|| environment.get("INNKEEP_URL").map(str::to_owned));
        Ok(Self { out, environment, data_dir, data_dir_is_named, url, profile: global.profile })
    }

    /// Returns a client of the server that this run is about. Does not connect.
    pub(crate) fn client(&self) -> Result<Client, Failure> {
        let (endpoint, ca) = match self.endpoint()? {
            Some(found) => found,
            None => {
                let message = format!("no server runs on the data directory {}", self.data_dir.display());
                let fix = "start one with `innkeep serve` or `innkeep dev DIR`, or name one with --url or --data-dir";
                return Err(Failure::new(Code::Unreachable, message).with_fix(fix));
            }
        };
        // Without a key it is the server's to refuse: perhaps there is none at that address, which is the better news.
        Ok(Client::trusting(endpoint, self.credentials()?, ca)?)
    }

    /// Returns the server, and the file of the CA to trust if that is not one of this system.
    fn endpoint(&self) -> Result<Option<(Endpoint, Option<PathBuf>)>, Failure> {
        let file = self.server_file()?;
        let same = file.filter(|file| self.url.as_ref().is_none_or(|url| *url == file.url));
        if let Some(ServerFile { url, region, account, ca, .. }) = same {
            let region = Region::parse(region).map_err(|e| Failure::new(Code::Failed, format!("server.json: {e}")))?;
            let account =
                AccountId::parse(account).map_err(|e| Failure::new(Code::Failed, format!("server.json: {e}")))?;
            let ca = ca.map(PathBuf::from).or_else(|| self.named_ca());
            return Ok(Some((Endpoint { url, region, account }, ca)));
        }
        let Some(url) = self.url.clone() else { return Ok(None) };
        let region = self.environment.first(&["AWS_REGION", "AWS_DEFAULT_REGION"]).unwrap_or(DEFAULT_REGION);
        let region = Region::parse(region).map_err(|e| Failure::usage(format!("AWS_REGION: {e}")))?;
        let account = AccountId::parse(DEFAULT_ACCOUNT).map_err(|e| Failure::new(Code::Failed, e.to_string()))?;
        Ok(Some((Endpoint { url, region, account }, self.named_ca())))
    }

    /// Returns the CA that the environment has for the AWS tools too.
    fn named_ca(&self) -> Option<PathBuf> {
        self.environment.get("AWS_CA_BUNDLE").map(PathBuf::from)
    }

    /// Returns what the server that runs on the data directory says of itself.
    pub(crate) fn server_file(&self) -> Result<Option<ServerFile>, Failure> {
        let path = self.data_dir.join("server.json");
        let Some(text) = read_if_present(&path)? else { return Ok(None) };
        let parsed = serde_json::from_str(&text);
        parsed.map(Some).map_err(|e| Failure::new(Code::Failed, format!("cannot read {}: {e}", path.display())))
    }

    fn credentials(&self) -> Result<Option<Credentials>, Failure> {
        let own = self.data_dir.join("credentials");
        if let Some(profile) = &self.profile {
            let shared = self.shared_credentials_file();
            for path in [Some(&own), shared.as_ref()].into_iter().flatten() {
                if let Some(key) = read_if_present(path)?.and_then(|text| credentials::parse(&text, profile)) {
                    return Ok(Some(key));
                }
            }
            let message = format!("no profile {profile} in {}", own.display());
            return Err(
                Failure::new(Code::NotAuthorised, message).with_fix("leave --profile out to use the server's own key")
            );
        }
        if let Some(key) = read_if_present(&own)?.and_then(|text| credentials::parse(&text, "default")) {
            return Ok(Some(key));
        }
        let variable = |name: &str| self.environment.get(name).map(str::to_owned);
        let pair = variable("AWS_ACCESS_KEY_ID").zip(variable("AWS_SECRET_ACCESS_KEY"));
        Ok(pair.map(|(access_key_id, secret)| {
            let session_token = variable("AWS_SESSION_TOKEN");
            Credentials { access_key_id, secret, session_token }
        }))
    }

    /// Returns the name of the dev issuer of the server at `url`, if that one runs on the data directory and has one.
    pub(crate) fn dev_issuer_at(&self, url: &str) -> Result<Option<String>, Failure> {
        Ok(self.server_file()?.filter(|file| file.url == url).and_then(|file| file.dev_issuer))
    }

    fn shared_credentials_file(&self) -> Option<PathBuf> {
        let named = self.environment.get("AWS_SHARED_CREDENTIALS_FILE").map(PathBuf::from);
        named.or_else(|| Some(Path::new(self.environment.get("HOME")?).join(".aws/credentials")))
    }
}

/// Returns `/var/lib/innkeep` as root and `$XDG_DATA_HOME/innkeep` otherwise.
fn default_data_dir(environment: &Environment, root: bool) -> Result<PathBuf, Failure> {
    if root {
        return Ok(PathBuf::from("/var/lib/innkeep"));
    }
    let home = || environment.get("HOME").map(|home| Path::new(home).join(".local/share"));
    let data_home = environment.get("XDG_DATA_HOME").map(PathBuf::from).or_else(home);
    let data_home = data_home.ok_or_else(|| {
        Failure::usage("neither HOME nor XDG_DATA_HOME is set").with_fix("name the data directory with --data-dir")
    })?;
    Ok(data_home.join("innkeep"))
}

pub(crate) fn read_if_present(path: &Path) -> Result<Option<String>, Failure> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            let message = format!("may not read {}: it belongs to the user who runs the server", path.display());
            Err(Failure::new(Code::NotAuthorised, message)
                .with_fix("run this as that user, or choose a --data-dir of your own"))
        }
        Err(error) => Err(Failure::io(format!("cannot read {}", path.display()), &error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn context(dir: &Path, url: Option<&str>, profile: Option<&str>, environment: Environment) -> Context {
        let global = Global {
            data_dir: Some(dir.to_owned()),
            url: url.map(str::to_owned),
            profile: profile.map(str::to_owned),
            json: false,
            no_color: true,
        };
        Context::new(global, Output::new(false, true, &environment), environment).unwrap()
    }

    fn data_dir() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        let server = r#"{"url":"http://127.0.0.1:7080","pid":1,"region":"eu-west-1","account":"123456789012"}"#;
        std::fs::write(dir.path().join("server.json"), server).unwrap();
        let keys = "[default]\naws_access_key_id = AKIA1\naws_secret_access_key = s1\n";
        std::fs::write(dir.path().join("credentials"), keys).unwrap();
        dir
    }

    #[test]
    fn the_data_directory_is_the_users_own_or_the_systems() {
        let check = |environment, root, expect: &str| {
            assert_eq!(default_data_dir(&environment, root).unwrap(), Path::new(expect));
        };
        check(Environment::from([("HOME", "/h")]), true, "/var/lib/innkeep");
        check(Environment::from([("XDG_DATA_HOME", "/x"), ("HOME", "/h")]), false, "/x/innkeep");
        check(Environment::from([("HOME", "/h")]), false, "/h/.local/share/innkeep");
        assert_eq!(default_data_dir(&Environment::default(), false).unwrap_err().code, Code::Usage);
    }

    #[test]
    fn the_running_server_and_its_key_are_found_in_the_data_directory() {
        let dir = data_dir();
        let aws = Environment::from([("AWS_ACCESS_KEY_ID", "AKIA9"), ("AWS_SECRET_ACCESS_KEY", "s9")]);
        let client = context(dir.path(), None, None, aws).client().unwrap();
        assert_eq!(
            (client.endpoint().url.as_str(), client.endpoint().region.as_str()),
            ("http://127.0.0.1:7080", "eu-west-1")
        );
        assert_eq!(client.credentials().unwrap().access_key_id, "AKIA1");
    }

    #[test]
    fn a_flag_names_the_data_directory_before_the_variable() {
        let environment = Environment::from([("INNKEEP_DATA_DIR", "/d"), ("HOME", "/h")]);
        let out = Output::new(false, true, &environment);
        let global = |data_dir| Global { data_dir, url: None, profile: None, json: false, no_color: true };
        let data_dir = |flag| Context::new(global(flag), out, environment.clone()).unwrap().data_dir;
        assert_eq!(data_dir(None), Path::new("/d"));
        assert_eq!(data_dir(Some(PathBuf::from("/f"))), Path::new("/f"));
    }

    #[test]
    fn another_url_takes_region_and_key_from_the_environment() {
        let dir = tempfile::tempdir().unwrap();
        let aws = Environment::from([
            ("AWS_ACCESS_KEY_ID", "AKIA9"),
            ("AWS_SECRET_ACCESS_KEY", "s9"),
            ("AWS_DEFAULT_REGION", "us-east-1"),
            ("INNKEEP_URL", "http://a:1"),
        ]);
        let client = context(dir.path(), Some("http://b:2"), None, aws.clone()).client().unwrap();
        assert_eq!((client.endpoint().url.as_str(), client.endpoint().region.as_str()), ("http://b:2", "us-east-1"));
        assert_eq!(client.credentials().unwrap().access_key_id, "AKIA9");
        assert_eq!(context(dir.path(), None, None, aws).client().unwrap().endpoint().url, "http://a:1");
    }

    #[test]
    fn what_is_missing_has_its_own_exit_status() {
        let (empty, full) = (tempfile::tempdir().unwrap(), data_dir());
        let code = |dir: &Path, url, profile| {
            context(dir, url, profile, Environment::default()).client().map(drop).unwrap_err().code
        };
        assert_eq!(code(empty.path(), None, None), Code::Unreachable);
        assert_eq!(code(full.path(), None, Some("other")), Code::NotAuthorised);
        assert_eq!(code(full.path(), Some("ftp://a"), None), Code::Usage);
        let ca = full.path().join("no.pem");
        let environment = Environment::from([("AWS_CA_BUNDLE", ca.to_str().unwrap())]);
        let untrusting = context(full.path(), Some("https://a"), None, environment).client().map(drop).unwrap_err();
        assert_eq!((untrusting.code, untrusting.message.contains("no.pem")), (Code::Usage, true));
        let keyless = context(empty.path(), Some("http://a:1"), None, Environment::default()).client().unwrap();
        assert!(keyless.credentials().is_none(), "whether there is a server comes first");
    }
}
