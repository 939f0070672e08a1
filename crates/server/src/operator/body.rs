//! Reads small JSON bodies.

use innkeep_protocol::strict;
use innkeep_types::ErrorKind;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::respond::Refused;

/// Returns what the body asks for.
///
/// # Errors
/// A body that is no JSON of `T`, an array in place of an object included.
pub(super) fn read<T: DeserializeOwned + Serialize>(body: &[u8]) -> Result<T, Refused> {
    let unexpected = |e: &str| Refused::new(ErrorKind::Validation, format!("the body is not as expected: {e}"));
    let asked: T = serde_json::from_slice(body).map_err(|e| unexpected(&e.to_string()))?;
    match strict::array_for_object(body, &asked) {
        Some(_) => Err(unexpected("an array where an object is expected")),
        None => Ok(asked),
    }
}
