//! What AWS has no field for: `GET` and `PUT runtimes/{id}/settings`.

use http::Response;
use http_body_util::BodyExt;
use innkeep_types::{ErrorKind, RuntimeId};

use crate::operator::Operator;
use crate::respond::{self, Body, Refused};

impl Operator {
    /// Shows the newest version's settings, as they were given.
    pub(crate) async fn get_settings(&self, id: &str) -> Result<Response<Body>, Refused> {
        let id = RuntimeId::parse(id).map_err(|e| Refused::new(ErrorKind::Validation, e.to_string()))?;
        let version = self.store.get_version(&id, None).await.map_err(|e| Refused::internal(&e))?;
        let missing = || Refused::new(ErrorKind::NotFound, format!("agent runtime {id} does not exist"));
        Ok(respond::json(200, &version.ok_or_else(missing)?.settings))
    }

    /// Makes a version with other settings: the control plane's to do.
    pub(crate) async fn put_settings(&self, id: &str, body: &[u8]) -> Response<Body> {
        let answer = self.control.put_settings(id, body).await;
        answer.map(|body| body.map_err(|never| match never {}).boxed_unsync())
    }
}
