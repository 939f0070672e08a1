//! What the sidecar itself gives up once the walls stand, and what of it the agent could never get back.

use std::io;

use innkeep_protocol::walls::{Identity, SIDECAR_ID};
use rustix::thread::{CapabilitySet, CapabilitySets};

/// The last capability that any kernel might know.
const CAPABILITIES: u32 = 64;

/// What a zygote has, which enters the sandboxes of its forks: of its own namespace, and nobody else's.
const ENTERING: CapabilitySet = CapabilitySet::SYS_ADMIN;

/// Drops every capability, for good, but what ends the agent and makes it another user where there is one; and becomes a user that no
/// agent is. `keeps_zygote`: the agent gets one capability from us.
pub(super) fn drop(has_users: bool, keeps_zygote: bool) -> io::Result<()> {
    let handed_on = if keeps_zygote { ENTERING } else { CapabilitySet::empty() };
    let kept = handed_on
        | if has_users {
            // PTRACE: to answer the agent's bind calls. Of the sandbox's own namespace, like the others.
            CapabilitySet::SETUID | CapabilitySet::SETGID | CapabilitySet::KILL | CapabilitySet::SYS_PTRACE
        } else {
            CapabilitySet::empty()
        };
    if keeps_zygote {
        // While the bounding set, which it may not exceed, has it.
        let all = rustix::thread::capabilities(None)?;
        set(all.permitted, ENTERING)?;
    }
    for bit in 0..CAPABILITIES {
        let capability = CapabilitySet::from_bits_retain(1 << bit);
        match rustix::thread::remove_capability_from_bounding_set(capability) {
            // Beyond the last one that this kernel knows.
            Err(rustix::io::Errno::INVAL) => break,
            removed => removed?,
        }
    }
    if has_users {
        // Else the change would take every capability.
        rustix::thread::set_keep_capabilities(true)?;
        super::become_user(&Identity { user: SIDECAR_ID, group: SIDECAR_ID, groups: Vec::new() })?;
    }
    set(kept, handed_on)?;
    Ok(rustix::thread::set_no_new_privs(true)?)
}

/// Leaves this process what a zygote has, also past its program's start.
pub(super) fn keep_entering() -> io::Result<()> {
    set(ENTERING, ENTERING)?;
    Ok(rustix::thread::configure_capability_in_ambient_set(ENTERING, true)?)
}

/// Leaves this process no capability at all.
pub(super) fn drop_all() -> io::Result<()> {
    set(CapabilitySet::empty(), CapabilitySet::empty())
}

fn set(kept: CapabilitySet, inheritable: CapabilitySet) -> io::Result<()> {
    let sets = CapabilitySets { effective: kept, permitted: kept, inheritable };
    Ok(rustix::thread::set_capabilities(None, sets)?)
}
