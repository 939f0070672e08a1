//! Which part of the server answers a request, by the path as received.

use http::request::Parts;
use http::{HeaderValue, Method, Request, Response, header};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use innkeep_control::{Control, Principal};
use innkeep_gateway::{Gateway, Inbound};
use innkeep_protocol::headers;
use innkeep_types::{ErrorKind, RequestId};
use std::sync::Arc;

use crate::authenticate::Authenticator;
use crate::dev_issuer::DevIssuer;
use crate::operator::{self, Operator};
use crate::respond::{self, Body, Refused};

/// All parts of the server behind one listener. The path sets of the two AWS planes do not collide.
#[derive(Debug)]
pub(crate) struct Router {
    pub(crate) gateway: Arc<Gateway>,
    pub(crate) control: Control,
    pub(crate) operator: Operator,
    pub(crate) authenticator: Arc<Authenticator>,
    pub(crate) dev_issuer: Option<DevIssuer>,
}

impl Router {
    /// Answers one request, whatever it is.
    pub(crate) async fn handle(&self, request: Request<Incoming>) -> Response<Body> {
        if let Some(route) = innkeep_gateway::route(request.method(), request.uri().path()) {
            let answer = self.gateway.handle(route, RequestId::generate(), request).await;
            return answer.map(|body| body.map_err(std::io::Error::other).boxed_unsync());
        }
        let (parts, incoming) = request.into_parts();
        let mut body = Inbound::new(&parts, incoming);
        let mut response = self.slow(&parts, &mut body).await;
        if !body.drain().await {
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        if let Ok(id) = HeaderValue::from_str(RequestId::generate().as_str()) {
            response.headers_mut().insert(headers::AMZN_REQUEST_ID, id);
        }
        response
    }

    /// Everything but the data plane.
    async fn slow(&self, parts: &Parts, body: &mut Inbound) -> Response<Body> {
        let path = parts.uri.path();
        if path == "/healthz" {
            return respond::json(200, &serde_json::json!({"status": "ok"}));
        }
        if path == "/metrics" && parts.method == Method::GET {
            return self.operator.metrics(parts, body).await;
        }
        if path.starts_with(operator::PREFIX) {
            return self.operator.handle(parts, body).await;
        }
        if let Some(answer) = self.dev_issuer.as_ref().and_then(|issuer| issuer.answer(parts)) {
            return answer;
        }
        match innkeep_control::route(&parts.method, path) {
            Some(route) => self.control(&route, parts, body).await.unwrap_or_else(Refused::into_response),
            None => {
                Refused::new(ErrorKind::NotFound, format!("no such route: {} {path}", parts.method)).into_response()
            }
        }
    }

    async fn control(
        &self,
        route: &innkeep_control::Route,
        parts: &Parts,
        body: &mut Inbound,
    ) -> Result<Response<Body>, Refused> {
        let (signer, body) = self.authenticator.small(parts, body).await?;
        let principal = Principal { key_id: signer.key_id.clone(), who: signer.principal.clone() };
        let answer = self.control.handle(route, parts, body, &principal).await;
        Ok(answer.map(|body| body.map_err(|never| match never {}).boxed_unsync()))
    }
}
