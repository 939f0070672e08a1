//! What containers are like on this host, as people and later servers are told.

use std::os::unix::fs::MetadataExt;

use innkeep_protocol::walls::Base;
use innkeep_types::Tier;

use super::Walled;
use crate::driver::{Capabilities, Unusable};
use crate::made_of;

/// Returns what this driver can do.
pub(super) fn of(walled: &Walled) -> Capabilities {
    let rootless = walled.ids.is_none().then(|| {
        "Rootless: agent and sidecar are one user, the server's own, inside a namespace; as root they are two, and nobody else's."
            .to_owned()
    });
    let base = (walled.options.base == Base::Host).then(|| {
        "Development base: agents can read the host's /usr; give a tree of your own (`base`) to hide it.".to_owned()
    });
    let landlock = crate::sys::landlock_version()
        .is_none()
        .then(|| "No landlock on this kernel: the second wall around files is missing.".to_owned());
    let limits =
        walled.cgroups.missing().iter().map(|missing| format!("No limit of {}: {}.", missing.what, missing.why));
    let no_images = walled.no_images.get();
    let images = no_images.map(|Unusable { why, fix }| format!("No images: {why}; {fix}."));
    let caveats = rootless.into_iter().chain(landlock).chain(limits).chain(base).chain(images);
    Capabilities {
        tier: Tier::Container,
        no_network: walled.networks.way().err().cloned(),
        no_images: no_images.cloned(),
        caveats: caveats.chain(walled.networks.caveats()).collect(),
        made_of: made_of(walled),
    }
}

/// Returns the digest of what stands around its sandboxes.
fn made_of(walled: &Walled) -> String {
    // One that another took the place of has the same name and is another directory.
    let base = match &walled.options.base {
        Base::Host => None,
        Base::Tree(tree) => tree.metadata().ok().map(|found| (found.dev(), found.ino(), found.mtime())),
    };
    let missing: Vec<_> = walled.cgroups.missing().iter().map(|missing| missing.what.to_string()).collect();
    let walls = (&walled.options, base, walled.ids.is_some(), walled.networks.way().ok(), missing, &walled.filter);
    made_of::digest(&[made_of::build().as_bytes(), format!("{walls:?}").as_bytes()])
}
