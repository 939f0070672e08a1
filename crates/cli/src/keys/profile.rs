//! Keys as the AWS shared-credentials format has them, and their way into the data directory's `credentials`.

use std::fs;
use std::io::{self, Write};
use std::path::Path;

use innkeep_sdk::Credentials;
use tempfile::NamedTempFile;

use crate::failure::Failure;

/// Reads the name of a profile.
pub(super) fn parse(name: &str) -> Result<String, String> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "_+=,.@-".contains(c);
    match name {
        "default" => Err("that profile is the server's own key".to_owned()),
        name if !name.is_empty() && name.chars().all(is_plain) => Ok(name.to_owned()),
        _ => Err("expected letters, digits and characters of _+=,.@-".to_owned()),
    }
}

/// Returns the section of a key.
pub(super) fn section(name: &str, key: &Credentials, region: &str) -> String {
    let Credentials { access_key_id, secret, session_token } = key;
    let token = session_token.as_ref().map(|token| format!("aws_session_token = {token}\n")).unwrap_or_default();
    format!(
        "[{name}]\naws_access_key_id = {access_key_id}\naws_secret_access_key = {secret}\n{token}region = {region}\n"
    )
}

/// Puts the section `name` into the file `credentials` of the data directory, in place of the one that it had.
pub(super) fn write(data_dir: &Path, name: &str, section: &str) -> Result<(), Failure> {
    let path = data_dir.join("credentials");
    let replace = || -> io::Result<()> {
        let present = match fs::read_to_string(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            present => present?,
        };
        // Made for its owner alone, and whole or not at all.
        let mut file = NamedTempFile::new_in(data_dir)?;
        file.write_all((without(&present, name) + section).as_bytes())?;
        file.as_file().sync_all()?;
        file.persist(&path).map(drop).map_err(|error| error.error)
    };
    replace().map_err(|error| Failure::io(format!("cannot write profile {name} into {}", path.display()), &error))
}

/// Returns `text` without the section `name`, ending with a blank line if there is any.
fn without(text: &str, name: &str) -> String {
    let mut is_it = false;
    let mut kept = String::with_capacity(text.len());
    for line in text.lines() {
        if let Some(section) = line.trim().strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            is_it = section.trim() == name;
        }
        if !is_it {
            kept.push_str(line);
            kept.push('\n');
        }
    }
    let kept = kept.trim_end();
    if kept.is_empty() { String::new() } else { format!("{kept}\n\n") }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::credentials;

    #[test]
    fn a_profile_is_added_beside_others_and_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("credentials");
        let key = |id: &str, token: Option<&str>| Credentials {
            access_key_id: id.to_owned(),
            secret: "s".to_owned(),
            session_token: token.map(str::to_owned),
        };
        for (name, id, token) in [("default", "AKIA1", None), ("ci", "AKIA2", None), ("ci", "ASIA3", Some("t"))] {
            write(dir.path(), name, &section(name, &key(id, token), "us-west-2")).unwrap();
            let found = credentials::parse(&fs::read_to_string(&path).unwrap(), name).unwrap();
            assert_eq!((found.access_key_id.as_str(), found.session_token.as_deref()), (id, token));
        }
        let text = fs::read_to_string(&path).unwrap();
        assert!(credentials::parse(&text, "default").is_some() && !text.contains("AKIA2"), "{text}");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_profile_has_a_plain_name_and_is_not_the_servers() {
        assert!(parse("ci-2").is_ok());
        for bad in ["", "default", "a b", "a]\n[b", "\u{e4}"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
