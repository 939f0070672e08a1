//! Maps of text: `environmentVariables` and `tags`.

use std::collections::BTreeMap;

use innkeep_types::limits;

use crate::validate::Violations;

type TextMap = BTreeMap<String, String>;

/// Returns the variables. Values are not repeated in what is found: they may be secrets.
pub(super) fn environment(variables: Option<&TextMap>, found: &mut Violations) -> TextMap {
    let at = "environmentVariables";
    let Some(variables) = variables else { return TextMap::new() };
    found.count(at, variables.len(), 0..=limits::MAX_ENVIRONMENT_ENTRIES);
    for (key, value) in variables {
        let at = format!("{at}.{key}");
        found.length(&at, key, 1..=100);
        found.length(&at, value, 0..=5000);
        if key.contains(['=', '\0']) || value.contains('\0') {
            found.say::<()>(&at, "an environment variable cannot have `=` in its name, or a NUL in name or value");
        }
    }
    let n_bytes: usize = variables.iter().map(|(key, value)| key.len() + value.len()).sum();
    if n_bytes > limits::MAX_ENVIRONMENT_BYTES {
        let max = limits::MAX_ENVIRONMENT_BYTES;
        found.say::<()>(at, format!("environmentVariables must not exceed {max} bytes in total, and have {n_bytes}"));
    }
    variables.clone()
}

/// Returns the tags.
pub(crate) fn tags(tags: Option<&TextMap>, found: &mut Violations) -> TextMap {
    let Some(tags) = tags else { return TextMap::new() };
    found.count("tags", tags.len(), 0..=50);
    for (key, value) in tags {
        let at = format!("tags.{key}");
        found.length(&at, key, 1..=128);
        found.length(&at, value, 0..=256);
        found.pattern(&at, is_tag(key) && is_tag(value), "[a-zA-Z0-9\\s._:/=+@-]*");
    }
    tags.clone()
}

fn is_tag(text: &str) -> bool {
    text.chars().all(|c| c.is_ascii_alphanumeric() || c.is_whitespace() || "._:/=+@-".contains(c))
}
