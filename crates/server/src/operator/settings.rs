//! What AWS has no field for: `GET` and `PUT runtimes/{id}/settings`.

use http::Response;
use http_body_util::BodyExt;
use innkeep_types::{ErrorKind, RuntimeId, RuntimeVersion};

use crate::operator::Operator;
use crate::operator::query::Query;
use crate::respond::{self, Body, Refused};

impl Operator {
    /// Shows the settings of one version, else of the newest, as they were given.
    pub(crate) async fn get_settings(&self, id: &str, query: &Query) -> Result<Response<Body>, Refused> {
        let id = RuntimeId::parse(id).map_err(|e| Refused::new(ErrorKind::Validation, e.to_string()))?;
        let asked = match query.get("version").map(RuntimeVersion::parse).transpose() {
            Ok(asked) => asked,
            Err(e) => return Err(Refused::new(ErrorKind::Validation, format!("version: {e}"))),
        };
        let version = self.store.get_version(&id, asked).await.map_err(|e| Refused::internal(&e))?;
        let of = asked.map(|version| format!("version {version} of ")).unwrap_or_default();
        let missing = || Refused::new(ErrorKind::NotFound, format!("{of}agent runtime {id} does not exist"));
        Ok(respond::json(200, &version.ok_or_else(missing)?.settings))
    }

    /// Makes a version with other settings: the control plane's to do.
    pub(crate) async fn put_settings(&self, id: &str, body: &[u8]) -> Response<Body> {
        let answer = self.control.put_settings(id, body).await;
        answer.map(|body| body.map_err(|never| match never {}).boxed_unsync())
    }
}
