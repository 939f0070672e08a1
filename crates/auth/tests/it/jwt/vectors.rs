//! The examples of RFC 7515 and 7517 whose payloads are claims; those with other payloads are beside the keys.

use innkeep_auth::jwt::{Algorithm, Error, KeySet, Token, verify};
use innkeep_types::UnixMillis;
use serde_json::{Value, json};

use super::{key_set, rules};

/// `{"iss":"joe", "exp":1300819380, "http://example.com/is_root":true}`.
const CLAIMS: &str = "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";

const RS256: &str = "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CU\
                     Ar7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_d\
                     O--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0ig\
                     cN_IoypGlUPQGe77Rw";
const RSA_N: &str = "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZ\
                     S-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2\
                     R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcD\
                     TW9gb54h4FRWyuXpoQ";

const ES256: &str = "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q";
const EC_X: &str = "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU";
const EC_Y: &str = "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0";

/// Just before the end of these tokens.
const THEN: UnixMillis = UnixMillis(1_300_819_379_000);

fn root(name: &str) -> Value {
    let value = json!({"matchValueString": name});
    json!({
        "inboundTokenClaimName": "http://example.com/is_root",
        "inboundTokenClaimValueType": "STRING",
        "authorizingClaimMatchValue": {"claimMatchValue": value, "claimMatchOperator": "EQUALS"},
    })
}

#[test]
fn the_signatures_of_rfc_7515_appendix_a_2_and_a_3_are_right() {
    let rsa = key_set(&[json!({"kty": "RSA", "n": RSA_N, "e": "AQAB"})]);
    let ec = key_set(&[json!({"kty": "EC", "crv": "P-256", "x": EC_X, "y": EC_Y})]);
    let rules = rules(json!({"customClaims": [root("true")]}));
    for (header, signature, keys, algorithm) in [
        ("eyJhbGciOiJSUzI1NiJ9", RS256, &rsa, Algorithm::RS256),
        ("eyJhbGciOiJFUzI1NiJ9", ES256, &ec, Algorithm::ES256),
    ] {
        let token = Token::parse(&format!("{header}.{CLAIMS}.{signature}")).unwrap();
        assert_eq!((token.algorithm(), token.kid(), token.issuer()), (algorithm, None, Some("joe")));
        // Issuer, time and signature are right, so what is refused is the claim: a boolean is no string.
        let refusal = verify(&token, keys, "joe", &rules, THEN);
        assert_eq!(refusal, Err(Error::Mismatch("http://example.com/is_root".to_owned())));
        let late = THEN.plus(std::time::Duration::from_secs(61));
        assert_eq!(verify(&token, keys, "joe", &rules, late), Err(Error::Expired));
        let other = if algorithm == Algorithm::RS256 { &ec } else { &rsa };
        assert_eq!(verify(&token, other, "joe", &rules, THEN), Err(Error::NoKey));
    }
}

#[test]
fn the_tokens_of_rfc_7515_with_other_algorithms_are_refused() {
    for header in ["eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9", "eyJhbGciOiJub25lIn0"] {
        assert_eq!(Token::parse(&format!("{header}.{CLAIMS}.AAAA")).unwrap_err(), Error::Algorithm);
    }
    // Appendix A.5 as it is printed: without a signature.
    assert!(matches!(Token::parse(&format!("eyJhbGciOiJub25lIn0.{CLAIMS}.")), Err(Error::Unparsable(_))));
}

#[test]
fn of_the_key_sets_of_rfc_7517_appendix_a_only_the_public_signature_key_is_taken() {
    let n = "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W\
             -5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyr\
             dkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw";
    let encryption = json!({
        "kty": "EC", "crv": "P-256", "x": "MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4",
        "y": "4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM", "use": "enc", "kid": "1",
    });
    let signature = json!({"kty": "RSA", "n": n, "e": "AQAB", "alg": "RS256", "kid": "2011-04-29"});
    let private = super::with(signature.clone(), "d", json!("X4cTteJY"));
    let symmetric = json!({"kty": "oct", "alg": "A128KW", "k": "GawgguFyGrWKav7AX4VKUg"});
    let hmac = json!({"kty": "oct", "k": "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ", "kid": "HMAC key"});
    let keys = key_set(&[encryption, signature]);
    assert_eq!(keys.len(), 1);
    assert!(keys.has(Some("2011-04-29"), Algorithm::RS256) && keys.has(None, Algorithm::RS256));
    assert!(!keys.has(Some("2011-04-29"), Algorithm::PS256) && !keys.has(Some("1"), Algorithm::ES256));
    assert!(key_set(&[private, symmetric, hmac]).is_empty());
    assert_eq!(KeySet::parse(br#"{"keys": []}"#).unwrap(), KeySet::default());
}
