//! What may be asked for of a key.

use std::time::Duration;

use innkeep_auth::policy::{self, Kind, Policy};
use innkeep_types::limits::{
    MAX_KEY_DESCRIPTION_CHARS, MAX_KEY_LIFETIME, MAX_KEY_POLICIES, MAX_PRINCIPAL_NAME_CHARS, MAX_SESSION_POLICY_CHARS,
};

use super::Error;
use super::held::is_document;

/// Checks a principal's or a session's name. Source: IAM API reference, `UserName`.
pub(super) fn name(member: &str, name: &str) -> Result<(), Error> {
    let is_known = |c: char| c.is_ascii_alphanumeric() || "_+=,.@-".contains(c);
    if (1..=MAX_PRINCIPAL_NAME_CHARS).contains(&name.len()) && name.chars().all(is_known) {
        return Ok(());
    }
    let rule = format!("{member} must be 1 to {MAX_PRINCIPAL_NAME_CHARS} letters, digits and characters of _+=,.@-");
    Err(Error::Invalid(rule))
}

/// Checks a key's policies.
pub(super) fn policies(policies: &[String]) -> Result<(), Error> {
    if policies.len() > MAX_KEY_POLICIES {
        return Err(Error::Invalid(format!("policies: a key may have {MAX_KEY_POLICIES} at most")));
    }
    policies.iter().enumerate().try_for_each(|(n, text)| policy(&format!("policies[{n}]"), text))
}

/// Checks a temporary key's policy, which is a ready-made one or a document too.
pub(super) fn session_policy(text: &str) -> Result<(), Error> {
    if text.chars().count() > MAX_SESSION_POLICY_CHARS {
        return Err(Error::Invalid(format!("sessionPolicy may have {MAX_SESSION_POLICY_CHARS} characters at most")));
    }
    policy("sessionPolicy", text)
}

/// Checks what a key is said to be for.
pub(super) fn description(text: &str) -> Result<(), Error> {
    if text.chars().count() <= MAX_KEY_DESCRIPTION_CHARS && !text.chars().any(char::is_control) {
        return Ok(());
    }
    let rule = format!("description may have {MAX_KEY_DESCRIPTION_CHARS} characters at most, and no line break");
    Err(Error::Invalid(rule))
}

/// Returns a key's remaining life.
pub(super) fn lifetime(secs: u64) -> Result<Duration, Error> {
    duration("expiresInSecs", secs, 1, MAX_KEY_LIFETIME)
}

/// Returns the duration that `member` asks for.
pub(super) fn duration(member: &str, secs: u64, least: u64, most: Duration) -> Result<Duration, Error> {
    let most = most.as_secs();
    if (least..=most).contains(&secs) {
        return Ok(Duration::from_secs(secs));
    }
    Err(Error::Invalid(format!("{member} must be a number of seconds from {least} to {most}")))
}

fn policy(member: &str, text: &str) -> Result<(), Error> {
    if is_document(text) {
        let parsed = Policy::parse(text, Kind::Identity).map(drop);
        return parsed.map_err(|error| Error::Invalid(format!("{member}: {error}")));
    }
    if policy::ready(text).is_some() {
        return Ok(());
    }
    let names = policy::READY.map(|(name, _)| name).join(", ");
    Err(Error::Invalid(format!("{member} must be a policy document in JSON, or one of {names}")))
}
