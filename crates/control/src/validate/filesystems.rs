//! `filesystemConfigurations`: what of it goes together, and with the network.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::validate::{Body, Violations};

/// Checks what the table cannot say.
pub(super) fn check(body: &Body, found: &mut Violations) {
    let list = body.request.filesystem_configurations.as_ref().and_then(Value::as_array);
    let in_vpc = body.request.network_configuration.as_ref().is_some_and(|n| n.network_mode.as_deref() == Some("VPC"));
    let (mut paths, mut has_storage) = (BTreeSet::new(), false);
    // Each is a union of one member: its kind.
    let kinds =
        list.into_iter().flatten().enumerate().filter_map(|(idx, item)| Some((idx, item.as_object()?.iter().next()?)));
    for (idx, (kind, given)) in kinds {
        let at = format!("filesystemConfigurations[{idx}]");
        match kind.as_str() {
            "sessionStorage" if has_storage => {
                found.say::<()>(&at, "an agent runtime can have one sessionStorage only");
            }
            "sessionStorage" => has_storage = true,
            "capacityProviderVolume" => {
                found.say::<()>(
                    &at,
                    "capacityProviderVolume is a volume of a capacity provider, of which Innkeep has none",
                );
            }
            _ if in_vpc || body.is_broken("networkConfiguration") => {}
            other => {
                found.say::<()>(&at, format_args!("{other} needs networkMode VPC"));
            }
        }
        mount_path(
            given["mountPath"].as_str().unwrap_or_default(),
            &format!("{at}.{kind}.mountPath"),
            &mut paths,
            found,
        );
    }
}

fn mount_path<'b>(path: &'b str, at: &str, paths: &mut BTreeSet<&'b str>, found: &mut Violations) {
    let path = path.trim_end_matches('/');
    if path.ends_with("/.") || path.ends_with("/..") {
        found.say::<()>(at, "mountPath must name a directory below /mnt");
    } else if !paths.insert(path) {
        found.say::<()>(at, format_args!("something else is mounted at {path} already"));
    }
}
