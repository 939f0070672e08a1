//! Reading requests: JSON bodies, query members, tokens.

use http::Uri;
use innkeep_store::ClientToken;
use innkeep_types::Settings;
use percent_encoding::percent_decode_str;
use serde::Serialize;
use serde_json::{Map, Value};

use crate::error::Error;

/// Returns a request's body: a JSON object, of which nothing else is known yet.
pub(crate) fn object(bytes: &[u8]) -> Result<Map<String, Value>, Error> {
    serde_json::from_slice(bytes).map_err(Error::CannotParse)
}

/// Returns the member `name` of the query, decoded; the first of several.
pub(crate) fn query(uri: &Uri, name: &str) -> Option<String> {
    uri.query()?.split('&').find_map(|pair| {
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
