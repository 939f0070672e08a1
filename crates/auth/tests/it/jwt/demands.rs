//! What a runtime demands beyond a signature: audience, client, scope and custom claims.

use innkeep_auth::jwt::{Error, Identity};
use innkeep_types::ErrorKind;
use serde_json::{Value, json};

use super::{ISSUER, check_claims, claims, rules, with, without};

fn claim(name: &str, value_type: &str, operator: &str, value: &Value) -> Value {
    let member = if value.is_array() { "matchValueStringList" } else { "matchValueString" };
    json!({
        "inboundTokenClaimName": name,
        "inboundTokenClaimValueType": value_type,
        "authorizingClaimMatchValue": {"claimMatchValue": {member: value}, "claimMatchOperator": operator},
    })
}

/// Each value that a claim may have, and whether it is taken.
fn checks(demands: &Value, name: &str, values: &[(Value, bool)]) {
    let mismatch = Err(Error::Mismatch(name.to_owned()));
    for (value, is_taken) in values {
        let verdict = check_claims(&with(claims(), name, value.clone()), &rules(demands.clone()));
        assert_eq!(verdict.is_ok(), *is_taken, "{demands} {value} {verdict:?}");
        assert!(
            *is_taken || verdict == mismatch || verdict.is_err_and(|error| error.kind() == ErrorKind::Unauthorized)
        );
    }
    let absent = check_claims(&without(claims(), name), &rules(demands.clone()));
    assert_eq!(absent, mismatch, "{demands}");
}

#[test]
fn one_of_the_audiences_is_listed() {
    let values = [
        (json!("agents"), true),
        (json!(["agents"]), true),
        (json!(["x", "agents"]), true),
        (json!(["x", "y"]), false),
        (json!([]), false),
        (json!("Agents"), false),
        (json!("agents "), false),
        (json!("agents others"), false),
        (json!(["agents", 1]), false),
        (json!({"agents": true}), false),
        (json!(1), false),
        (Value::Null, false),
        (json!(""), false),
    ];
    checks(&json!({"allowedAudience": ["agents"]}), "aud", &values);
    checks(&json!({"allowedAudience": ["b", "agents"]}), "aud", &values);
    checks(&json!({"allowedAudience": ["", "agents"]}), "aud", &values);
}

#[test]
fn the_client_is_client_id_and_nothing_else() {
    let demands = json!({"allowedClients": ["app", "other"]});
    let values = [
        (json!("app"), true),
        (json!("other"), true),
        (json!("App"), false),
        (json!(["app"]), false),
        (json!(""), false),
        (Value::Null, false),
    ];
    checks(&demands, "client_id", &values);
    let elsewhere = with(with(without(claims(), "client_id"), "azp", json!("app")), "aud", json!("app"));
    assert_eq!(check_claims(&elsewhere, &rules(demands)), Err(Error::Mismatch("client_id".to_owned())));
}

#[test]
fn one_of_the_scopes_is_granted() {
    let demands = json!({"allowedScopes": ["agents/invoke", "admin"]});
    let values = [
        (json!("agents/invoke"), true),
        (json!("openid agents/invoke email"), true),
        (json!("admin"), true),
        (json!(" admin "), true),
        (json!("agents/invoke2"), false),
        (json!("openid,admin"), false),
        (json!("openid\tadmin"), false),
        (json!(""), false),
        (json!(["admin"]), false),
        (Value::Null, false),
    ];
    checks(&demands, "scope", &values);
    let elsewhere = with(without(claims(), "scope"), "scp", json!(["admin"]));
    assert_eq!(check_claims(&elsewhere, &rules(demands)), Err(Error::Mismatch("scope".to_owned())));
}

