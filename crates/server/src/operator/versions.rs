//! Versions, compared and gone back to: `GET runtimes/{id}/versions/diff`, `POST runtimes/{id}/rollback`. Both are the control
//! plane's to do.

use http::Response;
use http_body_util::BodyExt;
use innkeep_protocol::operator::Rollback;
use innkeep_types::{ErrorKind, RuntimeId, RuntimeVersion};

use crate::operator::query::Query;
use crate::operator::{Operator, body};
use crate::respond::{Body, Refused};

impl Operator {
    pub(crate) async fn diff_versions(&self, id: &str, query: &Query) -> Result<Response<Body>, Refused> {
        let id = runtime_id(id)?;
        let version = |name: &str| {
            let parsed = query.get(name).map(RuntimeVersion::parse).transpose();
            parsed.map_err(|e| invalid(format!("{name}: {e}")))
        };
        let answer = self.control.diff_versions(&id, version("from")?, version("to")?).await;
        Ok(answer.map(|body| body.map_err(|never| match never {}).boxed_unsync()))
    }

    pub(crate) async fn rollback(&self, id: &str, body: &[u8]) -> Result<Response<Body>, Refused> {
        let id = runtime_id(id)?;
        let answer = self.control.rollback(id, asked(body)?).await;
        Ok(answer.map(|body| body.map_err(|never| match never {}).boxed_unsync()))
    }
}

/// Reads the body; an empty one asks for nothing in particular.
fn asked(body: &[u8]) -> Result<Rollback, Refused> {
    if body.is_empty() {
        return Ok(Rollback::default());
    }
    body::read(body)
}

fn runtime_id(id: &str) -> Result<RuntimeId, Refused> {
    RuntimeId::parse(id).map_err(|e| invalid(e.to_string()))
}

fn invalid(message: String) -> Refused {
    Refused::new(ErrorKind::Validation, message)
}
