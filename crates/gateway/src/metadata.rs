//! GetRuntimeProtectedResourceMetadata: whose tokens open a runtime, told to anybody. From the configuration alone: nobody makes this
//! server ask an issuer by it. Source: RFC 9728; AgentCore developer guide.

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Response, request};
use innkeep_auth::jwt::Rules;
use serde::Serialize;

use crate::address;
use crate::authorizer::Gate;
use crate::call::Caller;
use crate::error::Error;
use crate::gateway::Gateway;
use crate::stream::GatewayBody;
use crate::target::Named;

#[derive(Debug, Serialize)]
struct Document {
    authorization_servers: Vec<String>,
    resource: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    scopes_supported: Vec<String>,
}

pub(crate) async fn metadata(
    gateway: &Gateway,
    raw_target: &str,
    head: &request::Parts,
    caller: &Caller,
) -> Result<Response<GatewayBody>, Error> {
    let named = Named::parse(raw_target, head.uri.query())?;
    let target = named.at_home(&gateway.home)?;
    let base = address::base(gateway.public_url.as_deref(), head)
        .ok_or_else(|| Error::field("Host", "must name the host that the request is for".to_owned()))?;
    let parts = gateway.resolver.parts(target).await?;
    let rules: Vec<&Rules> = parts
        .iter()
        .filter_map(|part| match &part.gate {
            Gate::Tokens(rules) => Some(&**rules),
            Gate::Signatures | Gate::Closed(_) => None,
        })
        .collect();
    if rules.is_empty() {
        return Err(named.not_found());
    }
    let document = Document {
        authorization_servers: once(rules.iter().filter_map(|rules| issuer(rules.discovery_url()))),
        resource: address::resource(&base, &gateway.home, target),
        scopes_supported: once(rules.iter().flat_map(|rules| rules.advertised_scopes()).map(str::to_owned)),
    };
    let body = serde_json::to_vec(&document).map_err(|error| Error::Resolve(error.into()))?;
    let mut response = Response::new(GatewayBody::whole(Bytes::from(body)));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    caller.identify(response.headers_mut());
    Ok(response)
}

/// The versions that share an endpoint may have an issuer each.
fn once(items: impl Iterator<Item = String>) -> Vec<String> {
    let mut all = Vec::new();
    for item in items {
        if !all.contains(&item) {
            all.push(item);
        }
    }
    all
}

/// Returns the issuer whose discovery document lies at `url`: clients make that URL of it, by the one rule or the other. Source: OpenID
/// Connect Discovery 1.0 section 4 appends, RFC 8414 section 3 inserts.
fn issuer(url: &str) -> Option<String> {
    let (before, name) = url.split_once("/.well-known/")?;
    let after = name.find('/').and_then(|at| name.get(at..)).unwrap_or_default();
    Some(format!("{before}{after}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_issuer_is_told_from_where_its_document_lies() {
        let check = |url: &str, expect: &str| assert_eq!(issuer(url).as_deref(), Some(expect), "{url}");
        check("https://idp.example/pool/.well-known/openid-configuration", "https://idp.example/pool");
        check("https://idp.example/.well-known/openid-configuration", "https://idp.example");
        check("https://idp.example/.well-known/oauth-authorization-server/tenant/1", "https://idp.example/tenant/1");
    }
}
