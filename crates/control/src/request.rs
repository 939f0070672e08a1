//! Reading requests: JSON bodies, query members.

use http::Uri;
use innkeep_types::RuntimeVersion;
use percent_encoding::percent_decode_str;
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
