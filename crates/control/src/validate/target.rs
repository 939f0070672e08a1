//! What a request is about: path and query members, and its token.

use http::Uri;
use innkeep_types::{RuntimeArn, RuntimeId, RuntimeVersion};

use crate::model::name::CLIENT_TOKEN;
use crate::validate::Violations;
use crate::{request, shape};

/// Returns the runtime that the path names. Its ARN there is the data plane's way.
pub(crate) fn runtime_id(text: &str, found: &mut Violations) -> Option<RuntimeId> {
    if let Ok((arn, _)) = RuntimeArn::parse_with_endpoint(text) {
        let id = arn.runtime;
        return found.must("agentRuntimeId", format_args!("be the agent runtime's id, not an ARN: {id}"));
    }
    found.parsed("agentRuntimeId", RuntimeId::parse(text))
}

/// Returns the version that the query names, if it names one. The outer `None` is a broken rule.
pub(crate) fn version(uri: &Uri, found: &mut Violations) -> Option<Option<RuntimeVersion>> {
    match request::query(uri, "version") {
        Some(text) => found.parsed("agentRuntimeVersion", RuntimeVersion::parse(&text)).map(Some),
        None => Some(None),
    }
}

/// Checks an idempotency token.
pub(crate) fn client_token(token: Option<&str>, found: &mut Violations) {
    if let Some(token) = token {
        shape::check(&CLIENT_TOKEN, token.into(), "clientToken", found);
    }
}
