//! Which authorizers can be acted on; every other is refused as a whole.

use innkeep_auth::jwt::{Certificate, Error, Rules};
use innkeep_types::ErrorKind;
use serde_json::{Value, json};

use super::{with, without};

fn largest() -> Value {
    json!({
        "discoveryUrl": "https://idp.example/realm/.well-known/openid-configuration",
        "allowedAudience": ["agents"],
        "allowedClients": ["app"],
        "allowedScopes": ["agents/invoke", "agents/read", "agents/list"],
        "advertisedScopeMapping": {"agents/invoke": "invoke", "agents/list": "invoke", "other": "unused"},
        "customClaims": [{
            "inboundTokenClaimName": "tenant",
            "inboundTokenClaimValueType": "STRING",
            "authorizingClaimMatchValue": {"claimMatchValue": {"matchValueString": "a"}, "claimMatchOperator": "EQUALS"},
        }],
        "privateEndpoint": {"managedVpcResource": {"vpcIdentifier": "vpc-01234567"}},
        "privateEndpointOverrides": [],
        "certificateConfigurations": [{"s3": {"uri": "s3://bucket/ca.pem", "bucketOwnerAccountId": "000000000000"}}],
    })
}

/// What is wrong, a line per rule.
fn broken(configuration: &Value) -> Vec<String> {
    match Rules::from_configuration(configuration) {
        Err(error @ Error::Configuration(_)) => {
            assert_eq!(error.kind(), ErrorKind::Validation);
            let Error::Configuration(broken) = error else { unreachable!() };
            broken.iter().map(ToString::to_string).collect()
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn everything_of_the_model_that_is_for_runtimes_is_understood() {
    let rules = Rules::from_configuration(&largest()).unwrap();
    assert_eq!(rules.discovery_url(), "https://idp.example/realm/.well-known/openid-configuration");
    assert_eq!(rules.advertised_scopes(), ["invoke", "agents/read"]);
    let certificate =
        Certificate { uri: "s3://bucket/ca.pem".to_owned(), bucket_owner: Some("000000000000".to_owned()) };
    assert_eq!(rules.certificate(), Some(&certificate));
    let smallest =
        json!({"discoveryUrl": "http://127.0.0.1:9/.well-known/oauth-authorization-server/a", "allowedClients": ["a"]});
    let rules = Rules::from_configuration(&smallest).unwrap();
    assert_eq!((rules.advertised_scopes(), rules.certificate()), (vec![], None));
}

#[test]
fn a_token_must_be_held_against_something() {
    let checks = ["allowedAudience", "allowedClients", "allowedScopes", "customClaims"];
    for kept in checks {
        let one = checks.iter().filter(|name| **name != kept).fold(largest(), |all, name| without(all, name));
        assert!(Rules::from_configuration(&one).is_ok(), "{kept}");
        let none = without(one, kept);
        let sentence = "customJWTAuthorizer needs at least one of allowedAudience, allowedClients, allowedScopes, customClaims: \
                        else it would accept any token";
        assert_eq!(broken(&none), [sentence]);
        assert!(!broken(&with(none, kept, json!([]))).is_empty(), "{kept}");
    }
    assert_eq!(
        broken(&with(largest(), "allowedClients", json!([""]))),
        ["allowedClients: names nothing: no token could be accepted"]
    );
}

#[test]
fn what_is_not_known_is_not_passed_over() {
    for (pointer, name) in [
        ("", "allowedIssuers"),
        ("", "AllowedAudience"),
        ("/customClaims/0", "not"),
        ("/customClaims/0/authorizingClaimMatchValue", "negate"),
        ("/customClaims/0/authorizingClaimMatchValue/claimMatchValue", "matchValueNumber"),
        ("/certificateConfigurations/0", "acm"),
        ("/certificateConfigurations/0/s3", "versionId"),
    ] {
        let mut configuration = largest();
        configuration.pointer_mut(pointer).unwrap()[name] = json!("x");
        assert_eq!(broken(&configuration).len(), 1, "{pointer}/{name}");
    }
    for (name, value) in [
        ("discoveryUrl", Value::Null),
        ("discoveryUrl", json!(["https://idp.example/.well-known/openid-configuration"])),
        ("allowedAudience", json!("agents")),
        ("allowedAudience", json!([1])),
        ("allowedScopes", json!({"a": "b"})),
        ("advertisedScopeMapping", json!({"a": 1})),
        ("customClaims", json!({})),
        ("customClaims", json!([{}])),
        ("certificateConfigurations", json!([{}])),
        ("certificateConfigurations", json!([])),
    ] {
        assert_eq!(broken(&with(largest(), name, value.clone())).len(), 1, "{name} {value}");
    }
    for configuration in [Value::Null, json!([]), json!("x"), json!({})] {
        assert_eq!(broken(&configuration).len(), 1, "{configuration}");
    }
}

#[test]
fn a_certificate_that_nobody_could_read_is_refused() {
    let secret = json!([{"secretsManager": {"secretArn": "arn:x"}}]);
    let found = broken(&with(largest(), "certificateConfigurations", secret));
    let at = "certificateConfigurations[0].secretsManager: there is no secrets manager here";
    assert!(found.len() == 1 && found[0].starts_with(at), "{found:?}");
}

#[test]
fn workloads_cannot_be_told_apart_here() {
    let workloads = json!({"workloadIdentities": ["workload"]});
    let found = broken(&with(largest(), "allowedWorkloadConfiguration", workloads));
    assert!(found.len() == 1 && found[0].starts_with("allowedWorkloadConfiguration: "), "{found:?}");
}

#[test]
fn an_operator_fits_the_type_of_its_claim() {
    let claim = |value_type: &str, operator: &str, value: Value| {
        let claim = json!({
            "inboundTokenClaimName": "c",
            "inboundTokenClaimValueType": value_type,
            "authorizingClaimMatchValue": {"claimMatchValue": value, "claimMatchOperator": operator},
        });
        with(largest(), "customClaims", json!([claim]))
    };
    let (one, list) = (json!({"matchValueString": "a"}), json!({"matchValueStringList": ["a", "b"]}));
    let at = "customClaims[0].authorizingClaimMatchValue";
    let to_use_one =
        |operator: &str| format!("{at}.claimMatchValue: {operator} compares with one value: use matchValueString");
    let to_use_list =
        format!("{at}.claimMatchValue: CONTAINS_ANY compares with several values: use matchValueStringList");
    let string = format!("{at}.claimMatchOperator: a claim of type STRING is compared with EQUALS only");
    let array =
        format!("{at}.claimMatchOperator: a claim of type STRING_ARRAY is compared with CONTAINS or CONTAINS_ANY");
    for (value_type, operator, value, expect) in [
        ("STRING", "EQUALS", &one, None),
        ("STRING_ARRAY", "CONTAINS", &one, None),
        ("STRING_ARRAY", "CONTAINS_ANY", &list, None),
        ("STRING", "EQUALS", &list, Some(to_use_one("EQUALS"))),
        ("STRING", "CONTAINS", &one, Some(string.clone())),
        ("STRING", "CONTAINS_ANY", &list, Some(string)),
        ("STRING_ARRAY", "CONTAINS", &list, Some(to_use_one("CONTAINS"))),
        ("STRING_ARRAY", "CONTAINS_ANY", &one, Some(to_use_list.clone())),
        ("STRING_ARRAY", "CONTAINS_ANY", &json!({"matchValueStringList": []}), Some(to_use_list)),
        ("STRING_ARRAY", "EQUALS", &one, Some(array)),
    ] {
        let configuration = claim(value_type, operator, value.clone());
        match expect {
            None => drop(Rules::from_configuration(&configuration).unwrap()),
            Some(sentence) => assert_eq!(broken(&configuration), [sentence]),
        }
    }
    for (value_type, operator, value) in [
        ("NUMBER", "EQUALS", one.clone()),
        ("STRING", "NOT_EQUALS", one.clone()),
        ("STRING", "equals", one),
        ("STRING", "EQUALS", json!({})),
        ("STRING", "EQUALS", json!({"matchValueString": "a", "matchValueStringList": ["a"]})),
    ] {
        assert_eq!(broken(&claim(value_type, operator, value.clone())).len(), 1, "{value_type} {operator} {value}");
    }
}

#[test]
fn the_discovery_url_is_one_that_can_be_asked() {
    let known = "/.well-known/openid-configuration";
    for (url, is_ok) in [
        (format!("https://idp.example{known}"), true),
        (format!("http://127.0.0.1:8080/realm{known}"), true),
        (format!("https://[::1]:8443{known}"), true),
        ("https://idp.example/.well-known/oauth-authorization-server/tenant".to_owned(), true),
        (format!("HTTPS://idp.example{known}"), true),
        (format!("ftp://idp.example{known}"), false),
        (format!("file:///etc{known}"), false),
        (format!("idp.example{known}"), false),
        (known.to_owned(), false),
        (format!("https://{known}"), false),
        (format!("https://user:password@idp.example{known}"), false),
        (format!("https://user@idp.example{known}"), false),
        (format!("https://idp.example:port{known}"), false),
        (format!("https://idp.example:{known}"), false),
        (format!("https://idp.example:65536{known}"), false),
        (format!("https://idp.example{known}?x=1"), false),
        (format!("https://idp.example{known}/tenant"), true),
        (format!("https://idp.example{known}/"), false),
        (format!("https://idp.example{known}2"), false),
        (format!("https://idp.example{known}#x"), false),
        ("https://idp.example/realm".to_owned(), false),
        (format!("https://m\u{fc}nchen.example{known}"), false),
        (format!("https://idp.example/\n{known}"), false),
        (format!("https://idp.example/{}{known}", "x".repeat(2048)), false),
    ] {
        let configuration = with(largest(), "discoveryUrl", json!(url));
        match is_ok {
            true => drop(Rules::from_configuration(&configuration).unwrap()),
            false => assert!(broken(&configuration)[0].starts_with("discoveryUrl: "), "{url}"),
        }
    }
}

#[test]
fn everything_that_is_wrong_is_told_at_once() {
    let wrong = with(
        with(with(largest(), "discoveryUrl", json!("x")), "allowedClients", json!([])),
        "certificateConfigurations",
        json!([]),
    );
    assert_eq!(broken(&wrong).len(), 3);
    let told = Rules::from_configuration(&wrong).unwrap_err().to_string();
    assert!(told.starts_with("customJWTAuthorizer cannot be acted on: discoveryUrl: "), "{told}");
}
