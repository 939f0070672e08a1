//! Which part of the server answers a request, by the path as received.

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderValue, Method, Request, Response, header};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use innkeep_control::{Control, Principal};
use innkeep_gateway::{ByOperatorToken, Gateway, Inbound};
use innkeep_protocol::headers;
use innkeep_sandbox::tasks::{Kind, Tasks};
use innkeep_types::{ErrorKind, RequestId};
use std::future::Future;
use std::sync::Arc;

use crate::audit::{self, Asked, Audit, Heard, Subject, Who};
use crate::authenticate::Authenticator;
use crate::dev_issuer::DevIssuer;
use crate::operator::{self, Operator};
use crate::rates::ControlRates;
use crate::respond::{self, Body, Refused};

/// All parts of the server behind one listener. The path sets of the two AWS planes do not collide.
#[derive(Debug)]
pub(crate) struct Router {
    pub(crate) gateway: Arc<Gateway>,
    pub(crate) control: Control,
    pub(crate) operator: Arc<Operator>,
    pub(crate) authenticator: Arc<Authenticator>,
    pub(crate) dev_issuer: Option<DevIssuer>,
    pub(crate) audit: Audit,
    pub(crate) rates: Arc<ControlRates>,
    pub(crate) tasks: Tasks,
}

impl Router {
    /// Answers one request, whatever it is.
    pub(crate) async fn handle(&self, mut request: Request<Incoming>) -> Response<Body> {
        if request.uri().path().starts_with(operator::PREFIX) && self.authenticator.is_operator_token(request.headers())
        {
            request.extensions_mut().insert(ByOperatorToken);
        }
        if let Some(route) = innkeep_gateway::route(request.method(), request.uri().path()) {
            let answer = self.gateway.handle(route, RequestId::generate(), request).await;
            return answer.map(|body| body.map_err(std::io::Error::other).boxed_unsync());
        }
        if let Some(answer) = self.gateway.preflight(&request) {
            return answer.map(|body| body.map_err(std::io::Error::other).boxed_unsync());
        }
        let (parts, incoming) = request.into_parts();
        let mut body = Inbound::new(&parts, incoming);
        let id = RequestId::generate();
        let mut response = self.slow(parts, &mut body, &id).await;
        if !body.drain().await {
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        if let Ok(id) = HeaderValue::from_str(id.as_str()) {
            response.headers_mut().insert(headers::AMZN_REQUEST_ID, id);
        }
        response
    }

    /// Everything but the data plane.
    async fn slow(&self, parts: Parts, body: &mut Inbound, id: &RequestId) -> Response<Body> {
        let path = parts.uri.path();
        if path == "/healthz" {
            return respond::json(200, &serde_json::json!({"status": "ok"}));
        }
        if path == "/metrics" && parts.method == Method::GET {
            let asked = Asked { action: "GetMetrics".to_owned(), is_change: false, resource: None };
            let heard = Heard::new(&self.audit, &parts, id, asked);
            let answer = self.operator.metrics(&parts, body).await;
            return self.answered(heard, &parts, answer);
        }
        if path.starts_with(operator::PREFIX) {
            return self.operate(parts, body, id).await;
        }
        if let Some(answer) = self.dev_issuer.as_ref().and_then(|issuer| issuer.answer(&parts)) {
            return answer;
        }
        match innkeep_control::route(&parts.method, path) {
            Some(route) => self.control(route, parts, body, id).await,
            None => {
                Refused::new(ErrorKind::NotFound, format!("no such route: {} {path}", parts.method)).into_response()
            }
        }
    }

    /// A request of the control plane.
    async fn control(
        &self,
        route: innkeep_control::Route,
        parts: Parts,
        body: &mut Inbound,
        id: &RequestId,
    ) -> Response<Body> {
        let (action, resource) = self.control.subject(&route);
        let (creates, is_change) =
            (action.starts_with("Create"), !action.starts_with("Get") && !action.starts_with("List"));
        let asked = Asked { action: action.to_owned(), is_change, resource };
        let mut heard = Heard::new(&self.audit, &parts, id, asked);
        let (signer, body) = match self.authenticator.small(&parts, body).await {
            Ok(proven) => proven,
            Err(refused) => return self.answered(heard, &parts, refused.into_response()),
        };
        heard.proven(Who { principal: signer.principal.arn.clone(), access_key_id: Some(signer.key_id.clone()) });
        let principal = Principal { key_id: signer.key_id.clone(), who: signer.principal.clone() };
        if let Err(refused) = self.rates.try_take(action, &signer.principal.arn) {
            let answer = refused.into_response();
            heard.answered(&answer);
            return answer;
        }
        let control = self.control.clone();
        let call = async move {
            let mut answer = control.handle(&route, &parts, body, &principal).await;
            if creates && let Some(arn) = made(answer.body()).await {
                answer.extensions_mut().insert(Subject(arn));
            }
            heard.answered(&answer);
            answer.map(|body| body.map_err(|never| match never {}).boxed_unsync())
        };
        self.finish(is_change, call).await
    }

    /// A request of the operator API.
    async fn operate(&self, parts: Parts, body: &mut Inbound, id: &RequestId) -> Response<Body> {
        let is_change = !audit::is_reading(&parts.method);
        let asked = Asked { action: operator::action(&parts), is_change, resource: None };
        let mut heard = Heard::new(&self.audit, &parts, id, asked);
        let admitted = match self.operator.admit(&parts, body).await {
            Ok(admitted) => admitted,
            Err(refused) => return self.answered(heard, &parts, refused.into_response()),
        };
        heard.proven(admitted.who);
        let Some(small) = admitted.body else {
            let answer = self.operator.receive_upload(&parts, body).await;
            heard.answered(&answer);
            return answer;
        };
        let operator = self.operator.clone();
        let call = async move {
            let answer = operator.perform(&parts, &small).await;
            heard.answered(&answer);
            answer
        };
        self.finish(is_change, call).await
    }

    /// Answers what was asked for. A change is brought to its end, and into the audit log, though its caller may not wait for the answer.
    async fn finish(
        &self,
        is_change: bool,
        call: impl Future<Output = Response<Body>> + Send + 'static,
    ) -> Response<Body> {
        if !is_change {
            return call.await;
        }
        let answer = self.tasks.spawn(Kind::Change, call).await;
        answer.unwrap_or_else(|error| Refused::internal(&error).into_response())
    }

    /// Tells the audit log of a request of which nothing is proven, and returns its answer.
    fn answered(&self, mut heard: Heard, parts: &Parts, answer: Response<Body>) -> Response<Body> {
        heard.claims(self.claimed(parts));
        heard.answered(&answer);
        answer
    }

    /// Returns the access key that a request claims, if there is such a one.
    fn claimed(&self, parts: &Parts) -> Option<String> {
        self.authenticator.signatures.claim(parts).ok().map(|claim| claim.key_id().to_owned())
    }
}

/// Returns the ARN that the answer to a Create names.
async fn made(body: &Full<Bytes>) -> Option<String> {
    const NAMES: [&str; 3] = ["agentRuntimeEndpointArn", "agentRuntimeArn", "capacityProviderArn"];
    let bytes = body.clone().collect().await.ok()?.to_bytes();
    let answer: serde_json::Value = serde_json::from_slice(&bytes).ok()?;
    NAMES.into_iter().find_map(|name| answer.get(name)?.as_str().map(str::to_owned))
}
