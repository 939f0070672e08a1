//! What is a token at all.

use innkeep_auth::jwt::{Error, Flaw, Token};
use innkeep_types::{ErrorKind, limits};
use serde_json::json;

use super::signer::base64;
use super::{ISSUER, Signer, claims};

const HEADER: &str = r#"{"alg":"ES256"}"#;

/// A token of these texts, with something for a signature.
fn compact(header: &str, claims: &str) -> String {
    format!("{}.{}.c2ln", base64(header.as_bytes()), base64(claims.as_bytes()))
}

fn refuses(compact: &str, error: &Error) {
    let start: String = compact.chars().take(80).collect();
    assert_eq!(Token::parse(compact).as_ref().err(), Some(error), "{start}");
}

#[test]
fn a_token_has_three_parts_of_base64url() {
    let good = Signer::es256().sign(&json!({"alg": "ES256"}), &claims());
    assert_eq!(Token::parse(&good).unwrap().issuer(), Some(ISSUER));
    let [header, body, signature] = good.split('.').collect::<Vec<_>>()[..] else { unreachable!() };
    for (compact, flaw) in [
        (String::new(), Flaw::Parts),
        ("..".to_owned(), Flaw::Parts),
        (header.to_owned(), Flaw::Parts),
        (format!("{header}.{body}"), Flaw::Parts),
        (format!("{header}.{body}."), Flaw::Parts),
        (format!("{header}..{signature}"), Flaw::Parts),
        (format!(".{body}.{signature}"), Flaw::Parts),
        (format!("{good}."), Flaw::Parts),
        (format!("{good}.{signature}"), Flaw::Parts),
        (format!("{header}.a.b.c.{signature}"), Flaw::Parts), // an encrypted one
        (json!({"protected": header, "payload": body, "signature": signature}).to_string(), Flaw::Parts),
        (format!(" {good}"), Flaw::Base64),
        (format!("{good}\n"), Flaw::Base64),
        (format!("{header}.{body}.{signature}=="), Flaw::Base64),
        (format!("{header}.{body}.+/{signature}"), Flaw::Base64),
        (format!("{header}.{body}.{signature}AAA"), Flaw::Base64), // one character over
        (format!("{header}.{body}\n.{signature}"), Flaw::Base64),
        (format!("{header}.\u{e4}.{signature}"), Flaw::Base64),
        (format!("Bearer {good}"), Flaw::Base64),
    ] {
        refuses(&compact, &Error::Unparsable(flaw));
    }
}

#[test]
fn the_last_character_cannot_be_varied() {
    // 64 bytes leave four bits of the last character unused; with them set it would be another text of the same bytes.
    let good = Signer::es256().sign(&json!({"alg": "ES256"}), &claims());
    let (start, last) = good.split_at(good.len() - 1);
    let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let idx = alphabet.find(last).unwrap();
    assert_eq!(idx % 16, 0);
    for other in alphabet[idx + 1..idx + 16].chars() {
        refuses(&format!("{start}{other}"), &Error::Unparsable(Flaw::Base64));
    }
}

