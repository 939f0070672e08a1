//! Access keys: `GET` and `POST keys`, `GET`, `PATCH` and `DELETE keys/{id}`, `POST keys/{id}/rotate`, `POST keys/temporary`.

use http::{HeaderValue, Response, header};
use innkeep_protocol::operator::keys::{
    ChangeKey, CreateKey, CreatedKey, KeyList, KeyState, KeyStatus, KeyView, MakeTemporaryKey, RotateKey, TemporaryKey,
};
use innkeep_store::AccessKey;
use innkeep_types::{ErrorKind, UnixMillis};
use serde::Serialize;

use crate::audit::Subject;
use crate::keys::{Ask, Change, Error, NewKey};
use crate::operator::{Operator, body, no_content};
use crate::respond::{self, Body, Refused};

impl Operator {
    /// Lists keys, without their secrets.
    pub(crate) fn list_keys(&self) -> Response<Body> {
        let keys = self.keys.list().into_iter().map(|key| self.view(key)).collect();
        respond::json(200, &KeyList { keys })
    }

    /// Shows a key, without its secret.
    pub(crate) fn get_key(&self, id: &str) -> Result<Response<Body>, Refused> {
        let key = self.keys.get(id).map_err(refused)?;
        Ok(respond::json(200, &self.view(key)))
    }

    /// Makes a key, and tells its secret this once.
    pub(crate) async fn create_key(&self, body: &[u8]) -> Result<Response<Body>, Refused> {
        let CreateKey { name, policies, operator, description, expires_in_secs } = body::read(body)?;
        let new = NewKey { name, policies, operator, description, expires_in_secs };
        let key = self.keys.create(new).await.map_err(refused)?;
        let id = key.id.clone();
        Ok(secret(id, &CreatedKey { secret_access_key: key.secret.clone(), key: self.view(key) }))
    }

    /// Changes what a key may do, or for how long it is good.
    pub(crate) async fn change_key(&self, id: &str, body: &[u8]) -> Result<Response<Body>, Refused> {
        let ChangeKey { status, policies, expires_in_secs } = body::read(body)?;
        let change = Change { active: status.map(|status| status == KeyStatus::Active), policies, expires_in_secs };
        let key = self.keys.change(id, change).await.map_err(refused)?;
        Ok(respond::json(200, &self.view(key)))
    }

    /// Makes a key in place of another, and tells its secret this once.
    pub(crate) async fn rotate_key(&self, id: &str, body: &[u8]) -> Result<Response<Body>, Refused> {
        let RotateKey { grace_secs } = if body.is_empty() { RotateKey::default() } else { body::read(body)? };
        let key = self.keys.rotate(id, grace_secs).await.map_err(refused)?;
        let id = format!("{id} -> {}", key.id);
        Ok(secret(id, &CreatedKey { secret_access_key: key.secret.clone(), key: self.view(key) }))
    }

    /// Removes a key.
    pub(crate) async fn remove_key(&self, id: &str) -> Result<Response<Body>, Refused> {
        self.keys.remove(id).await.map_err(refused)?;
        Ok(no_content())
    }

    /// Makes a temporary key, and tells its secret this once.
    pub(crate) fn make_temporary_key(&self, body: &[u8]) -> Result<Response<Body>, Refused> {
        let MakeTemporaryKey { access_key_id, name, session_name, duration_secs, session_policy } = body::read(body)?;
        let ask = Ask { key_id: access_key_id, name, session: session_name, duration_secs, policy: session_policy };
        let made = self.keys.make_temporary(ask).map_err(refused)?;
        let answer = TemporaryKey {
            access_key_id: made.id,
            secret_access_key: made.key.secret,
            session_token: made.token,
            expires_at: made.key.expires_at.to_string(),
            made_by: made.key.made_by,
            name: made.name,
            session_name: made.key.session,
        };
        let id = format!("{} -> {}", answer.made_by, answer.access_key_id);
        Ok(secret(id, &answer))
    }

    fn view(&self, key: AccessKey) -> KeyView {
        let now = self.authenticator.signatures.clock.now();
        let show = |at: UnixMillis| at.to_string();
        let state = match (key.active, key.expires_at) {
            (_, Some(end)) if end <= now => KeyState::Expired,
            (true, _) => KeyState::Active,
            (false, _) => KeyState::Inactive,
        };
        KeyView {
            access_key_id: key.id,
            name: key.name,
            policies: key.policies,
            operator: key.operator,
            description: key.description,
            state,
            created_at: show(key.created_at),
            last_used_at: key.last_used_at.map(show),
            expires_at: key.expires_at.map(show),
            replaced_by: key.replaced_by,
        }
    }
}

/// Returns an answer, about a new key, that nobody on the way may keep.
fn secret(id: String, answer: &impl Serialize) -> Response<Body> {
    let mut response = respond::json(201, answer);
    response.extensions_mut().insert(Subject(id));
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

fn refused(error: Error) -> Refused {
    match error.kind() {
        ErrorKind::Internal => Refused::internal(&error),
        kind => Refused::new(kind, error.to_string()),
    }
}
