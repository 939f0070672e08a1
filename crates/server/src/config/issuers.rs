//! Settings about the issuers of tokens, `jwt_…`, and what callers are told of where this server is.

use innkeep_fetch::Roots;
use innkeep_gateway::{CertificateReader, IssuersConfig};
use serde::{Deserialize, Deserializer, de};

use super::{Config, Error};

impl Config {
    /// Returns the certificates of the file of CA certificates.
    pub(crate) fn roots(&self) -> Result<Roots, Error> {
        let Some(path) = &self.jwt_ca_file else { return Ok(Roots::default()) };
        let pem = std::fs::read(path).map_err(|source| Error::Read { path: path.clone(), source })?;
        Roots::from_pem(&pem).map_err(|source| Error::CaFile { path: path.clone(), source })
    }

    /// Returns how issuers are asked.
    pub(crate) fn issuers(&self, roots: Roots, certificates: CertificateReader) -> IssuersConfig {
        let (private, plain_http) = (self.jwt_private_issuers.clone(), self.jwt_plain_http_issuers);
        IssuersConfig { private, plain_http, roots, certificates }
    }
}

/// Ranges of addresses, as a list, or as a text with commas between them, as variables have it.
pub(super) mod ranges {
    use innkeep_fetch::IpRange;
    use serde::{Deserializer, Serialize, Serializer, de};

    use crate::config::values;

    pub(in crate::config) fn serialize<S: Serializer>(ranges: &[IpRange], serializer: S) -> Result<S::Ok, S::Error> {
        ranges.iter().map(ToString::to_string).collect::<Vec<_>>().serialize(serializer)
    }

    pub(in crate::config) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<IpRange>, D::Error> {
        let parse = |text: &String| text.parse().map_err(|e| de::Error::custom(format!("jwt_private_issuers: {e}")));
        values::list(deserializer)?.iter().map(parse).collect()
    }
}

/// Reads a URL that others can be made of: scheme, host, maybe the beginning of a path.
pub(super) fn base_url<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    let text = String::deserialize(deserializer)?;
    let is_base = |uri: &http::Uri| {
        let scheme = matches!(uri.scheme_str(), Some("http" | "https"));
        let host = uri.authority().is_some_and(|authority| !authority.as_str().contains('@'));
        scheme && host && uri.query().is_none() && !text.contains(['#', '"', '\\'])
    };
    match text.parse().is_ok_and(|uri| is_base(&uri)) {
        true => Ok(Some(text.trim_end_matches('/').to_owned())),
        false => Err(de::Error::custom(format!(
            "public_url is {text:?}, but must be an http or https URL without user, query and fragment, such as \
             https://agents.example.com"
        ))),
    }
}