#[test]
fn a_string_equals() {
    let demands = json!({"customClaims": [claim("tenant", "STRING", "EQUALS", &json!("acme"))]});
    let values = [
        (json!("acme"), true),
        (json!("ACME"), false),
        (json!("acme2"), false),
        (json!(["acme"]), false),
        (json!({"acme": "acme"}), false),
        (json!(true), false),
        (Value::Null, false),
    ];
    checks(&demands, "tenant", &values);
    // A number is not the string that looks like it.
    let demands = json!({"customClaims": [claim("tenant", "STRING", "EQUALS", &json!("1"))]});
    checks(&demands, "tenant", &[(json!("1"), true), (json!(1), false)]);
}

#[test]
fn an_array_of_strings_contains() {
    let one = json!({"customClaims": [claim("cognito:groups", "STRING_ARRAY", "CONTAINS", &json!("writers"))]});
    let any = json!({"customClaims": [claim("cognito:groups", "STRING_ARRAY", "CONTAINS_ANY", &json!(["writers", "admins"]))]});
    for (demands, admins) in [(one, false), (any, true)] {
        let values = [
            (json!(["writers"]), true),
            (json!(["readers", "writers"]), true),
            (json!(["admins", "x"]), admins),
            (json!(["readers"]), false),
            (json!([]), false),
            (json!("writers"), false),
            (json!("readers writers"), false),
            (json!(["writers", 1]), false),
            (json!([["writers"]]), false),
            (json!({"writers": 1}), false),
            (Value::Null, false),
        ];
        checks(&demands, "cognito:groups", &values);
    }
}

#[test]
fn a_claim_is_named_as_it_is_and_not_by_a_path() {
    let demands = json!({"customClaims": [claim("org.tenant", "STRING", "EQUALS", &json!("acme"))]});
    assert!(check_claims(&with(claims(), "org.tenant", json!("acme")), &rules(demands.clone())).is_ok());
    let nested = with(claims(), "org", json!({"tenant": "acme"}));
    assert_eq!(check_claims(&nested, &rules(demands)), Err(Error::Mismatch("org.tenant".to_owned())));
}

#[test]
fn all_demands_must_hold() {
    let demands = json!({
        "allowedAudience": ["agents"],
        "allowedClients": ["app"],
        "allowedScopes": ["agents/invoke"],
        "customClaims": [
            claim("tenant", "STRING", "EQUALS", &json!("acme")),
            claim("cognito:groups", "STRING_ARRAY", "CONTAINS", &json!("readers")),
            claim("cognito:groups", "STRING_ARRAY", "CONTAINS", &json!("writers")),
        ],
    });
    assert!(check_claims(&claims(), &rules(demands.clone())).is_ok());
    for name in ["aud", "client_id", "scope", "tenant", "cognito:groups"] {
        let refusal = check_claims(&with(claims(), name, json!("x")), &rules(demands.clone())).unwrap_err();
        assert_eq!(refusal.to_string(), format!("Claim '{name}' value mismatch with configuration."));
        assert_eq!(refusal.kind(), ErrorKind::Unauthorized);
    }
    let one_group = with(claims(), "cognito:groups", json!(["readers"]));
    assert!(check_claims(&one_group, &rules(demands)).is_err());
}

#[test]
fn an_identity_is_issuer_subject_and_client() {
    let lax = rules(json!({"allowedAudience": ["agents"]}));
    let identity = |subject: Option<&str>, client: Option<&str>| {
        let [subject, client] = [subject, client].map(|text| text.map(str::to_owned));
        let discovery_url = lax.discovery_url().to_owned();
        Identity { discovery_url, issuer: ISSUER.to_owned(), subject, client }
    };
    assert_eq!(check_claims(&claims(), &lax), Ok(identity(Some("alice"), Some("app"))));
    assert_eq!(check_claims(&without(claims(), "sub"), &lax), Ok(identity(None, Some("app"))));
    assert_eq!(check_claims(&without(claims(), "client_id"), &lax), Ok(identity(Some("alice"), None)));
    for name in ["sub", "client_id"] {
        for value in [json!(""), json!(7), json!(["alice"]), Value::Null] {
            let verdict = check_claims(&with(claims(), name, value), &lax);
            assert!(matches!(verdict, Err(Error::Malformed(claim)) if claim == name), "{verdict:?}");
        }
    }
}
