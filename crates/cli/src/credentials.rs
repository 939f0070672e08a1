//! Keys in the AWS shared-credentials format: `[profile]` sections of `name = value` lines.

use innkeep_sdk::Credentials;

/// Returns the key of `profile` in the text of a credentials file; `None` if there is no whole one.
pub(crate) fn parse(text: &str, profile: &str) -> Option<Credentials> {
    let mut here = false;
    let (mut id, mut secret, mut token) = (None, None, None);
    for line in text.lines().map(str::trim) {
        if line.starts_with(['#', ';']) {
            continue;
        }
        if let Some(section) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            here = section.trim() == profile;
        } else if here && let Some((name, value)) = line.split_once('=') {
            let value = Some(value.trim().to_owned()).filter(|value| !value.is_empty());
            match name.trim() {
                "aws_access_key_id" => id = value,
                "aws_secret_access_key" => secret = value,
                "aws_session_token" => token = value,
                _ => {}
            }
        }
    }
    Some(Credentials { access_key_id: id?, secret: secret?, session_token: token })
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "# made by innkeep\n[default]\naws_access_key_id = AKIA1\naws_secret_access_key=a/b=c\n\n\
        [ other ]\naws_access_key_id=AKIA2\naws_secret_access_key = s2\naws_session_token = t\nregion = x\n[broken]\naws_access_key_id = AKIA3\n";

    #[test]
    fn profiles_are_kept_apart() {
        let default = parse(FILE, "default").unwrap();
        assert_eq!((default.access_key_id.as_str(), default.secret.as_str()), ("AKIA1", "a/b=c"));
        assert_eq!(default.session_token, None);
        let other = parse(FILE, "other").unwrap();
        assert_eq!((other.access_key_id.as_str(), other.session_token.as_deref()), ("AKIA2", Some("t")));
    }

    #[test]
    fn half_a_key_is_none() {
        assert!(parse(FILE, "broken").is_none());
        assert!(parse(FILE, "absent").is_none());
        assert!(parse("", "default").is_none());
    }
}
