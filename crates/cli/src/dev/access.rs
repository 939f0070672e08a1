//! `--auth`: how the agent under development is open to callers, and what its own caller, PROMPT, shows.

use std::time::Duration;

use clap::ValueEnum;
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderValue};
use innkeep_auth::{DevIssuer, dev_issuer};
use innkeep_sdk::Client;
use innkeep_types::{Clock, RuntimeName, SystemClock};
use serde_json::{Value, json};

use crate::context::Context;
use crate::failure::{Code, Failure};
use crate::{resolve, snippets, token};

/// Whom tokens of the dev issuer must be for.
const AUDIENCE: &str = "innkeep-dev";

/// Whose token PROMPT is asked with, and commands to paste make.
const SUBJECT: &str = "alice";

/// The way in that is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Auth {
    /// Signatures of access keys
    Sigv4,
    /// Tokens of the built-in dev issuer
    Jwt,
}

/// The way in that there is.
#[derive(Debug)]
pub(super) struct Access {
    /// `authorizerConfiguration`. Absent: that of the version before; null: none.
    pub(super) authorizer: Option<Value>,
    issuer: Option<DevIssuer>,
}

impl Access {
    /// Returns what `asked` comes to with the server that is used. Without a wish it is as before, but for a dev issuer that is no more.
    pub(super) async fn find(
        asked: Option<Auth>,
        context: &Context,
        client: &Client,
        name: &RuntimeName,
    ) -> Result<Self, Failure> {
        let running = context.dev_issuer_at(&client.endpoint().url)?;
        match asked {
            Some(Auth::Jwt) => Self::tokens(context, client, running.as_deref()),
            Some(Auth::Sigv4) => Ok(Self { authorizer: Some(Value::Null), issuer: None }),
            None => {
                let before = discovery_url(client, name).await?;
                let is_gone = before.is_some_and(|url| is_leftover(&url, running.as_deref()));
                if is_gone {
                    context
                        .out
                        .note("the dev issuer whose tokens the agent took is off: it takes signatures again (`--auth jwt` turns that on)");
                }
                Ok(Self { authorizer: is_gone.then_some(Value::Null), issuer: None })
            }
        }
    }

    fn tokens(context: &Context, client: &Client, running: Option<&str>) -> Result<Self, Failure> {
        if running.is_none() {
            let message = format!("the server at {} has no dev issuer that is known here", client.endpoint().url);
            return Err(Failure::new(Code::Failed, message).with_fix(
                "end it, and `innkeep dev --auth jwt` starts one that has; or start it as `innkeep serve --dev-issuer`",
            ));
        }
        let issuer = token::load(context)?;
        let rules = json!({"discoveryUrl": issuer.discovery_url(), "allowedAudience": [AUDIENCE]});
        Ok(Self { authorizer: Some(json!({"customJWTAuthorizer": rules})), issuer: Some(issuer) })
    }

    /// Tells whether it takes tokens of the dev issuer.
    pub(super) fn is_for_tokens(&self) -> bool {
        self.issuer.is_some()
    }

    /// Returns the headers that PROMPT is asked with, besides what signs it where that does.
    pub(super) fn headers(&self) -> Result<HeaderMap, Failure> {
        let Some(issuer) = &self.issuer else { return Ok(HeaderMap::new()) };
        let claims = token::claims(SUBJECT, vec![AUDIENCE.to_owned()], SystemClock.now(), Duration::from_secs(3600));
        let token = token::sign(issuer, &claims)?;
        let mut value = HeaderValue::try_from(format!("Bearer {token}"))
            .map_err(|_| Failure::new(Code::Failed, "the token is none"))?;
        value.set_sensitive(true);
        Ok(HeaderMap::from_iter([(AUTHORIZATION, value)]))
    }

    /// Says whose tokens are taken, and what that is worth.
    pub(super) fn note(&self) -> Option<String> {
        let issuer = self.issuer.as_ref()?.issuer();
        Some(format!(
            "it takes tokens of the dev issuer {issuer} with aud {AUDIENCE}; for development: whoever can read the data directory can \
             be anybody"
        ))
    }
}

/// Returns the command that makes a token, as a word of a POSIX shell.
pub(super) fn token_word(context: &Context) -> String {
    format!("\"$({} token --sub {SUBJECT} --aud {AUDIENCE})\"", snippets::program(context))
}

/// Returns whose tokens the newest version takes, if it takes tokens.
async fn discovery_url(client: &Client, name: &RuntimeName) -> Result<Option<String>, Failure> {
    let Some(runtime) = resolve::by_name(client, name).await? else { return Ok(None) };
    let document = client.runtime_document(&runtime.id, None).await?;
    let authorizer = document.get("authorizerConfiguration").unwrap_or(&Value::Null);
    Ok(authorizer["customJWTAuthorizer"]["discoveryUrl"].as_str().map(str::to_owned))
}

/// Tells whether a discovery URL is that of a dev issuer other than the one that is `running`.
fn is_leftover(discovery_url: &str, running: Option<&str>) -> bool {
    let name = discovery_url.strip_suffix(dev_issuer::DISCOVERY).filter(|name| name.ends_with(dev_issuer::PATH));
    name.is_some_and(|name| running != Some(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_dev_issuer_that_is_no_more_is_left_over() {
        let here = "http://127.0.0.1:7080/innkeep/dev-issuer";
        let check = |url: &str, running, expect| assert_eq!(is_leftover(url, running), expect, "{url} {running:?}");
        let discovery = format!("{here}/.well-known/openid-configuration");
        check(&discovery, Some(here), false);
        check(&discovery, None, true);
        check(&discovery, Some("http://127.0.0.1:1/innkeep/dev-issuer"), true);
        check("https://idp.example.com/.well-known/openid-configuration", None, false);
    }
}
