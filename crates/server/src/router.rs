//! Which part of the server answers a request, by the path as received.

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use innkeep_control::{Control, Principal};
use innkeep_gateway::{ByOperatorToken, Gateway, Inbound};
use innkeep_protocol::headers;
use innkeep_types::{AuditEvent, AuditOutcome, ErrorKind, RequestId};
use std::sync::Arc;

use crate::audit::{self, Audit, Heard, Subject};
use crate::authenticate::{self, Authenticator};
use crate::dev_issuer::DevIssuer;
use crate::operator::{self, Operator};
use crate::rates::ControlRates;
use crate::respond::{self, Body, Refused};

/// All parts of the server behind one listener. The path sets of the two AWS planes do not collide.
#[derive(Debug)]
pub(crate) struct Router {
    pub(crate) gateway: Arc<Gateway>,
    pub(crate) control: Control,
    pub(crate) operator: Operator,
    pub(crate) authenticator: Arc<Authenticator>,
    pub(crate) dev_issuer: Option<DevIssuer>,
    pub(crate) audit: Audit,
    pub(crate) rates: Arc<ControlRates>,
}

/// Who it is that shows the operator's token.
const OPERATOR_TOKEN: &str = "operator-token";

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
        let mut response = self.slow(&parts, &mut body, &id).await;
        if !body.drain().await {
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        if let Ok(id) = HeaderValue::from_str(id.as_str()) {
            response.headers_mut().insert(headers::AMZN_REQUEST_ID, id);
        }
        response
    }

    /// Everything but the data plane.
    async fn slow(&self, parts: &Parts, body: &mut Inbound, id: &RequestId) -> Response<Body> {
        let path = parts.uri.path();
        if path == "/healthz" {
            return respond::json(200, &serde_json::json!({"status": "ok"}));
        }
        if path == "/metrics" && parts.method == Method::GET {
            let answer = self.operator.metrics(parts, body).await;
            self.tell_operator(parts, id, "GetMetrics".to_owned(), &answer);
            return answer;
        }
        if path.starts_with(operator::PREFIX) {
            let answer = self.operator.handle(parts, body).await;
            self.tell_operator(parts, id, operator::action(parts), &answer);
            return answer;
        }
        if let Some(answer) = self.dev_issuer.as_ref().and_then(|issuer| issuer.answer(parts)) {
            return answer;
        }
        match innkeep_control::route(&parts.method, path) {
            Some(route) => self.control(&route, parts, body, id).await,
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
        id: &RequestId,
    ) -> Response<Body> {
        let (action, resource) = self.control.subject(route);
        let is_change = !action.starts_with("Get") && !action.starts_with("List");
        let at = self.authenticator.signatures.clock.now();
        let heard = Heard { parts, request: id, at, action: action.to_owned(), is_change, resource };
        let (signer, body) = match self.authenticator.small(parts, body).await {
            Ok(proven) => proven,
            Err(refused) => {
                let answer = refused.into_response();
                if let Some(event) = heard.answered(&answer) {
                    self.audit.record(AuditEvent { access_key_id: self.claimed(parts), ..event });
                }
                return answer;
            }
        };
        let principal = Principal { key_id: signer.key_id.clone(), who: signer.principal.clone() };
        if let Err(refused) = self.rates.try_take(action, &signer.principal.arn) {
            return refused.into_response();
        }
        let mut answer = self.control.handle(route, parts, body, &principal).await;
        if action.starts_with("Create")
            && let Some(arn) = made(answer.body()).await
        {
            answer.extensions_mut().insert(Subject(arn));
        }
        if let Some(event) = heard.answered(&answer) {
            self.audit.record(audit::signed(event, &signer));
        }
        answer.map(|body| body.map_err(|never| match never {}).boxed_unsync())
    }

    /// Tells the audit log of a request of the operator API.
    fn tell_operator(&self, parts: &Parts, id: &RequestId, action: String, answer: &Response<Body>) {
        let at = self.authenticator.signatures.clock.now();
        let is_change = !audit::is_reading(&parts.method);
        let heard = Heard { parts, request: id, at, action, is_change, resource: None };
        let Some(event) = heard.answered(answer) else { return };
        let claim = self.authenticator.signatures.claim(parts).ok();
        let access_key_id = claim.as_ref().map(|claim| claim.key_id().to_owned());
        // A body that is not read is refused before its signature is verified, with 400 as what is wrong in one.
        let is_proven = event.outcome != AuditOutcome::Denied && answer.status() != StatusCode::BAD_REQUEST;
        let principal = match &claim {
            Some(claim) => Some(claim.principal().arn.clone()),
            // Without a claim it is the token's, if one was shown: a key may have ended by now, or be the one that was removed.
            None => authenticate::bearer(&parts.headers).is_some().then(|| OPERATOR_TOKEN.to_owned()),
        };
        let principal = principal.filter(|_| is_proven);
        self.audit.record(AuditEvent { principal, access_key_id, ..event });
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
