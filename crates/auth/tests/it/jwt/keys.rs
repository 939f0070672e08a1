//! Which key a token is held against, and which keys there are at all.

use std::time::Duration;

use innkeep_auth::jwt::{Algorithm, Error, Flaw, KeySet, Token, verify};
use innkeep_types::limits;
use serde_json::{Value, json};

use super::signer::base64;
use super::{ISSUER, NOW, Signer, check, claims, key_set, lax, rules, with, without};

/// Each algorithm with a key for it.
fn all() -> Vec<(&'static str, Signer)> {
    let rsa = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"].map(|name| (name, Signer::rsa()));
    let ec = [("ES256", Signer::es256()), ("ES384", Signer::es384()), ("ES512", Signer::es512())];
    rsa.into_iter().chain(ec).chain([("EdDSA", Signer::ed25519())]).collect()
}

#[test]
fn every_algorithm_verifies_with_its_own_key_and_no_other() {
    let signers = all();
    for (name, signer) in &signers {
        let token = signer.sign(&json!({"alg": name, "kid": "k"}), &claims());
        let identity = check(&token, &key_set(&[signer.jwk("k")]), &lax()).unwrap();
        assert_eq!(identity.subject.as_deref(), Some("alice"), "{name}");
        for (other, key) in &signers {
            // A key that is for one algorithm is for no other, though its type would do.
            let only = with(key.jwk("k"), "alg", json!(other));
            let verdict = check(&token, &key_set(&[only]), &lax());
            assert_eq!(verdict.is_ok(), name == other, "{name} with a key for {other}");
            assert!(name == other || verdict == Err(Error::NoKey), "{name} with a key for {other}: {verdict:?}");
        }
    }
}

#[test]
fn a_signature_of_one_algorithm_is_none_of_another() {
    for (name, signer) in all() {
        for (other, _) in all() {
            let token = signer.sign_text(name, &json!({"alg": other, "kid": "k"}).to_string(), &claims().to_string());
            let verdict = check(&token, &key_set(&[signer.jwk("k")]), &lax());
            let expect_ok = name == other;
            assert_eq!(verdict.is_ok(), expect_ok, "{name} as {other}");
            assert!(expect_ok || matches!(verdict, Err(Error::NoKey | Error::Signature)), "{name} as {other}");
        }
    }
}

#[test]
fn another_key_of_the_same_kind_does_not_verify() {
    for (name, make) in [
        ("ES256", Signer::es256 as fn() -> Signer),
        ("ES384", Signer::es384),
        ("ES512", Signer::es512),
        ("EdDSA", Signer::ed25519),
    ] {
        let token = make().sign(&json!({"alg": name, "kid": "k"}), &claims());
        assert_eq!(check(&token, &key_set(&[make().jwk("k")]), &lax()), Err(Error::Signature), "{name}");
    }
}

#[test]
fn a_kid_names_one_key_and_without_one_there_must_be_only_one_that_fits() {
    let (a, b, ed) = (Signer::es256(), Signer::es256(), Signer::ed25519());
    let named = |kid: Value| a.sign(&json!({"alg": "ES256", "kid": kid}), &claims());
    let unnamed = a.sign(&json!({"alg": "ES256"}), &claims());
    let [a_key, b_key, ed_key] = [a.jwk("a"), b.jwk("b"), ed.jwk("ed")];
    let nameless = without(a_key.clone(), "kid");
    let ok = |verdict: Result<_, Error>| verdict.map(|_: innkeep_auth::jwt::Identity| ());
    for (keys, token, expect) in [
        (vec![&a_key, &b_key, &ed_key], named(json!("a")), Ok(())),
        (vec![&a_key, &b_key, &ed_key], named(json!("b")), Err(Error::Signature)),
        (vec![&a_key, &b_key, &ed_key], named(json!("ed")), Err(Error::NoKey)),
        (vec![&a_key, &b_key, &ed_key], named(json!("c")), Err(Error::NoKey)),
        (vec![&a_key, &b_key, &ed_key], unnamed.clone(), Err(Error::AmbiguousKey)),
        (vec![&a_key, &ed_key], unnamed.clone(), Ok(())),
        (vec![&ed_key], unnamed.clone(), Err(Error::NoKey)),
        (vec![], unnamed.clone(), Err(Error::NoKey)),
        // The same key twice is one; two of one name are not.
        (vec![&a_key, &a_key], named(json!("a")), Ok(())),
        (vec![&a_key, &with(b_key.clone(), "kid", json!("a"))], named(json!("a")), Err(Error::AmbiguousKey)),
        (vec![&a_key, &with(ed_key.clone(), "kid", json!("a"))], named(json!("a")), Ok(())),
        // A key without a name is not the one that is named.
        (vec![&nameless], named(json!("a")), Err(Error::NoKey)),
        (vec![&nameless], unnamed, Ok(())),
        // A name is compared as it is: no paths, no case, nothing else.
        (vec![&a_key], named(json!("A")), Err(Error::NoKey)),
        (vec![&a_key], named(json!("../a")), Err(Error::NoKey)),
        (vec![&a_key], named(json!("a\0")), Err(Error::NoKey)),
        (vec![&a_key], named(json!("' OR '1'='1")), Err(Error::NoKey)),
        (vec![&a_key], named(json!("")), Err(Error::NoKey)),
        (vec![&a_key], named(Value::Null), Err(Error::Unparsable(Flaw::Member("kid")))),
        (vec![&a_key], named(json!(1)), Err(Error::Unparsable(Flaw::Member("kid")))),
        (vec![&a_key], named(json!(["a"])), Err(Error::Unparsable(Flaw::Member("kid")))),
        (vec![&a_key], named(json!("a".repeat(257))), Err(Error::Unparsable(Flaw::Member("kid")))),
    ] {
        let keys: Vec<Value> = keys.into_iter().cloned().collect();
        assert_eq!(ok(check(&token, &key_set(&keys), &lax())), expect, "{keys:?} {token}");
    }
}

