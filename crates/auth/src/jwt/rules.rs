//! What a runtime demands of a token beyond a good signature: its `customJWTAuthorizer`, understood completely or not at all.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value};

use super::certificate::WrittenPlace;
use super::matcher::{Matcher, WrittenClaim, strings};
use super::{Broken, Certificate, Error, discovery_url};

/// What a runtime demands of a token. At least one of audiences, clients, scopes and claims is named, and all that are must hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rules {
    discovery_url: String,
    audiences: Option<Vec<String>>,
    clients: Option<Vec<String>>,
    scopes: Option<Vec<String>>,
    advertised: BTreeMap<String, String>,
    claims: Vec<(String, Matcher)>,
    certificate: Option<Certificate>,
}

/// `customJWTAuthorizer` as it is written. Source: service model, `CustomJWTAuthorizerConfiguration`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Written {
    discovery_url: String,
    allowed_audience: Option<Vec<String>>,
    allowed_clients: Option<Vec<String>>,
    allowed_scopes: Option<Vec<String>>,
    advertised_scope_mapping: Option<BTreeMap<String, String>>,
    custom_claims: Option<Vec<WrittenClaim>>,
    certificate_configurations: Option<Vec<WrittenPlace>>,
    allowed_workload_configuration: Option<Value>,
    // Ways through a cloud's network. There is none here: issuers are reached from the host, as far as its settings let them.
    #[serde(rename = "privateEndpoint")]
    _private_endpoint: Option<Value>,
    #[serde(rename = "privateEndpointOverrides")]
    _private_endpoint_overrides: Option<Value>,
}

impl Rules {
    /// Understands the object under `authorizerConfiguration.customJWTAuthorizer`.
    ///
    /// # Errors
    ///
    /// [`Error::Configuration`] with everything that is wrong: a member that is not known, that contradicts another, or that would let
    /// in more callers than it says if it were left out.
    pub fn from_configuration(custom_jwt_authorizer: &Value) -> Result<Self, Error> {
        let written = Written::deserialize(custom_jwt_authorizer)
            .map_err(|error| Error::Configuration(vec![broken("", error.to_string())]))?;
        let mut found = Vec::new();
        written.check(&mut found);
        let certificate = certificate(written.certificate_configurations.unwrap_or_default(), &mut found);
        let claims = claims(written.custom_claims.unwrap_or_default(), &mut found);
        if !found.is_empty() {
            return Err(Error::Configuration(found));
        }
        Ok(Self {
            discovery_url: written.discovery_url,
            audiences: written.allowed_audience,
            clients: written.allowed_clients,
            scopes: written.allowed_scopes,
            advertised: written.advertised_scope_mapping.unwrap_or_default(),
            claims,
            certificate,
        })
    }

    /// Returns where the issuer describes itself: an `http` or `https` URL of at most [`MAX_DISCOVERY_URL_BYTES`](innkeep_types::limits::MAX_DISCOVERY_URL_BYTES), with a host,
    /// without user, query and fragment.
    pub fn discovery_url(&self) -> &str {
        &self.discovery_url
    }

    /// Returns the scopes that clients are told to ask for: the allowed ones by their advertised names, each once.
    pub fn advertised_scopes(&self) -> Vec<&str> {
        let mut scopes = Vec::new();
        for scope in self.scopes.iter().flatten() {
            let name = self.advertised.get(scope).unwrap_or(scope).as_str();
            if !scopes.contains(&name) {
                scopes.push(name);
            }
        }
        scopes
    }

    /// Returns where the certificate of the issuer's CA lies, if it is a private one.
    pub fn certificate(&self) -> Option<&Certificate> {
        self.certificate.as_ref()
    }

