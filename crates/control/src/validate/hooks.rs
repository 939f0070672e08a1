//! `hooksConfiguration`: what the agent is asked while its version is made.

use innkeep_types::{Protocol, Warmup};
use serde_json::Value;

use crate::validate::{Violations, allowed_ports};

/// Returns the warm-up request, if there is one to make. The outer `None` is a broken rule.
pub(super) fn warmup(
    hooks: Option<&Value>,
    protocol: Option<&Protocol>,
    found: &mut Violations,
) -> Option<Option<Warmup>> {
    let Some(post) = hooks.and_then(|hooks| hooks.pointer("/build/warmup/action/httpPost")) else { return Some(None) };
    let at = "hooksConfiguration.build.warmup.action.httpPost.port";
    allowed_ports::reserved(&post["port"], at, found);
    let port = post["port"].as_u64().and_then(|port| u16::try_from(port).ok());
    // The agent's own port is where it serves, whatever port it was given in its place.
    let port = port.filter(|port| Some(*port) != protocol.map(|protocol| protocol.port));
    Some(Some(Warmup { path: post["path"].as_str()?.to_owned(), port }))
}
