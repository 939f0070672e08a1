//! The examples of RFC 7515, 7520 and 8037, whose payloads are no claims.

use serde_json::json;

use super::*;

fn checks(key: &Value, algorithm: Algorithm, signed: &str, signature: &str) {
    let key = Key::parse(key.as_object().unwrap()).unwrap();
    let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
    assert!(key.fits(algorithm));
    assert!(key.verifies(algorithm, signed.as_bytes(), &signature));
    assert!(!key.verifies(algorithm, &signed.as_bytes()[1..], &signature));
    let mut other = signature.clone();
    other[10] ^= 1;
    assert!(!key.verifies(algorithm, signed.as_bytes(), &other));
    assert!(!key.verifies(algorithm, signed.as_bytes(), b""));
}

#[test]
fn rfc_7515_appendix_a_4() {
    let key = json!({
        "kty": "EC", "crv": "P-521",
        "x": "AekpBQ8ST8a8VcfVOTNl353vSrDCLLJXmPk06wTjxrrjcBpXp5EOnYG_NjFZ6OvLFV1jSfS9tsz4qUxcWceqwQGk",
        "y": "ADSmRA43Z1DSNx_RvcLI87cdL07l6jQyyBXMoxVg_l2Th-x3S1WDhjDly79ajL4Kkd0AZMaZmh9ubmf63e3kyMj2",
    });
    let signed = "eyJhbGciOiJFUzUxMiJ9.UGF5bG9hZA";
    let signature = "AdwMgeerwtHoh-l192l60hp9wAHZFVJbLfD_UxMi70cwnZOYaRI1bKPWROc-mZZqwqT2SI-KGDKB34XO0aw_7XdtAG8GaSwFKdCAPZgoXD2YBJZCPEX3xKpR\
                     wcdOO8KpEHwJjyqOgzDO7iKvU8vcnwNrmxYbSW9ERBXukOXolLzeO_Jn";
    checks(&key, Algorithm::ES512, signed, signature);
    let key = Key::parse(key.as_object().unwrap()).unwrap();
    let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
    assert_eq!(signature.len(), 132);
    for other in [Algorithm::ES256, Algorithm::ES384, Algorithm::RS512, Algorithm::EdDSA] {
        assert!(!key.fits(other) && !key.verifies(other, signed.as_bytes(), &signature), "{other:?}");
    }
    // One zero more or less in front of r or s is another spelling of the same numbers.
    let (r, s) = signature.split_at(66);
    for spelled in [[&[0], r, s].concat(), [&r[1..], s].concat(), [r, &[0], s].concat(), [s, r].concat()] {
        assert!(!key.verifies(Algorithm::ES512, signed.as_bytes(), &spelled));
    }
}

#[test]
fn rfc_8037_appendix_a_4() {
    let key = json!({"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"});
    let signed = "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc";
    let signature = "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg";
    checks(&key, Algorithm::EdDSA, signed, signature);
}

#[test]
fn rfc_7520_sections_4_1_and_4_2() {
    let key = json!({
        "kty": "RSA", "kid": "bilbo.baggins@hobbiton.example", "use": "sig", "e": "AQAB",
        "n": "n4EPtAOCc9AlkeQHPzHStgAbgs7bTZLwUBZdR8_KuKPEHLd4rHVTeT-O-XV2jRojdNhxJWTDvNd7nqQ0VEiZQHz_AJmSCpMaJMRBSFKrKb2wqVwGU_NsYO\
              YL-QtiWN2lbzcEe6XC0dApr5ydQLrHqkHHig3RBordaZ6Aj-oBHqFEHYpPe7Tpe-OfVfHd1E6cS6M1FZcD1NNLYD5lFHpPI9bTwJlsde3uhGqC0ZCuEHg8\
              lhzwOHrtIQbS0FVbb9k3-tVTU4fg_3L_vniUFAKwuCLqKnS2BYwdq_mzSnbLY7h_qixoR7jig3__kRhuaxwUkRz5iaiQkqgc5gHdrNP5zw",
    });
    let payload = "SXTigJlzIGEgZGFuZ2Vyb3VzIGJ1c2luZXNzLCBGcm9kbywgZ29pbmcgb3V0IHlvdXIgZG9vci4gWW91IHN0ZXAgb250byB0aGUgcm9hZCwgYW5kIG\
                   lmIHlvdSBkb24ndCBrZWVwIHlvdXIgZmVldCwgdGhlcmXigJlzIG5vIGtub3dpbmcgd2hlcmUgeW91IG1pZ2h0IGJlIHN3ZXB0IG9mZiB0by4";
    let rs256 = "MRjdkly7_-oTPTS3AXP41iQIGKa80A0ZmTuV5MEaHoxnW2e5CZ5NlKtainoFmKZopdHM1O2U4mwzJdQx996ivp83xuglII7PNDi84wnB-BDkoBwA78185h\
                 X-Es4JIwmDLJK3lfWRa-XtL0RnltuYv746iYTh_qHRD68BNt1uSNCrUCTJDt5aAE6x8wW1Kt9eRo4QPocSadnHXFxnt8Is9UzpERV0ePPQdLuW3IS_de3x\
                 yIrDaLGdjluPxUAhb6L2aXic1U12podGU0KLUQSE_oI-ZnmKJ3F4uOZDnd6QZWJushZ41Axf_fcIe8u9ipH84ogoree7vjbU5y18kDquDg";
    let ps384 = "cu22eBqkYDKgIlTpzDXGvaFfz6WGoz7fUDcfT0kkOy42miAh2qyBzk1xEsnk2IpN6-tPid6VrklHkqsGqDqHCdP6O8TTB5dDDItllVo6_1OLPpcbUrhiUS\
                 MxbbXUvdvWXzg-UD8biiReQFlfz28zGWVsdiNAUf8ZnyPEgVFn442ZdNqiVJRmBqrYRXe8P_ijQ7p8Vdz0TTrxUeT3lm8d9shnr2lfJT8ImUjvAA2Xez2M\
                 lp8cBE5awDzT0qI0n6uiP1aCN_2_jLAeQTlqRHtfa64QQSUmFAAjVKPbByi7xho0uTOcbH510a6GYmJUAfmWjwZ6oD4ifKo8DYM-X72Eaw";
    for (algorithm, name, signature) in [(Algorithm::RS256, "RS256", rs256), (Algorithm::PS384, "PS384", ps384)] {
        let header = json!({"alg": name, "kid": "bilbo.baggins@hobbiton.example"}).to_string();
        let signed = format!("{}.{payload}", URL_SAFE_NO_PAD.encode(header));
        checks(&key, algorithm, &signed, signature);
        // The key says no algorithm, so it is for all of RSA, and still each signature is of one.
        let key = Key::parse(key.as_object().unwrap()).unwrap();
        let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
        for other in [Algorithm::RS384, Algorithm::PS256, Algorithm::PS512, Algorithm::ES256, Algorithm::EdDSA] {
            assert!(!key.verifies(other, signed.as_bytes(), &signature), "{other:?}");
        }
    }
}
