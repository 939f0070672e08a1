//! Bearer tokens from outside: real keys, real signatures.

mod attacks;
mod clock;
mod configuration;
mod demands;
mod keys;
mod properties;
mod signer;
mod tokens;
mod vectors;

use innkeep_auth::jwt::{Error, Identity, KeySet, Rules, Token, verify};
use innkeep_types::UnixMillis;
use serde_json::{Value, json};

use self::signer::Signer;

const ISSUER: &str = "https://idp.example/realm";

/// 2026-11-20T10:00:00Z, in the two units.
const NOW: UnixMillis = UnixMillis(1_795_168_800_000);
const NOW_SECS: i64 = 1_795_168_800;

/// Claims that [`demands`] are content with.
fn claims() -> Value {
    json!({
        "iss": ISSUER,
        "sub": "alice",
        "aud": ["agents", "others"],
        "client_id": "app",
        "scope": "openid agents/invoke",
        "iat": NOW_SECS,
        "nbf": NOW_SECS,
        "exp": NOW_SECS + 3600,
        "tenant": "acme",
        "cognito:groups": ["readers", "writers"],
    })
}

fn with(mut object: Value, name: &str, value: Value) -> Value {
    object[name] = value;
    object
}

fn without(mut object: Value, name: &str) -> Value {
    object.as_object_mut().unwrap().remove(name).unwrap();
    object
}

/// An authorizer with these members and a discovery URL.
fn rules(demands: Value) -> Rules {
    let url = json!("https://idp.example/realm/.well-known/openid-configuration");
    Rules::from_configuration(&with(demands, "discoveryUrl", url)).unwrap()
}

/// An authorizer that demands little.
fn lax() -> Rules {
    rules(json!({"allowedAudience": ["agents"]}))
}

fn key_set(keys: &[Value]) -> KeySet {
    KeySet::parse(json!({"keys": keys}).to_string().as_bytes()).unwrap()
}

/// What a server does that trusts `keys`.
fn check(compact: &str, keys: &KeySet, rules: &Rules) -> Result<Identity, Error> {
    verify(&Token::parse(compact)?, keys, ISSUER, rules, NOW)
}

/// A token of the one key that there is.
fn check_claims(claims: &Value, rules: &Rules) -> Result<Identity, Error> {
    let signer = Signer::es256();
    let compact = signer.sign(&json!({"alg": "ES256", "kid": "one"}), claims);
    check(&compact, &key_set(&[signer.jwk("one")]), rules)
}
