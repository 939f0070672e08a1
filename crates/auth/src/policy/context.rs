//! What is known of a request besides who asks for what on what: the values that conditions are held against.

use std::collections::BTreeMap;
use std::net::IpAddr;

use innkeep_types::{UnixMillis, limits};

/// How a request came in. The listener knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Via {
    /// The other end of the connection: `aws:SourceIp`. Behind a proxy it is the proxy.
    pub peer: IpAddr,
    /// Whether it was TLS: `aws:SecureTransport`.
    pub secure: bool,
}

/// The values that conditions are held against.
#[derive(Debug, Clone, Default)]
pub struct Context {
    /// `aws:SourceIp` and `aws:SecureTransport`; none where it is not known, and then neither is there.
    pub via: Option<Via>,
    /// `aws:CurrentTime` and `aws:EpochTime`, which have whole seconds.
    pub now: UnixMillis,
    /// `aws:RequestTag/…`, and with their keys `aws:TagKeys`: the tags that the request would attach.
    pub request_tags: BTreeMap<String, String>,
    /// More of `aws:TagKeys`: the tags that it would remove.
    pub removed_tags: Vec<String>,
}

impl Context {
    /// Tells whether it is small enough to be matched. The operation refuses what is not, but is asked later.
    pub(super) fn is_bounded(&self) -> bool {
        let Self { request_tags, removed_tags, .. } = self;
        let is_short = |text: &String| text.len() <= limits::MAX_POLICY_VALUE_BYTES;
        request_tags.len() + removed_tags.len() <= limits::MAX_POLICY_TAGS
            && request_tags.iter().all(|(key, value)| is_short(key) && is_short(value))
            && removed_tags.iter().all(is_short)
    }
}
