//! `requestHeaderConfiguration`: which of its callers' headers an agent sees besides those that the contract passes.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::validate::{Body, Violations};

/// The only names that begin with `x-amzn-` and may be listed.
const CUSTOM_PREFIX: &str = "x-amzn-bedrock-agentcore-runtime-custom-";

/// Returns the names on the allow-list, in lower case.
pub(super) fn allowed_headers(body: &Body, found: &mut Violations) -> Vec<String> {
    let list = body.request.request_header_configuration.as_ref();
    let list = list.and_then(|list| list.get("requestHeaderAllowlist")).and_then(Value::as_array);
    let names: Vec<_> = list.into_iter().flatten().filter_map(Value::as_str).map(str::to_ascii_lowercase).collect();
    let mut seen = BTreeSet::new();
    for (idx, name) in names.iter().enumerate() {
        let at = format!("requestHeaderConfiguration.requestHeaderAllowlist[{idx}]");
        if !seen.insert(name) {
            found.say::<()>(&at, "this header is listed twice; upper and lower case make no difference");
        } else if name == "authorization" && !body.has("authorizerConfiguration") {
            found.say::<()>(&at, "Authorization can be listed only together with a customJWTAuthorizer");
        } else if name.starts_with("x-amz-") {
            found.say::<()>(&at, "headers that begin with x-amz- cannot be listed");
        } else if name.starts_with("x-amzn-") && !name.starts_with(CUSTOM_PREFIX) {
            let sentence =
                "of the headers that begin with X-Amzn-, only X-Amzn-Bedrock-AgentCore-Runtime-Custom-* can be listed";
            found.say::<()>(&at, sentence);
        } else if RESTRICTED.contains(&name.as_str()) {
            found.say::<()>(&at, format_args!("the header {name} is restricted and cannot be listed"));
        }
    }
    names
}

/// What cannot be listed; the pseudo headers are left out, whose names no header can have. Source: `RESTRICTED_HEADERS` of
/// bedrock-agentcore 1.25.0, `runtime/models.py`; AgentCore developer guide, "Restricted headers", has the same.
#[rustfmt::skip]
const RESTRICTED: [&str; 103] = [
    // Authentication and Authorization.
    "proxy-authorization", "www-authenticate",
    // Content Negotiation.
    "accept", "accept-charset", "accept-encoding", "accept-language", "content-type", "content-length", "content-encoding",
    "content-language", "content-location", "content-range",
    // Caching.
    "cache-control", "etag", "expires", "if-match", "if-modified-since", "if-none-match", "if-range", "if-unmodified-since",
    "last-modified", "pragma", "vary",
    // Connection Management.
    "connection", "keep-alive", "proxy-connection", "upgrade",
    // Request Context.
    "host", "user-agent", "referer", "from",
    // Range / Transfer.
    "range", "accept-ranges", "transfer-encoding", "te", "trailer",
    // Server Information.
    "server", "date", "location", "retry-after",
    // Cookies.
    "set-cookie", "cookie",
    // Security.
    "content-security-policy", "content-security-policy-report-only", "strict-transport-security", "x-content-type-options",
    "x-frame-options", "x-xss-protection", "referrer-policy", "permissions-policy", "cross-origin-embedder-policy",
    "cross-origin-opener-policy", "cross-origin-resource-policy",
    // CORS.
    "access-control-allow-origin", "access-control-allow-methods", "access-control-allow-headers",
    "access-control-allow-credentials", "access-control-expose-headers", "access-control-max-age",
    "access-control-request-method", "access-control-request-headers", "origin",
    // Client Hints.
    "accept-ch", "accept-ch-lifetime", "dpr", "width", "viewport-width", "downlink", "ect", "rtt", "save-data",
    // Experimental / Proposed.
    "clear-site-data", "feature-policy", "expect-ct", "public-key-pins", "public-key-pins-report-only",
    // Proxy.
    "via", "forwarded", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-real-ip", "x-requested-with",
    "x-csrf-token",
    // IP Spoofing / URL Manipulation.
    "true-client-ip", "x-client-ip", "x-cluster-client-ip", "x-originating-ip", "x-source-ip", "x-original-url",
    "x-original-host", "x-rewrite-url",
    // CDN / Proxy.
    "cf-ray", "cf-connecting-ip", "x-amz-cf-id", "x-cache", "x-served-by",
    // Server Push.
    "link",
    // WebSocket.
    "sec-websocket-key", "sec-websocket-accept", "sec-websocket-version", "sec-websocket-protocol", "sec-websocket-extensions",
];
