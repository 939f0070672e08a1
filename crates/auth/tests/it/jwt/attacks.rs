//! Tokens that somebody made who has no key of the issuer.

use innkeep_auth::jwt::{Error, Flaw, KeySet, Token};
use ring::hmac;
use serde_json::{Value, json};

use super::signer::base64;
use super::{Signer, check, check_claims, claims, key_set, lax, rules, with, without};

#[test]
fn a_public_key_is_no_secret_to_sign_with() {
    // The oldest of all: HS256 with the issuer's public key, which everybody has, as the secret.
    let key = Signer::rsa().jwk("k");
    let secret = hmac::Key::new(hmac::HMAC_SHA256, key["n"].as_str().unwrap().as_bytes());
    for algorithm in ["HS256", "RS256"] {
        let header = base64(json!({"alg": algorithm, "kid": "k"}).to_string().as_bytes());
        let signed = format!("{header}.{}", base64(claims().to_string().as_bytes()));
        let token = format!("{signed}.{}", base64(hmac::sign(&secret, signed.as_bytes()).as_ref()));
        let expect = if algorithm == "HS256" { Error::Algorithm } else { Error::Signature };
        assert_eq!(check(&token, &key_set(std::slice::from_ref(&key)), &lax()), Err(expect));
    }
}

#[test]
fn keys_that_a_token_brings_along_are_not_used() {
    let (issuer, attacker) = (Signer::es256(), Signer::es256());
    let keys = key_set(&[issuer.jwk("k")]);
    for (name, value) in [
        ("jwk", attacker.jwk("k")),
        ("jku", json!("https://attacker.example/jwks.json")),
        ("x5u", json!("https://attacker.example/chain.pem")),
        ("x5c", json!(["MIIB"])),
        ("x5t", json!("AAAA")),
        ("x5t#S256", json!("AAAA")),
    ] {
        let header = with(json!({"alg": "ES256", "kid": "k"}), name, value.clone());
        assert_eq!(check(&attacker.sign(&header, &claims()), &keys, &lax()), Err(Error::Signature), "{name}");
        assert!(check(&issuer.sign(&header, &claims()), &keys, &lax()).is_ok(), "{name}");
        let unnamed = without(header, "kid");
        assert_eq!(check(&attacker.sign(&unnamed, &claims()), &keys, &lax()), Err(Error::Signature), "{name}");
        let other = with(unnamed, "kid", json!("attacker"));
        assert_eq!(check(&attacker.sign(&other, &claims()), &keys, &lax()), Err(Error::NoKey), "{name}");
    }
}

#[test]
fn signatures_that_are_none_do_not_verify() {
    for (algorithm, signer) in
        [("ES256", Signer::es256()), ("ES512", Signer::es512()), ("EdDSA", Signer::ed25519()), ("RS256", Signer::rsa())]
    {
        let keys = key_set(&[signer.jwk("k")]);
        let good = signer.sign(&json!({"alg": algorithm, "kid": "k"}), &claims());
        let (signed, signature) = good.rsplit_once('.').unwrap();
        let bytes = signature.len() * 3 / 4;
        // Zeros were once a signature of everything (CVE-2022-21449).
        for forged in
            [vec![0; bytes], vec![0xff; bytes], vec![0; 1], vec![0; 2 * bytes], [vec![0; bytes - 1], vec![1]].concat()]
        {
            let token = format!("{signed}.{}", base64(&forged));
            assert_eq!(check(&token, &keys, &lax()), Err(Error::Signature), "{algorithm} {}", forged.len());
        }
    }
}

#[test]
fn a_signature_of_ecdsa_in_der_is_not_taken() {
    let signer = Signer::es256();
    let good = signer.sign(&json!({"alg": "ES256", "kid": "k"}), &claims());
    let (signed, _) = good.rsplit_once('.').unwrap();
    let der = [&[0x30, 0x44, 0x02, 0x20][..], &[0x11; 32], &[0x02, 0x20], &[0x11; 32]].concat();
    let token = format!("{signed}.{}", base64(&der));
    assert_eq!(check(&token, &key_set(&[signer.jwk("k")]), &lax()), Err(Error::Signature));
}

#[test]
fn parts_of_two_good_tokens_make_no_third() {
    let signer = Signer::ed25519();
    let keys = key_set(&[signer.jwk("k"), signer.jwk("l")]);
    let token =
        |kid: &str, sub: &str| signer.sign(&json!({"alg": "EdDSA", "kid": kid}), &with(claims(), "sub", json!(sub)));
    let (one, other) = (token("k", "alice"), token("l", "root"));
    let [a, b]: [Vec<&str>; 2] = [&one, &other].map(|token| token.split('.').collect());
    for parts in [[a[0], b[1], a[2]], [a[0], b[1], b[2]], [b[0], a[1], a[2]], [a[0], a[1], b[2]]] {
        assert_eq!(check(&parts.join("."), &keys, &lax()), Err(Error::Signature));
    }
    assert!(check(&one, &keys, &lax()).is_ok() && check(&other, &keys, &lax()).is_ok());
}