#[test]
fn keys_that_are_not_for_us_are_left_out() {
    let (rsa, ec, ed) = (Signer::rsa().jwk("k"), Signer::es256().jwk("k"), Signer::ed25519().jwk("k"));
    let wide = Signer::es512().jwk("k");
    let modulus = |n_bytes: usize, first: u8, last: u8| {
        let mut n = vec![0xff; n_bytes];
        (n[0], n[n_bytes - 1]) = (first, last);
        json!(base64(&n))
    };
    let cases = [
        (&rsa, "n", modulus(256, 0x80, 1), 1),
        (&rsa, "n", modulus(256, 0x7f, 1), 0), // 2047 bits
        (&rsa, "n", modulus(128, 0x80, 1), 0),
        (&rsa, "n", modulus(1024, 0xff, 1), 1),
        (&rsa, "n", modulus(1025, 0x01, 1), 0), // 8193 bits
        (&rsa, "n", modulus(256, 0x80, 2), 0),
        (&rsa, "n", modulus(257, 0, 1), 1), // the sign's zero
        (&rsa, "n", json!(base64(&[0; 300])), 0),
        (&rsa, "n", json!(""), 0),
        (&rsa, "n", json!("AAAA="), 0),
        (&rsa, "n", json!(7), 0),
        (&rsa, "e", json!(base64(&[1])), 0),
        (&rsa, "e", json!(base64(&[2])), 0),
        (&rsa, "e", json!(base64(&[3])), 1),
        (&rsa, "e", json!(base64(&[0])), 0),
        (&rsa, "e", json!(base64(&[1; 6])), 0),
        (&rsa, "kty", json!("rsa"), 0),
        (&rsa, "kty", json!("oct"), 0),
        (&rsa, "kty", Value::Null, 0),
        (&rsa, "d", json!("AQAB"), 0), // published for all to sign with
        (&rsa, "use", json!("enc"), 0),
        (&rsa, "use", json!(["sig"]), 0),
        (&rsa, "key_ops", json!(["verify"]), 1),
        (&rsa, "key_ops", json!(["sign", "verify"]), 1),
        (&rsa, "key_ops", json!(["encrypt"]), 0),
        (&rsa, "key_ops", json!([]), 0),
        (&rsa, "key_ops", json!("verify"), 0),
        (&rsa, "alg", json!("PS512"), 1),
        (&rsa, "alg", json!("RSA-OAEP"), 0),
        (&rsa, "alg", json!("HS256"), 0),
        (&rsa, "alg", json!("none"), 0),
        (&rsa, "alg", json!("ES256"), 0), // of another type than the key
        (&rsa, "alg", Value::Null, 0),
        (&rsa, "kid", json!(1), 0),
        (&rsa, "kid", json!("k".repeat(257)), 0),
        (&rsa, "x5c", json!(["MIIB"]), 1), // not looked into
        (&ec, "crv", json!("P-384"), 0),
        (&ec, "crv", json!("P-521"), 0),
        (&ec, "crv", json!("secp256k1"), 0),
        (&ec, "crv", json!("Ed25519"), 0),
        (&ec, "x", json!(base64(&[1; 31])), 0),
        (&ec, "y", json!(base64(&[1; 33])), 0),
        (&ec, "kty", json!("OKP"), 0),
        (&wide, "crv", json!("P-521"), 1),
        (&wide, "crv", json!("P-384"), 0),
        (&wide, "alg", json!("ES512"), 1),
        (&wide, "alg", json!("ES256"), 0),
        (&wide, "x", json!(base64(&[0; 65])), 0),
        (&wide, "x", json!(base64(&[0; 67])), 0),
        (&wide, "x", json!(base64(&[0xff; 66])), 0), // beyond the field
        (&wide, "y", json!(base64(&[0; 66])), 0),    // off the curve
        (&wide, "y", wide["x"].clone(), 0),
        (&ed, "crv", json!("Ed448"), 0),
        (&ed, "crv", json!("X25519"), 0),
        (&ed, "x", json!(base64(&[1; 33])), 0),
        (&ed, "kty", json!("EC"), 0),
    ];
    for (key, name, value, n_keys) in cases {
        let key = with(key.clone(), name, value);
        assert_eq!(key_set(std::slice::from_ref(&key)).len(), n_keys, "{key}");
    }
}

