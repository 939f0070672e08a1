//! Whatever comes in, reading it ends in a result, and only what an issuer signed is true.

use std::sync::LazyLock;

use innkeep_auth::jwt::{KeySet, Rules, Token};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use serde_json::{Value, json};

use super::signer::base64;
use super::{Signer, check, claims, key_set, lax};

/// What tells an interesting token from noise.
const WORDS: [&str; 24] = [
    "alg",
    "kid",
    "typ",
    "crit",
    "jwk",
    "iss",
    "sub",
    "aud",
    "exp",
    "nbf",
    "iat",
    "scope",
    "client_id",
    "ES256",
    "RS256",
    "none",
    "EdDSA",
    "HS256",
    "agents",
    "kty",
    "keys",
    "n",
    "e",
    "x",
];

/// A good token of each key, and the keys.
static GOOD: LazyLock<(Vec<String>, KeySet)> = LazyLock::new(|| {
    let signers = [
        ("ES256", Signer::es256()),
        ("EdDSA", Signer::ed25519()),
        ("RS256", Signer::rsa()),
        ("ES384", Signer::es384()),
        ("ES512", Signer::es512()),
    ];
    let tokens = signers.iter().map(|(name, key)| key.sign(&json!({"alg": name, "kid": name}), &claims())).collect();
    let keys: Vec<Value> = signers.iter().map(|(name, key)| key.jwk(name)).collect();
    (tokens, key_set(&keys))
});

fn json_values() -> impl Strategy<Value = Value> {
    let word = select(&WORDS[..]).prop_map(str::to_owned);
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        word.clone().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 40, 6, move |inner| {
        let members =
            vec((word.clone(), inner.clone()), 0..6).prop_map(|members| members.into_iter().collect::<Value>());
        prop_oneof![vec(inner, 0..6).prop_map(Value::from), members]
    })
}

/// The same object with one member replaced.
fn edited(mut object: Value, name: &str, value: Value) -> Value {
    object[name] = value;
    object
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn any_text_and_any_bytes(text in any::<String>(), bytes in vec(any::<u8>(), 0..400)) {
        let _ = Token::parse(&text);
        let _ = Token::parse(&[&base64(&bytes), ".", &text, ".", &base64(&bytes)].concat());
        let _ = KeySet::parse(&bytes);
        let _ = KeySet::parse(text.as_bytes());
    }

    #[test]
    fn any_json_for_header_claims_keys_and_authorizer(name in select(&WORDS[..]), value in json_values()) {
        let (_, keys) = &*GOOD;
        let header = edited(json!({"alg": "ES256"}), name, value.clone());
        let compact = format!("{}.{}.c2ln", base64(header.to_string().as_bytes()), base64(value.to_string().as_bytes()));
        prop_assert!(check(&compact, keys, &lax()).is_err());
        let key = edited(Signer::ed25519().jwk("k"), name, value.clone());
        let _ = KeySet::parse(json!({"keys": [value, key]}).to_string().as_bytes());
        let _ = KeySet::parse(value.to_string().as_bytes());
        let _ = Rules::from_configuration(&value);
    }

    #[test]
    fn signed_claims_of_any_kind(name in select(&WORDS[..]), value in json_values()) {
        let signer = Signer::ed25519();
        let compact = signer.sign(&json!({"alg": "EdDSA"}), &edited(claims(), name, value));
        let _ = check(&compact, &key_set(&[signer.jwk("k")]), &lax());
    }

    #[test]
    fn a_good_token_with_characters_changed(
        which in any::<Index>(),
        edits in vec((any::<Index>(), select(&b"ABYZabyz0189-_.=+/ "[..])), 1..4),
        cut in any::<Index>(),
    ) {
        let (tokens, keys) = &*GOOD;
        let good = which.get(tokens);
        prop_assert!(check(good, keys, &lax()).is_ok());
        let mut bytes = good.clone().into_bytes();
        edits.iter().for_each(|(at, to)| *at.get_mut(&mut bytes) = *to);
        bytes.truncate(bytes.len() / 2 + cut.index(bytes.len()));
        let changed = String::from_utf8(bytes).unwrap();
        prop_assert!(changed == *good || check(&changed, keys, &lax()).is_err(), "{changed}");
    }

    #[test]
    fn a_good_token_with_bytes_changed_below_its_encoding(
        which in any::<Index>(),
        part in 0..3_usize,
        at in any::<Index>(),
        flip in 1..=255_u8,
    ) {
        use base64::Engine;
        let (tokens, keys) = &*GOOD;
        let mut parts: Vec<String> = which.get(tokens).split('.').map(str::to_owned).collect();
        let mut bytes = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(&parts[part]).unwrap();
        *at.get_mut(&mut bytes) ^= flip;
        parts[part] = base64(&bytes);
        prop_assert!(check(&parts.join("."), keys, &lax()).is_err(), "{parts:?}");
    }
}
