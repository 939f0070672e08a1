//! Which crate may depend on which: the direction that ARCHITECTURE.md draws, and the allow-lists of the small crates.
//!
//! Dev-dependencies are free: tests look at a crate from outside.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde::Deserialize;

use super::Report;

/// A crate and the workspace crates that it may depend on. A new crate needs a line here, and a place in ARCHITECTURE.md.
const LAYERS: &[(&str, &[&str])] = &[
    ("types", &[]),
    ("protocol", &["types"]),
    ("auth", &["types", "protocol"]),
    ("fetch", &[]),
    ("store", &["types"]),
    ("artifacts", &["types", "fetch"]),
    ("sandbox", &["types", "protocol", "store", "artifacts"]),
    ("control", &["types", "protocol", "auth", "store", "artifacts", "sandbox"]),
    ("gateway", &["types", "protocol", "auth", "fetch", "store", "sandbox"]),
    ("server", &["types", "protocol", "auth", "fetch", "store", "artifacts", "sandbox", "control", "gateway"]),
    ("sidecar", &["types", "protocol"]),
    ("sdk", &["types", "protocol", "auth"]),
    ("cli", &["types", "protocol", "auth", "server", "sdk"]),
    ("testkit", &["types", "protocol", "auth", "store", "artifacts", "sandbox", "control", "gateway"]),
];

/// The crates that others build on or that every sandbox carries, and all the foreign crates that they may use.
const ALLOWED: &[(&str, &[&str])] = &[
    ("types", &["getrandom", "jiff", "serde", "serde_json", "thiserror", "uuid"]),
    ("protocol", &["crc32fast", "http", "serde", "serde_json", "thiserror"]),
    (
        "sidecar",
        &[
            "bytes",
            "http-body-util",
            "hyper",
            "hyper-util",
            "landlock",
            "libc",
            "rustix",
            "serde",
            "serde_json",
            "thiserror",
            "tokio",
        ],
    ),
    (
        "sdk",
        &[
            "base64",
            "bytes",
            "getrandom",
            "http",
            "http-body-util",
            "hyper",
            "hyper-util",
            "percent-encoding",
            "rustls",
            "rustls-native-certs",
            "serde",
            "serde_json",
            "thiserror",
            "tokio",
            "tokio-rustls",
        ],
    ),
];

#[derive(Deserialize)]
struct Manifest {
    package: Package,
    #[serde(default)]
    dependencies: BTreeMap<String, toml::Value>,
    #[serde(default, rename = "build-dependencies")]
    build_dependencies: BTreeMap<String, toml::Value>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
}

/// Checks the manifest of every crate under `crates/`.
///
/// # Errors
/// When a manifest cannot be read.
pub(super) fn check(root: &Path, report: &mut Report) -> Result<()> {
    let crates = root.join("crates");
    let entries = fs::read_dir(&crates).with_context(|| format!("could not list {}", crates.display()))?;
    for entry in entries {
        let entry = entry?;
        let path = entry.path().join("Cargo.toml");
        if !path.is_file() {
            continue;
        }
        let text = fs::read_to_string(&path).with_context(|| format!("could not read {}", path.display()))?;
        let manifest = toml::from_str(&text).with_context(|| format!("could not parse {}", path.display()))?;
        check_manifest(&entry.file_name().to_string_lossy(), &manifest, report);
    }
    Ok(())
}

fn check_manifest(folder: &str, manifest: &Manifest, report: &mut Report) {
    let place = format!("crates/{folder}/Cargo.toml");
    let package = if folder == "cli" { "innkeep".to_owned() } else { format!("innkeep-{folder}") };
    if manifest.package.name != package {
        report.error(&place, format_args!("the package in folder {folder} is called {package}"));
    }
    let Some(below) = find(LAYERS, folder) else {
        report.error(&place, "this crate has no place in the layers; give it one in xtask/src/tidy/layers.rs");
        return;
    };
    for (name, value) in manifest.dependencies.iter().chain(&manifest.build_dependencies) {
        if value.get("workspace").and_then(toml::Value::as_bool) != Some(true) {
            report
                .error(&place, format_args!("declare {name} in the workspace table and say `{name}.workspace = true`"));
        }
        match name.strip_prefix("innkeep-") {
            Some(other) if !below.contains(&other) => {
                report.error(&place, format_args!("{folder} may not depend on {other}: the direction is {below:?}"));
            }
            None if find(ALLOWED, folder).is_some_and(|allowed| !allowed.contains(&name.as_str())) => {
                report.error(&place, format_args!("{name} is not in the allow-list of {folder}"));
            }
            _ => {}
        }
    }
}

fn find<'a>(table: &[(&str, &'a [&'a str])], folder: &str) -> Option<&'a [&'a str]> {
    table.iter().find(|(name, _)| *name == folder).map(|(_, list)| *list)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_one(folder: &str, manifest: &str) -> Vec<String> {
        let mut report = Report::default();
        check_manifest(folder, &toml::from_str(manifest).unwrap(), &mut report);
        report.errors
    }

    #[test]
    fn control_and_gateway_never_see_each_other() {
        let manifest = "[package]\nname = 'innkeep-gateway'\n[dependencies]\ninnkeep-control.workspace = true\n";
        assert_eq!(check_one("gateway", manifest).len(), 1);
        let manifest = "[package]\nname = 'innkeep-gateway'\n[dependencies]\ninnkeep-sandbox.workspace = true\n";
        assert_eq!(check_one("gateway", manifest), Vec::<String>::new());
    }

    #[test]
    fn a_small_crate_keeps_to_its_allow_list() {
        let manifest = "[package]\nname = 'innkeep-types'\n[dependencies]\ntokio.workspace = true\n";
        assert_eq!(check_one("types", manifest), ["crates/types/Cargo.toml: tokio is not in the allow-list of types"]);
    }

    #[test]
    fn versions_live_in_the_workspace_table() {
        let manifest = "[package]\nname = 'innkeep-store'\n[dependencies]\nserde = '1'\n";
        assert_eq!(check_one("store", manifest).len(), 1);
    }

    #[test]
    fn every_layer_stands_above_those_it_uses() {
        for (at, (name, below)) in LAYERS.iter().enumerate() {
            for other in *below {
                assert!(
                    LAYERS[..at].iter().any(|(lower, _)| lower == other),
                    "{name} uses {other}, which stands above it"
                );
            }
        }
    }
}