#[test]
fn a_point_off_its_curve_verifies_nothing() {
    let signer = Signer::es256();
    let key = with(signer.jwk("k"), "y", json!(base64(&[7; 32])));
    let token = signer.sign(&json!({"alg": "ES256", "kid": "k"}), &claims());
    assert_eq!(check(&token, &key_set(&[key]), &lax()), Err(Error::Signature));
}

#[test]
fn a_key_set_is_bounded_and_said_in_one_way() {
    let key = Signer::es256().jwk("k").to_string();
    let set = |keys: &str| format!("{{\"keys\": [{keys}]}}").into_bytes();
    let many = |n: usize| set(&vec!["{}"; n].join(","));
    let long = " ".repeat(limits::MAX_KEY_SET_BYTES - set(&key).len() + 1) + &key;
    let deep = |n: usize| set(&format!("{}{}", "[".repeat(n), "]".repeat(n)));
    for (document, flaw) in [
        (many(101), Flaw::TooMany),
        (set(&vec!["0"; 5000].join(",")), Flaw::TooMany),
        (set(&long), Flaw::TooLong),
        (deep(15), Flaw::TooDeep),
        (deep(100_000), Flaw::TooDeep),
        (br#"{"keys": [], "keys": []}"#.to_vec(), Flaw::Duplicate),
        (set(r#"{"kty": "EC", "kty": "RSA"}"#), Flaw::Duplicate),
        (b"{}".to_vec(), Flaw::Member("keys")),
        (br#"{"keys": {}}"#.to_vec(), Flaw::Member("keys")),
        (b"[]".to_vec(), Flaw::Json),
        (b"".to_vec(), Flaw::Json),
        (b"\xef\xbb\xbf{\"keys\": []}".to_vec(), Flaw::Json),
        (b"{\"keys\": []} {}".to_vec(), Flaw::Json),
        (b"<html>not found</html>".to_vec(), Flaw::Json),
        (b"{\"keys\": [{\"kid\": \"\xff\"}]}".to_vec(), Flaw::Json),
    ] {
        assert_eq!(
            KeySet::parse(&document),
            Err(Error::KeySet(flaw)),
            "{}",
            document[..document.len().min(60)].escape_ascii()
        );
    }
    assert!(KeySet::parse(&many(100)).unwrap().is_empty());
    assert!(KeySet::parse(&deep(14)).unwrap().is_empty());
    assert!(KeySet::parse(&set(&format!("1, \"x\", null, [], {key}"))).unwrap().has(Some("k"), Algorithm::ES256));
}

#[test]
fn a_token_that_was_good_once_is_held_against_everything_again() {
    let signer = Signer::es256();
    let keys = key_set(&[signer.jwk("k")]);
    let token = Token::parse(&signer.sign(&json!({"alg": "ES256", "kid": "k"}), &claims())).unwrap();
    let after = |secs| NOW.plus(Duration::from_secs(secs));
    let strict = rules(json!({"allowedAudience": ["another-runtime"]}));
    for _ in 0..2 {
        assert!(verify(&token, &keys, ISSUER, &lax(), NOW).is_ok());
        assert_eq!(verify(&token, &keys, ISSUER, &lax(), after(3660)), Err(Error::Expired));
        assert_eq!(verify(&token, &keys, ISSUER, &strict, NOW), Err(Error::Mismatch("aud".to_owned())));
        assert_eq!(verify(&token, &keys, "https://other", &lax(), NOW), Err(Error::Mismatch("iss".to_owned())));
    }
    // The issuer has taken the key back, or given its name to another one.
    assert_eq!(verify(&token, &key_set(&[]), ISSUER, &lax(), NOW), Err(Error::NoKey));
    assert_eq!(verify(&token, &key_set(&[Signer::es256().jwk("k")]), ISSUER, &lax(), NOW), Err(Error::Signature));
}

#[test]
fn what_is_remembered_of_a_good_token_is_good_for_no_other() {
    let signer = Signer::es256();
    let keys = key_set(&[signer.jwk("k")]);
    let good = signer.sign(&json!({"alg": "ES256", "kid": "k"}), &claims());
    assert!(check(&good, &keys, &lax()).is_ok());
    let parts: Vec<&str> = good.split('.').collect();
    let root = base64(with(claims(), "sub", json!("root")).to_string().as_bytes());
    let other = base64(&[1; 64]);
    for forged in [[parts[0], &root, parts[2]], [parts[0], parts[1], &other]] {
        assert_eq!(check(&forged.join("."), &keys, &lax()), Err(Error::Signature));
    }
}
