//! The dev issuer of a server that was asked for one: its two documents over HTTP, for clients, and its keys for the gateway, which
//! asks nobody. Tokens are made by commands, from the key in the data directory; there is no route that makes one.

use http::request::Parts;
use http::{Method, Response};
use innkeep_auth::dev_issuer::{DISCOVERY, KEYS, PATH};
use innkeep_auth::jwt::KeySet;
use innkeep_gateway::{Issuers, OwnIssuer};
use serde_json::Value;
use tracing::warn;

use crate::Error;
use crate::data_dir::{DEV_ISSUER, DataDir};
use crate::respond::{self, Body};

/// What is told of it. Nothing of that is secret.
#[derive(Debug, Clone)]
pub(crate) struct DevIssuer {
    pub(crate) issuer: String,
    discovery_url: String,
    discovery: Value,
    key_set: Value,
}

impl DevIssuer {
    /// Returns the one of the server at `url`, and says in the log that there is one.
    pub(crate) fn open(data_dir: &DataDir, url: &str) -> Result<Self, Error> {
        let issuer = data_dir.dev_issuer(url)?;
        let (name, path) = (issuer.issuer(), data_dir.path().join(DEV_ISSUER));
        let path = path.display();
        warn!(issuer.name = %name, "FOR DEVELOPMENT: the dev issuer {name} is on; whoever can read {path} can be anybody to runtimes that take its tokens");
        Ok(Self {
            issuer: name.to_owned(),
            discovery_url: issuer.discovery_url(),
            discovery: issuer.discovery(),
            key_set: issuer.key_set(),
        })
    }

    /// Lets runtimes that name it take its tokens.
    pub(crate) fn known_to(&self, issuers: Issuers) -> Issuers {
        // What cannot be read verifies nothing, and so lets nobody in.
        let keys = KeySet::parse(self.key_set.to_string().as_bytes()).unwrap_or_default();
        let (discovery_url, issuer) = (self.discovery_url.clone(), self.issuer.clone());
        issuers.with_own(OwnIssuer { discovery_url, issuer, keys })
    }

    /// Answers a request for one of its documents; none: it is for nothing of the kind. Open to everybody: they hold a name and a public key.
    pub(crate) fn answer(&self, parts: &Parts) -> Option<Response<Body>> {
        let document = match parts.uri.path().strip_prefix(PATH)? {
            DISCOVERY => &self.discovery,
            KEYS => &self.key_set,
            _ => return None,
        };
        (parts.method == Method::GET).then(|| respond::json(200, document))
    }
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    #[test]
    fn two_documents_are_answered_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let data = DataDir::lock(dir.path()).unwrap();
        let issuer = DevIssuer::open(&data, "http://127.0.0.1:7080").unwrap();
        let check = |method: &str, path: &str, expect: bool| {
            let request = Request::builder().method(method).uri(path).body(()).unwrap();
            let answer = issuer.answer(&request.into_parts().0);
            assert_eq!(answer.map(|answer| answer.status().as_u16()), expect.then_some(200), "{method} {path}");
        };
        check("GET", "/innkeep/dev-issuer/.well-known/openid-configuration", true);
        check("GET", "/innkeep/dev-issuer/.well-known/openid-configuration?x=y", true);
        check("GET", "/innkeep/dev-issuer/jwks.json", true);
        check("POST", "/innkeep/dev-issuer/jwks.json", false);
        check("GET", "/innkeep/dev-issuer", false);
        check("GET", "/innkeep/dev-issuer/", false);
        check("GET", "/innkeep/dev-issuer/token", false);
        check("GET", "/innkeep/dev-issuer/../../dev-issuer.json", false);
        check("GET", "/innkeep/dev-issuerx/jwks.json", false);
    }
}