#[test]
fn both_texts_are_one_object_each_and_nothing_is_said_twice() {
    let claims = claims().to_string();
    for (header, body, flaw) in [
        ("", "{}", Flaw::Parts),
        ("null", "{}", Flaw::Json),
        (HEADER, "[]", Flaw::Json),
        (HEADER, "\"text\"", Flaw::Json),
        (HEADER, "{}{}", Flaw::Json),
        (HEADER, "{} x", Flaw::Json),
        (HEADER, "{'iss': 1}", Flaw::Json),
        (HEADER, "{\"exp\": NaN}", Flaw::Json),
        (HEADER, "{\"exp\": 1e999}", Flaw::Json),
        (HEADER, "{\"exp\": 01}", Flaw::Json),
        (HEADER, "{\"iss\": \"\\ud800\"}", Flaw::Json),
        (HEADER, "\u{feff}{}", Flaw::Json),
        (r#"{"alg":"ES256","alg":"none"}"#, &claims, Flaw::Duplicate),
        (r#"{"alg":"ES256","kid":"a","kid":"b"}"#, &claims, Flaw::Duplicate),
        (HEADER, r#"{"sub":"alice","sub":"root"}"#, Flaw::Duplicate),
        (HEADER, r#"{"sub":"alice","\u0073ub":"root"}"#, Flaw::Duplicate),
        (HEADER, r#"{"sub":"alice","sub":"alice"}"#, Flaw::Duplicate),
        (HEADER, r#"{"a":[{"b":{"c":1,"d":2,"c":3}}]}"#, Flaw::Duplicate),
    ] {
        refuses(&compact(header, body), &Error::Unparsable(flaw));
    }
    let not_utf8 = format!("{}.{}.c2ln", base64(HEADER.as_bytes()), base64(b"{\"iss\": \"\xff\"}"));
    refuses(&not_utf8, &Error::Unparsable(Flaw::Json));
    assert!(Token::parse(&compact(HEADER, r#"{"a":{"sub":"x"},"sub":"y"}"#)).is_ok());
}

#[test]
fn a_token_is_bounded() {
    let nested = |depth: usize| format!("{{\"a\":{}{}}}", "[".repeat(depth), "]".repeat(depth));
    let objects = |depth: usize| format!("{}1{}", "{\"a\":".repeat(depth), "}".repeat(depth));
    let many = |n: usize| format!("{{\"a\":[{}]}}", vec!["0"; n].join(","));
    for (depth, error) in [
        (15, None),
        (16, Some(Error::Unparsable(Flaw::TooDeep))),
        (2000, Some(Error::Unparsable(Flaw::TooDeep))),
        (20_000, Some(Error::Unparsable(Flaw::TooLong))),
    ] {
        assert_eq!(Token::parse(&compact(HEADER, &nested(depth))).err(), error, "{depth}");
        // There are more characters to an object.
        assert_eq!(Token::parse(&compact(HEADER, &objects(depth + 1))).is_ok(), error.is_none());
    }
    // The object and its array are values too.
    assert!(Token::parse(&compact(HEADER, &many(limits::MAX_TOKEN_VALUES - 2))).is_ok());
    refuses(&compact(HEADER, &many(limits::MAX_TOKEN_VALUES - 1)), &Error::Unparsable(Flaw::TooMany));
    refuses(&compact(HEADER, &format!("{{\"a\":\"{}\"}}", "x".repeat(12_000))), &Error::Unparsable(Flaw::TooLong));
    refuses(&"a.".repeat(100_000_000 / 2), &Error::Unparsable(Flaw::TooLong));
    let header = |n: usize| compact(&format!("{{\"alg\":\"ES256\",\"x5c\":\"{}\"}}", "x".repeat(n)), "{}");
    assert!(Token::parse(&header(3000)).is_ok());
    refuses(&header(3100), &Error::Unparsable(Flaw::TooLong));
}

#[test]
fn a_header_says_what_we_have() {
    for (header, error) in [
        (json!({}), Error::Unparsable(Flaw::Member("alg"))),
        (json!({"alg": null}), Error::Unparsable(Flaw::Member("alg"))),
        (json!({"alg": ["ES256"]}), Error::Unparsable(Flaw::Member("alg"))),
        (json!({"alg": "none"}), Error::Algorithm),
        (json!({"alg": "None"}), Error::Algorithm),
        (json!({"alg": "nOnE"}), Error::Algorithm),
        (json!({"alg": ""}), Error::Algorithm),
        (json!({"alg": "es256"}), Error::Algorithm),
        (json!({"alg": "ES256 "}), Error::Algorithm),
        (json!({"alg": "ES256K"}), Error::Algorithm),
        (json!({"alg": "es512"}), Error::Algorithm),
        (json!({"alg": "RS1"}), Error::Algorithm),
        (json!({"alg": "HS256"}), Error::Algorithm),
        (json!({"alg": "HS384"}), Error::Algorithm),
        (json!({"alg": "HS512"}), Error::Algorithm),
        (json!({"alg": "dir", "enc": "A256GCM"}), Error::Algorithm),
        (json!({"alg": "RSA-OAEP"}), Error::Algorithm),
        (json!({"alg": "ES256", "crit": ["exp"], "exp": 1}), Error::Critical),
        (json!({"alg": "ES256", "crit": []}), Error::Critical),
        (json!({"alg": "ES256", "crit": null}), Error::Critical),
        (json!({"alg": "ES256", "b64": false}), Error::Critical),
        (json!({"alg": "ES256", "typ": 1}), Error::Unparsable(Flaw::Member("typ"))),
        (json!({"alg": "ES256", "typ": "logout+jwt"}), Error::Type),
        (json!({"alg": "ES256", "typ": "dpop+jwt"}), Error::Type),
        (json!({"alg": "ES256", "typ": "application/secevent+JWT"}), Error::Type),
    ] {
        refuses(&compact(&header.to_string(), "{}"), &error);
    }
    for typ in ["JWT", "jwt", "at+jwt", "AT+JWT", "application/at+jwt", "JOSE", "Bearer", ""] {
        assert!(Token::parse(&compact(&json!({"alg": "ES256", "typ": typ}).to_string(), "{}")).is_ok(), "{typ}");
    }
}

#[test]
fn what_is_no_token_is_a_403_and_what_is_a_bad_one_a_401() {
    let error = Token::parse("x").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AccessDenied);
    assert_eq!(error.to_string(), "OAuth authorization failed: Failed to parse token");
    let cause = std::error::Error::source(&error).unwrap().to_string();
    assert_eq!(cause, "it does not have three non-empty parts, separated by dots");
    let error = Token::parse(&compact(r#"{"alg":"none"}"#, "{}")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unauthorized);
}
