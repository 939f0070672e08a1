//! Tokens: user and password, or nothing, for a token that lets pull from one repository. Source: the token and OAuth2
//! specifications of github.com/distribution/distribution.

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method, StatusCode, Uri};
use innkeep_fetch::Error as HttpError;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;

use crate::image::Problem;
use crate::image::registry::Registry;
use crate::image::registry::credentials::{Login, Proof};
use crate::retry::Retry;

/// The largest answer of a token service, bytes.
const MAX_TOKEN_BYTES: usize = 256 << 10;

const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

#[derive(Deserialize)]
struct Token {
    #[serde(default)]
    token: String,
    #[serde(default)]
    access_token: String,
}

/// Gets a token from `realm`.
pub(super) async fn fetch(
    registry: &Registry<'_>,
    realm: &str,
    service: &str,
    login: Option<&Login>,
) -> Result<HeaderValue, Problem> {
    let what = "a token";
    let encoded = |text: &str| utf8_percent_encode(text, UNRESERVED).to_string();
    let scope = encoded(&format!("repository:{}:pull", registry.repository));
    let about = format!("service={}&scope={scope}", encoded(service));
    let plain: Uri = realm.parse().unwrap_or_default();
    let is_fine = match plain.scheme_str() {
        Some("https") => true,
        Some("http") => registry.may_be_plain(&plain),
        _ => false,
    };
    if !is_fine {
        return Err(registry.redirect(what, &plain, "which is not TLS"));
    }
    let mut headers = HeaderMap::new();
    let (method, uri, body) = match login.map(|login| &login.proof) {
        Some(Proof::IdentityToken(secret)) => {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"));
            let form =
                format!("grant_type=refresh_token&client_id=innkeep&{about}&refresh_token={}", encoded(&secret.0));
            (Method::POST, plain, Bytes::from(form))
        }
        _ => {
            headers.extend(login.and_then(Login::basic).map(|basic| (AUTHORIZATION, basic)));
            let separator = if plain.query().is_some() { '&' } else { '?' };
            let uri = format!("{realm}{separator}{about}").parse();
            (Method::GET, uri.map_err(|_| registry.redirect(what, &plain, "by an address that is none"))?, Bytes::new())
        }
    };
    let mut retry = Retry::default();
    let mut answer = loop {
        let sent = registry.registries.http.send(method.clone(), &uri, headers.clone(), body.clone()).await;
        let may_pass = sent.as_ref().map_or_else(HttpError::may_pass, |answer| answer.status.is_server_error());
        if may_pass && retry.again().await {
            continue;
        }
        break sent.map_err(|error| registry.unreachable(what, error))?;
    };
    match answer.status {
        StatusCode::OK => {}
        StatusCode::BAD_REQUEST | StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => return Err(registry.denied()),
        _ => return Err(registry.refusal(answer, &uri, what).await),
    }
    let json = answer.body.collect(MAX_TOKEN_BYTES).await.map_err(|error| registry.unreachable(what, error))?;
    let Token { token, access_token } = serde_json::from_slice(&json).map_err(|_| registry.denied())?;
    let token = if token.is_empty() { access_token } else { token };
    let mut value = HeaderValue::try_from(format!("Bearer {token}")).map_err(|_| registry.denied())?;
    value.set_sensitive(true);
    Ok(value)
}
