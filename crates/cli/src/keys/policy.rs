//! `--policy NAME|FILE|JSON`.

use std::fs;
use std::io::Read;

use innkeep_types::limits::MAX_POLICY_BYTES;

/// A policy as the operator API takes it: a ready-made one's name, or a document's text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Policy(String);

/// Reads what was given. Whether a document is a policy, the server says.
pub(super) fn parse(given: &str) -> Result<Policy, String> {
    let is_ready = innkeep_auth::policy::ready(given).is_some();
    if is_ready || is_json(given) {
        return Ok(Policy(given.to_owned()));
    }
    let names = innkeep_auth::policy::READY.map(|(name, _)| name).join(", ");
    let expected = |what: String| format!("{what}; expected one of {names}, a file, or a document that begins with {{");
    let file = fs::File::open(given).map_err(|e| expected(format!("there is no such policy or file ({e})")))?;
    let mut text = String::new();
    let limit = u64::try_from(MAX_POLICY_BYTES).unwrap_or(u64::MAX);
    let read = file.take(limit + 1).read_to_string(&mut text);
    read.map_err(|e| expected(format!("the file cannot be read ({e})")))?;
    if text.len() > MAX_POLICY_BYTES {
        return Err(format!("the file has more than {MAX_POLICY_BYTES} bytes"));
    }
    if is_json(&text) { Ok(Policy(text)) } else { Err(expected("the file holds no JSON object".to_owned())) }
}

/// Tells a document from a name.
pub(super) fn is_json(text: &str) -> bool {
    text.trim_start().starts_with('{')
}

pub(super) fn texts(policies: Vec<Policy>) -> Vec<String> {
    policies.into_iter().map(text).collect()
}

pub(super) fn text(policy: Policy) -> String {
    policy.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_is_a_name_a_file_or_a_document() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
        let document = "\n {\"Statement\": []}";
        fs::write(path("good"), document).unwrap();
        fs::write(path("bad"), "admin").unwrap();
        fs::write(path("huge"), format!("{{{}", " ".repeat(MAX_POLICY_BYTES))).unwrap();
        for (given, text) in [("read-only", "read-only"), (document, document), (&path("good"), document)] {
            assert_eq!(parse(given), Ok(Policy(text.to_owned())));
        }
        for bad in ["", "nobody", &path("bad"), &path("huge"), &path("absent"), dir.path().to_str().unwrap()] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
