//! The file `credentials` in the data directory: the server's own key as profile `default`, in the format that every AWS tool
//! reads, beside whatever profiles people add.

use std::fs;
use std::path::PathBuf;

use crate::data_dir::{self, write_private};

const FILE: &str = "credentials";

/// Where it is, and the region that it names.
#[derive(Debug, Clone)]
pub(crate) struct CredentialsFile {
    pub(crate) directory: PathBuf,
    pub(crate) region: String,
}

impl CredentialsFile {
    /// Makes this key the profile `default`, unless it is; other profiles stay.
    pub(crate) fn set_default(&self, key_id: &str, secret: &str) -> Result<(), data_dir::Error> {
        let section = format!(
            "[default]\naws_access_key_id = {key_id}\naws_secret_access_key = {secret}\nregion = {}\n",
            self.region
        );
        let present = fs::read_to_string(self.directory.join(FILE)).unwrap_or_default();
        if present.contains(&section) {
            return Ok(());
        }
        write_private(&self.directory, FILE, (section + &without_default(&present)).as_bytes())
    }
}

/// Returns all but the section `default`.
fn without_default(text: &str) -> String {
    let mut is_default = false;
    let mut kept = String::with_capacity(text.len());
    for line in text.lines() {
        let heading = line.trim();
        if let Some(name) = heading.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            is_default = name.trim() == "default";
        }
        if !is_default {
            kept.push_str(line);
            kept.push('\n');
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn another_key_takes_the_place_of_the_one_before_and_profiles_stay() {
        let dir = tempfile::tempdir().unwrap();
        let file = CredentialsFile { directory: dir.path().to_owned(), region: "us-west-2".to_owned() };
        let path = dir.path().join(FILE);
        file.set_default("AKIAEXAMPLE", "secret").unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let first = fs::read_to_string(&path).unwrap();
        assert!(first.contains("aws_secret_access_key = secret\n"), "{first}");

        let work = "# of mine\n[work]\naws_access_key_id = AKIAOTHER\n";
        fs::write(&path, first.clone() + work).unwrap();
        file.set_default("AKIAEXAMPLE", "secret").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), first.clone() + work, "nothing is to be written");

        fs::write(&path, format!("[a]\nx = 1\n{first}{work}")).unwrap();
        file.set_default("AKIANEXT", "other").unwrap();
        let next = first.replace("AKIAEXAMPLE", "AKIANEXT").replace("= secret", "= other");
        assert_eq!(
            fs::read_to_string(&path).unwrap(),
            format!("{next}[a]\nx = 1\n[work]\naws_access_key_id = AKIAOTHER\n"),
            "a comment goes with the section that it is in"
        );
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }
}
