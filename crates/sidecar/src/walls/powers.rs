//! What the sidecar itself gives up once the walls stand, and what of it the agent could never get back.

use std::io;

use rustix::thread::{CapabilitySet, CapabilitySets};

/// The last capability that any kernel might know.
const CAPABILITIES: u32 = 64;

/// Drops every capability, for good, but what ends the agent and makes it another user where there is one.
pub(super) fn drop(has_users: bool) -> io::Result<()> {
    let kept = if has_users {
        // PTRACE: to answer the agent's bind calls. Of the sandbox's own namespace, like the others.
        CapabilitySet::SETUID | CapabilitySet::SETGID | CapabilitySet::KILL | CapabilitySet::SYS_PTRACE
    } else {
        CapabilitySet::empty()
    };
    for bit in 0..CAPABILITIES {
        let capability = CapabilitySet::from_bits_retain(1 << bit);
        match rustix::thread::remove_capability_from_bounding_set(capability) {
            // Beyond the last one that this kernel knows.
            Err(rustix::io::Errno::INVAL) => break,
            removed => removed?,
        }
    }
    let sets = CapabilitySets { effective: kept, permitted: kept, inheritable: CapabilitySet::empty() };
    rustix::thread::set_capabilities(None, sets)?;
    Ok(rustix::thread::set_no_new_privs(true)?)
}
