//! Holding a token against keys, time and rules, in this order: who has no good signature learns nothing about the rules.

use std::time::Duration;

use innkeep_types::{UnixMillis, limits};
use serde_json::{Map, Value};

use super::{Error, KeySet, Rules, Token};

/// The end of the year 9999, seconds since the epoch: a time beyond it is a mistake.
const END_OF_TIME: Duration = Duration::from_secs(253_402_300_799);

/// Whom a verified token speaks for. `discovery_url`, `issuer` and `subject` together are a user; none is one alone: whoever runs an
/// issuer of his own may call it, and its users, as he likes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// Where its issuer was asked who it is.
    pub discovery_url: String,
    /// `iss`.
    pub issuer: String,
    /// `sub`, never empty. Tokens of programs may have none.
    pub subject: Option<String>,
    /// `client_id`, never empty.
    pub client: Option<String>,
}

impl Identity {
    /// Returns where its issuer is asked, for people: the discovery URL without what all of them have in common.
    pub fn asked_at(&self) -> &str {
        let url = &self.discovery_url;
        url.strip_suffix("/.well-known/openid-configuration").unwrap_or(url)
    }
}

/// Returns whom `token` speaks for, if it is signed with one of `keys`, issued by `issuer` (compared exactly), valid at `now`
/// within [`limits::TOKEN_LEEWAY`], and as `rules` demand.
///
/// # Errors
///
/// The first of these that does not hold, in this order.
pub fn verify(token: &Token, keys: &KeySet, issuer: &str, rules: &Rules, now: UnixMillis) -> Result<Identity, Error> {
    keys.check(token)?;
    let claims = token.claims();
    if string(claims, "iss")? != Some(issuer) {
        return Err(Error::Mismatch("iss".to_owned()));
    }
    check_times(claims, now)?;
    rules.check(claims)?;
    Ok(Identity {
        discovery_url: rules.discovery_url().to_owned(),
        issuer: issuer.to_owned(),
        subject: string(claims, "sub")?.map(str::to_owned),
        client: string(claims, "client_id")?.map(str::to_owned),
    })
}

/// Source: RFC 7519 sections 4.1.4 to 4.1.6. A token without an end is refused.
fn check_times(claims: &Map<String, Value>, now: UnixMillis) -> Result<(), Error> {
    let expires = time(claims, "exp")?.ok_or(Error::Missing("exp"))?;
    if now >= expires.plus(limits::TOKEN_LEEWAY) {
        return Err(Error::Expired);
    }
    for name in ["nbf", "iat"] {
        if time(claims, name)?.is_some_and(|begins| begins > now.plus(limits::TOKEN_LEEWAY)) {
            return Err(Error::NotYetValid);
        }
    }
    Ok(())
}

/// Returns a claim that is a time: seconds since the epoch, maybe with a fraction.
fn time(claims: &Map<String, Value>, name: &'static str) -> Result<Option<UnixMillis>, Error> {
    let Some(claim) = claims.get(name) else { return Ok(None) };
    let since_epoch = claim.as_f64().and_then(|secs| Duration::try_from_secs_f64(secs).ok());
    match since_epoch.filter(|since_epoch| *since_epoch <= END_OF_TIME) {
        Some(since_epoch) => Ok(Some(UnixMillis(0).plus(since_epoch))),
        None => Err(Error::Malformed(name)),
    }
}

/// Returns a claim that is a string with something in it.
fn string<'a>(claims: &'a Map<String, Value>, name: &'static str) -> Result<Option<&'a str>, Error> {
    match claims.get(name) {
        None => Ok(None),
        Some(Value::String(text)) if !text.is_empty() => Ok(Some(text)),
        Some(_) => Err(Error::Malformed(name)),
    }
}
