//! Where an issuer describes itself, as a runtime names it. Whether that place may be asked is another's business.

use http::Uri;
use innkeep_types::limits;

/// Says what to do about a URL that nobody can be asked under.
pub(super) fn check(url: &str) -> Result<(), &'static str> {
    if url.len() > limits::MAX_DISCOVERY_URL_BYTES {
        return Err("a discovery URL has at most 2048 bytes");
    }
    let parsed: Uri =
        url.parse().map_err(|_| "not a URL: it begins with https://, and other characters than ASCII are encoded")?;
    if !matches!(parsed.scheme_str(), Some("http" | "https")) {
        return Err("the issuer is asked over HTTP: use an https URL");
    }
    let authority = parsed.authority().ok_or("the URL names no host")?;
    if authority.as_str().contains('@') {
        return Err("the URL holds a user name or password, which would be shown: omit it");
    }
    let host = authority.host();
    if host.is_empty() {
        return Err("the URL names no host");
    }
    let has_port = authority.as_str() != host;
    if has_port && authority.port_u16().is_none_or(|port| port == 0) {
        return Err("the URL's port is not a number from 1 to 65535");
    }
    match is_well_known(parsed.path()) && parsed.query().is_none() && !url.contains('#') {
        true => Ok(()),
        false => {
            Err("the URL is that of a /.well-known/openid-configuration or /.well-known/oauth-authorization-server")
        }
    }
}

/// Source: service model, the pattern of `discoveryUrl`; RFC 8414 section 3.1 puts the issuer's path at the end.
fn is_well_known(path: &str) -> bool {
    path.match_indices("/.well-known/").any(|(at, prefix)| {
        let name = &path[at + prefix.len()..];
        let after =
            name.strip_prefix("openid-configuration").or_else(|| name.strip_prefix("oauth-authorization-server"));
        after.is_some_and(|after| after.is_empty() || (after.starts_with('/') && after.len() > 1))
    })
}
