//! Reading requests: JSON bodies, query members, tokens.

use http::Uri;
use innkeep_protocol::control::AgentRuntimeRequest;
use innkeep_protocol::strict;
use innkeep_store::ClientToken;
use innkeep_types::Settings;
use percent_encoding::percent_decode_str;
use serde::Serialize;
use serde_json::error::Category;

use crate::error::Error;
use crate::validate::Violations;

/// Returns the body of a Create or an Update. Unknown members are ignored, as rest-json has it.
pub(crate) fn body(bytes: &[u8]) -> Result<AgentRuntimeRequest, Error> {
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let request: AgentRuntimeRequest = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let path = error.path().to_string();
        let error = error.into_inner();
        match error.classify() {
            Category::Data if path != "." => {
                let message = error.to_string();
                let message = message.split(" at line ").next().unwrap_or_default();
                Error::Invalid(Violations::one(&path, format!("have its type in the model ({message})")))
            }
            _ => Error::CannotParse(error),
        }
    })?;
    json.end().map_err(Error::CannotParse)?;
    match strict::array_for_object(bytes, &request).as_deref() {
        None => Ok(request),
        Some(".") => Err(Error::CannotParse(serde::de::Error::custom("an array where an object is expected"))),
        Some(path) => {
            Err(Error::Invalid(Violations::one(path, "have its type in the model (an object, not an array)")))
        }
    }
}

/// Returns the member `name` of the query, decoded; the first of several.
pub(crate) fn query(uri: &Uri, name: &str) -> Option<String> {
    uri.query()?.split('&').find_map(|pair| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        (percent_decode_str(key).decode_utf8_lossy() == name)
            .then(|| percent_decode_str(value).decode_utf8_lossy().into_owned())
    })
}

/// Returns the idempotency token of a Create or an Update.
pub(crate) fn client_token(
    request: &AgentRuntimeRequest,
    settings: Option<&Settings>,
) -> Result<Option<ClientToken>, Error> {
    let Some(token) = request.client_token.clone() else { return Ok(None) };
    let asked = AgentRuntimeRequest { client_token: None, ..request.clone() };
    token_for(token, &(asked, settings)).map(Some)
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
