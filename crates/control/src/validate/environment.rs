//! `environmentVariables`: what a process can have, and how much of it.

use std::collections::BTreeMap;

use innkeep_types::{Artifact, VersionConfig, limits};

use crate::validate::Violations;

/// Checks what the table cannot say. Values are not repeated in what is found: they may be secrets.
pub(super) fn check(
    variables: &BTreeMap<String, String>,
    artifact: Option<&Artifact>,
    platform: &str,
    found: &mut Violations,
) {
    let at = "environmentVariables";
    for (key, value) in variables {
        if key.contains(['=', '\0']) || value.contains('\0') {
            let sentence = "an environment variable cannot have `=` in its name, or a NUL in name or value";
            found.say::<()>(&format!("{at}.{key}"), sentence);
        }
    }
    let Some(artifact) = artifact else { return };
    let max = max_bytes(artifact, platform);
    let n_bytes: usize = variables.iter().map(|(key, value)| key.len() + value.len()).sum();
    if n_bytes > max {
        found.say::<()>(
            at,
            format_args!("environmentVariables must not exceed {max} bytes in total, and have {n_bytes}"),
        );
    }
}

fn max_bytes(artifact: &Artifact, platform: &str) -> usize {
    match artifact {
        _ if platform == VersionConfig::DEFAULT_PLATFORM => limits::MAX_ENVIRONMENT_BYTES,
        Artifact::Container { .. } => limits::MAX_V2_CONTAINER_ENVIRONMENT_BYTES,
        Artifact::Code { .. } => limits::MAX_V2_CODE_ENVIRONMENT_BYTES,
    }
}