    /// Refuses claims that are not as demanded.
    pub(super) fn check(&self, claims: &Map<String, Value>) -> Result<(), Error> {
        let holds = |name: &str, is_demanded: &dyn Fn(&Value) -> bool| match claims.get(name).is_some_and(is_demanded) {
            true => Ok(()),
            false => Err(Error::Mismatch(name.to_owned())),
        };
        if let Some(allowed) = &self.audiences {
            holds("aud", &|claim| one_or_many(claim).iter().any(|audience| is_listed(allowed, audience)))?;
        }
        if let Some(allowed) = &self.clients {
            holds("client_id", &|claim| claim.as_str().is_some_and(|client| is_listed(allowed, client)))?;
        }
        if let Some(allowed) = &self.scopes {
            holds("scope", &|claim| {
                claim.as_str().is_some_and(|all| all.split(' ').any(|scope| is_listed(allowed, scope)))
            })?;
        }
        self.claims.iter().try_for_each(|(name, matcher)| holds(name, &|claim| matcher.accepts(claim)))
    }
}

impl Written {
    fn check(&self, found: &mut Vec<Broken>) {
        if let Err(sentence) = discovery_url::check(&self.discovery_url) {
            found.push(broken("discoveryUrl", sentence));
        }
        let lists = [
            ("allowedAudience", &self.allowed_audience),
            ("allowedClients", &self.allowed_clients),
            ("allowedScopes", &self.allowed_scopes),
        ];
        for (name, list) in lists {
            if list.as_ref().is_some_and(|list| list.iter().all(String::is_empty)) {
                found.push(broken(name, "names nothing: no token could be accepted"));
            }
        }
        let n_claims = self.custom_claims.as_ref().map_or(0, Vec::len);
        if lists.iter().all(|(_, list)| list.is_none()) && n_claims == 0 {
            let sentence = "customJWTAuthorizer needs at least one of allowedAudience, allowedClients, allowedScopes, \
                            customClaims: else it would accept any token";
            found.push(broken("", sentence));
        }
        if self.certificate_configurations.as_ref().is_some_and(|given| given.len() != 1) {
            found.push(broken("certificateConfigurations", "one certificate is trusted, not several"));
        }
        if self.allowed_workload_configuration.is_some() {
            let sentence = "a runtime cannot tell workloads apart, and would let all of them in: omit \
                            allowedWorkloadConfiguration, which is for gateways";
            found.push(broken("allowedWorkloadConfiguration", sentence));
        }
    }
}

fn certificate(mut written: Vec<WrittenPlace>, found: &mut Vec<Broken>) -> Option<Certificate> {
    match written.pop()? {
        WrittenPlace::S3(certificate) => Some(certificate),
        WrittenPlace::SecretsManager(_) => {
            let sentence = "there is no secrets manager here, so that nobody could be let in: put the certificate into the object store \
                            of the server's [s3] and name it with s3, or have its operator name it in jwt_ca_file";
            found.push(broken("certificateConfigurations[0].secretsManager", sentence));
            None
        }
    }
}

fn claims(written: Vec<WrittenClaim>, found: &mut Vec<Broken>) -> Vec<(String, Matcher)> {
    let mut claims = Vec::with_capacity(written.len());
    for (idx, mut claim) in written.into_iter().enumerate() {
        let name = std::mem::take(&mut claim.inbound_token_claim_name);
        match claim.into_matcher() {
            Ok(matcher) => claims.push((name, matcher)),
            Err((at, sentence)) => found.push(broken(&format!("customClaims[{idx}].{at}"), sentence)),
        }
    }
    claims
}

fn broken(at: &str, sentence: impl Into<String>) -> Broken {
    Broken { at: at.to_owned(), sentence: sentence.into() }
}

fn is_listed(allowed: &[String], value: &str) -> bool {
    !value.is_empty() && allowed.iter().any(|one| one == value)
}

/// `aud` is a string, or an array of strings (RFC 7519 section 4.1.3).
fn one_or_many(claim: &Value) -> Vec<&str> {
    claim.as_str().map(|one| vec![one]).or_else(|| strings(claim)).unwrap_or_default()
}
