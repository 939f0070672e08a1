//! Client tokens: a repeated request gets the first answer again and changes nothing.
//!
//! The answer is kept as it was given, for a day, whatever becomes of what it tells of; but what was made takes its tokens along
//! when it is deleted, so that it can be made anew. An answer has no secrets: versions leave their environment out.

use std::time::Duration;

use innkeep_types::{CapacityProviderId, EndpointName, RuntimeId, UnixMillis};
use rusqlite::params;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::columns::Json;
use crate::db::Db;
use crate::error::{Error, Fault};
use crate::records::ClientToken;

/// How long a token is remembered. Source: our choice; AWS publishes none.
const RETENTION: Duration = Duration::from_secs(24 * 60 * 60);

/// What a token was sent with; equal tokens of two operations, or on two resources, are strangers.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Operation<'a> {
    CreateRuntime,
    UpdateRuntime(&'a RuntimeId),
    DeleteRuntime(&'a RuntimeId),
    CreateEndpoint(&'a RuntimeId),
    UpdateEndpoint(&'a RuntimeId, &'a EndpointName),
    DeleteEndpoint(&'a RuntimeId, &'a EndpointName),
    CreateCapacityProvider,
    UpdateCapacityProvider(&'a CapacityProviderId),
    DeleteCapacityProvider(&'a CapacityProviderId),
}

impl Operation<'_> {
    fn key(self) -> (&'static str, String) {
        match self {
            Self::CreateRuntime => ("CreateAgentRuntime", String::new()),
            Self::UpdateRuntime(id) => ("UpdateAgentRuntime", runtime(id)),
            Self::DeleteRuntime(id) => ("DeleteAgentRuntime", runtime(id)),
            Self::CreateEndpoint(id) => ("CreateAgentRuntimeEndpoint", runtime(id)),
            Self::UpdateEndpoint(id, name) => ("UpdateAgentRuntimeEndpoint", endpoint(id, name)),
            Self::DeleteEndpoint(id, name) => ("DeleteAgentRuntimeEndpoint", endpoint(id, name)),
            Self::CreateCapacityProvider => ("CreateCapacityProvider", String::new()),
            Self::UpdateCapacityProvider(id) => ("UpdateCapacityProvider", capacity_provider(id)),
            Self::DeleteCapacityProvider(id) => ("DeleteCapacityProvider", capacity_provider(id)),
        }
    }
}

/// Names a runtime as what was made. What is below it begins with this and a slash.
pub(crate) fn runtime(id: &RuntimeId) -> String {
    format!("runtime/{id}")
}

/// Names an endpoint as what was made.
pub(crate) fn endpoint(runtime: &RuntimeId, name: &EndpointName) -> String {
    format!("runtime/{runtime}/runtime-endpoint/{name}")
}

/// Names a capacity provider as what was made.
pub(crate) fn capacity_provider(id: &CapacityProviderId) -> String {
    format!("capacity-provider/{id}")
}

/// Returns the answer to the request that came with this token before, if one did. Forgets tokens that are too old.
pub(crate) fn find<T: DeserializeOwned>(
    db: &Db,
    operation: Operation<'_>,
    token: Option<&ClientToken>,
    now: UnixMillis,
) -> Result<Option<T>, Fault> {
    let Some(token) = token else { return Ok(None) };
    let oldest = now.0.saturating_sub(i64::try_from(RETENTION.as_millis()).unwrap_or(i64::MAX));
    db.execute("DELETE FROM client_token WHERE created_at <= ?1", [oldest])?;
    let (operation, scope) = operation.key();
    let found = db.first(
        "SELECT digest, answer FROM client_token WHERE operation = ?1 AND scope = ?2 AND token = ?3",
        [operation, &scope, &token.token],
        |row| Ok((row.get::<_, String>("digest")?, row.get::<_, Json<T>>("answer")?.0)),
    )?;
    match found {
        Some((digest, _)) if digest != token.digest => Err(Error::TokenMismatch.into()),
        found => Ok(found.map(|(_, answer)| answer)),
    }
}

/// Remembers the request, its answer, and what it made, if it made something.
pub(crate) fn remember(
    db: &Db,
    operation: Operation<'_>,
    token: Option<&ClientToken>,
    answer: &impl Serialize,
    made: Option<String>,
    now: UnixMillis,
) -> Result<(), Fault> {
    let Some(token) = token else { return Ok(()) };
    let (operation, scope) = operation.key();
    db.execute(
        "INSERT INTO client_token (operation, scope, token, digest, answer, made, created_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        params![operation, scope, token.token, token.digest, Json(answer), made, now.0],
    )?;
    Ok(())
}

/// Forgets the tokens of what was made and is no more, and of what was below it.
pub(crate) fn forget(db: &Db, made: &str) -> Result<(), Fault> {
    // `0` is what follows the slash.
    db.execute("DELETE FROM client_token WHERE made = ?1 OR (made > ?1 || '/' AND made < ?1 || '0')", [made])?;
    Ok(())
}

/// Forgets all tokens of an operation on a resource: a name that is given again begins a new life.
pub(crate) fn forget_operation(db: &Db, operation: Operation<'_>) -> Result<(), Fault> {
    let (operation, scope) = operation.key();
    db.execute("DELETE FROM client_token WHERE operation = ?1 AND scope = ?2", [operation, &scope])?;
    Ok(())
}
