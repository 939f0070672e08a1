//! Reading requests: JSON bodies, query members, tokens.

use http::Uri;
use innkeep_store::ClientToken;
use innkeep_types::{RuntimeVersion, Settings};
use percent_encoding::percent_decode_str;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::error::Error;
use crate::shape::{self, Member};
use crate::validate::Violations;

/// Returns a request's body: a JSON object, of which nothing else is known yet.
pub(crate) fn object(bytes: &[u8]) -> Result<Map<String, Value>, Error> {
    serde_json::from_slice(bytes).map_err(Error::CannotParse)
}

/// Returns the members of a JSON body; an empty body has none.
pub(crate) fn members(body: &[u8]) -> Result<Map<String, Value>, Error> {
    if body.is_empty() { Ok(Map::new()) } else { object(body) }
}

/// Returns the members of a request that its `table` knows, if they keep its rules. `T` has a place for each.
pub(crate) fn checked<T: DeserializeOwned>(table: &[Member], given: Map<String, Value>) -> Result<T, Error> {
    let mut found = Violations::default();
    let passed = shape::structure(table, given, "", &mut found);
    let passed = found.complete(passed)?;
    serde_json::from_value(Value::Object(passed)).map_err(Error::Misread)
}

/// Returns the version that a member names, which has a version's form.
pub(crate) fn version(member: Option<&str>) -> Result<Option<RuntimeVersion>, Error> {
    let parsed = member.map(RuntimeVersion::parse).transpose();
    parsed.map_err(|invalid| {
        Error::Invalid(Violations::one("agentRuntimeVersion", format_args!("match {}", invalid.rule)))
    })
}

/// Returns the member `name` of the query, decoded; the first of several.
pub(crate) fn query(uri: &Uri, name: &str) -> Option<String> {
    queries(uri, name).next()
}

/// Returns every value of the member `name` of the query, decoded.
pub(crate) fn queries(uri: &Uri, name: &str) -> impl Iterator<Item = String> {
    let pairs = uri.query().unwrap_or_default().split('&');
    pairs.filter_map(move |pair| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        (percent_decode_str(key).decode_utf8_lossy() == name)
            .then(|| percent_decode_str(value).decode_utf8_lossy().into_owned())
    })
}

/// Returns the idempotency token of a Create or an Update, whose body has these members.
pub(crate) fn client_token(
    mut members: Map<String, Value>,
    settings: Option<&Settings>,
) -> Result<Option<ClientToken>, Error> {
    match members.remove("clientToken") {
        Some(Value::String(token)) => token_for(token, &(members, settings)).map(Some),
        _ => Ok(None),
    }
}

/// Returns the idempotency token, if there is one, of a request; `asked` is the rest of it.
pub(crate) fn token(token: Option<String>, asked: &impl Serialize) -> Result<Option<ClientToken>, Error> {
    token.map(|token| token_for(token, asked)).transpose()
}

/// Returns an idempotency token with a digest of everything else that the caller asks for. Members are written in one order
/// and maps are sorted: equal requests have equal digests, however the client wrote them.
pub(crate) fn token_for(token: String, asked: &impl Serialize) -> Result<ClientToken, Error> {
    let canonical = serde_json::to_vec(asked).map_err(Error::Unwritable)?;
    let digest = ring::digest::digest(&ring::digest::SHA256, &canonical);
    Ok(ClientToken { token, digest: hex(digest.as_ref()) })
}

/// Returns `bytes` in lower-case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