#[test]
fn a_token_for_another_runtime_does_not_open_this_one() {
    let claims = with(claims(), "aud", json!("another-runtime"));
    assert_eq!(check_claims(&claims, &lax()), Err(Error::Mismatch("aud".to_owned())));
}

#[test]
fn the_rules_are_told_to_nobody_without_a_signature() {
    let attacker = Signer::es256();
    let keys = key_set(&[Signer::es256().jwk("k")]);
    for claims in [
        with(claims(), "aud", json!("x")),
        with(claims(), "iss", json!("x")),
        with(claims(), "exp", json!(1)),
        without(claims(), "exp"),
    ] {
        let token = attacker.sign(&json!({"alg": "ES256", "kid": "k"}), &claims);
        assert_eq!(check(&token, &keys, &lax()), Err(Error::Signature));
    }
}

#[test]
fn nothing_of_a_token_is_in_what_we_say_about_it() {
    const MARK: &str = "zanzibar";
    let signer = Signer::es256();
    let header = json!({"alg": "ES256", "kid": MARK, MARK: MARK});
    let marked = with(claims(), MARK, json!(MARK));
    let said = |value: &dyn std::fmt::Debug| format!("{value:?}");
    let good = Token::parse(&signer.sign(&header, &marked)).unwrap();
    assert_eq!(said(&good), "Token { algorithm: ES256, .. }");
    let keys = key_set(&[signer.jwk(MARK)]);
    let strict = rules(json!({"allowedClients": ["app"], "allowedScopes": ["agents/invoke"]}));
    let wrong = json!([MARK, {MARK: MARK}]);
    for name in ["iss", "exp", "nbf", "iat", "sub", "client_id", "scope"] {
        let token = signer.sign(&header, &with(marked.clone(), name, wrong.clone()));
        let error = check(&token, &keys, &strict).unwrap_err();
        assert!(!format!("{error} {error:?}").contains(MARK), "{error:?}");
    }
    for (header, body) in [
        (json!({"alg": MARK}), "{}".to_owned()),
        (json!({"alg": "ES256", "kid": [MARK]}), "{}".to_owned()),
        (json!({"alg": "ES256", "typ": format!("{MARK}+jwt")}), "{}".to_owned()),
        (json!({"alg": "ES256"}), format!("{{\"{MARK}\": 1, \"{MARK}\": 2}}")),
        (json!({"alg": "ES256"}), format!("{{\"{MARK}\": {MARK}}}")),
    ] {
        let error = Token::parse(&signer.sign_text("ES256", &header.to_string(), &body)).unwrap_err();
        let source = std::error::Error::source(&error).map(ToString::to_string);
        assert!(!format!("{error} {error:?} {source:?}").contains(MARK), "{error:?}");
    }
}

#[test]
fn a_key_set_of_one_issuer_is_worth_nothing_for_another() {
    let signer = Signer::es256();
    let keys = KeySet::parse(json!({"keys": [signer.jwk("k")]}).to_string().as_bytes()).unwrap();
    for issuer in [
        json!("https://idp.example/realm/"),
        json!("https://idp.example/Realm"),
        json!("http://idp.example/realm"),
        json!("https://idp.example"),
        json!("https://idp.example/realm\0"),
        json!("https://idp.example/realm%20"),
    ] {
        let token = signer.sign(&json!({"alg": "ES256", "kid": "k"}), &with(claims(), "iss", issuer));
        assert_eq!(check(&token, &keys, &lax()), Err(Error::Mismatch("iss".to_owned())));
    }
    for (claims, error) in [
        (without(claims(), "iss"), Error::Mismatch("iss".to_owned())),
        (with(claims(), "iss", json!("")), Error::Malformed("iss")),
        (with(claims(), "iss", Value::Null), Error::Malformed("iss")),
        (with(claims(), "iss", json!([super::ISSUER])), Error::Malformed("iss")),
    ] {
        let token = signer.sign(&json!({"alg": "ES256", "kid": "k"}), &claims);
        assert_eq!(check(&token, &keys, &lax()), Err(error));
    }
    assert_eq!(Token::parse("a.b.c").unwrap_err(), Error::Unparsable(Flaw::Base64));
}
