//! What is refused, and where.

use super::*;

fn statement_with(name: &str, value: Value) -> Value {
    let mut statement =
        json!({"Effect": "Allow", "Action": "bedrock-agentcore:InvokeAgentRuntime", "Resource": RUNTIME});
    match value {
        Value::Null => drop(statement.as_object_mut().unwrap().remove(name)),
        value => statement[name] = value,
    }
    statement
}

fn document(statement: Value) -> String {
    json!({"Version": "2012-10-17", "Statement": statement}).to_string()
}

#[track_caller]
fn check(document: &str, kind: Kind<'_>, expect: Result<(), &str>) {
    let found = Policy::parse(document, kind);
    let found = found.as_ref().map(|_| ()).map_err(|error| error.at.as_str());
    assert_eq!(found, expect, "{}", document.get(..300).unwrap_or(document));
}

#[test]
fn policies_of_the_language_pass() {
    for (name, value) in [
        ("Sid", json!("one two")),
        ("Effect", json!("Deny")),
        ("Action", json!(["bedrock-agentcore:*", "*", "s3:GetObject"])),
        ("Resource", json!(["*", "arn:aws:bedrock-agentcore:*:*:runtime/a?c-*"])),
        ("Condition", json!({"Bool": {"aws:SecureTransport": true}, "StringLike": {"AWS:UserName": ["a*", "b"]}})),
    ] {
        check(&document(statement_with(name, value)), Kind::Identity, Ok(()));
    }
    for (principal, more) in [
        (json!("*"), json!([RUNTIME])),
        (json!({"AWS": "*"}), json!(RUNTIME)),
        (json!({"AWS": ["111122223333", "arn:aws:iam::111122223333:root"]}), json!(RUNTIME)),
        (json!({"AWS": "arn:aws:iam::000000000000:user/team/alice"}), json!(RUNTIME)),
    ] {
        let mut statement = statement_with("Principal", principal);
        statement["Resource"] = more;
        check(&document(json!([statement])), Kind::Resource(RUNTIME), Ok(()));
    }
}

#[test]
fn what_is_no_policy_is_told_apart() {
    for (text, at) in [
        ("no", "policy"),
        ("[]", "policy"),
        ("", "policy"),
        ("{}", "policy.Statement"),
        (r#"{"Statement":[]}"#, "policy.Statement"),
        (r#"{"Statement":[1]}"#, "policy.Statement[0]"),
        (r#"{"Statment":[]}"#, "policy.Statment"),
        (r#"{"Version":"2013-01-01","Statement":[]}"#, "policy.Version"),
        (r#"{"Id":1,"Statement":[]}"#, "policy.Id"),
        (r#"{"Statement":{"Effect":"Deny","Effect":"Allow","Action":"*","Resource":"*"}}"#, "policy"),
        (r#"{"Statement":{"Effect":"Allow","Action":"*","Resource":"*"},"Statement":[]}"#, "policy"),
    ] {
        check(text, Kind::Identity, Err(at));
    }
}

#[test]
fn each_rule_of_a_statement_is_checked() {
    let condition = |operator: &str, key: &str, value: Value| json!({operator: {key: value}});
    for (name, value, at) in [
        ("Sid", json!(1), "Sid"),
        ("Sid", json!("a\nb"), "Sid"),
        ("Effect", json!("allow"), "Effect"),
        ("Effect", Value::Null, "Effect"),
        ("Action", json!([]), "Action"),
        ("Action", json!("bedrock-agentcore:InvokeAgentRuntme"), "Action"),
        ("Action", Value::Null, ""),
        ("NotAction", json!("*"), ""),
        ("Resource", json!([]), "Resource"),
        ("Resource", json!("hello"), "Resource"),
        ("Resource", json!("arn:aws:bedrock-agentcore"), "Resource"),
        ("Resource", json!("arn:aws:bedrock-agentcore:*:*:runtime/${aws:username}-*"), "Resource"),
        ("Resource", Value::Null, ""),
        ("NotResource", json!("*"), ""),
        ("Principal", json!("*"), "Principal"),
        ("NotPrincipal", json!("*"), "NotPrincipal"),
        ("Condition", json!([]), "Condition"),
        ("Condition", json!({"StringEquals": {}}), "Condition.StringEquals"),
        ("Condition", json!({"StringEquals": 1}), "Condition.StringEquals"),
        ("Condition", condition("StringMatches", "aws:username", json!("a")), "Condition.StringMatches"),
        ("Condition", condition("ForSome:StringLike", "aws:TagKeys", json!("a")), "Condition.ForSome:StringLike"),
        ("Condition", condition("NullIfExists", "aws:username", json!(true)), "Condition.NullIfExists"),
        ("Condition", condition("BinaryEquals", "aws:username", json!("YQ==")), "Condition.BinaryEquals"),
        ("Condition", condition("StringEquals", "aws:SourceVpc", json!("a")), "Condition.StringEquals.aws:SourceVpc"),
        (
            "Condition",
            condition("StringEquals", "aws:ResourceTag/", json!("a")),
            "Condition.StringEquals.aws:ResourceTag/",
        ),
        ("Condition", condition("StringEquals", "aws:username", json!([])), "Condition.StringEquals.aws:username"),
        ("Condition", condition("StringEquals", "aws:username", json!({})), "Condition.StringEquals.aws:username"),
        (
            "Condition",
            condition("StringEquals", "aws:username", json!("${aws:username}")),
            "Condition.StringEquals.aws:username",
        ),
        ("Condition", condition("StringEquals", "aws:TagKeys", json!("a")), "Condition.StringEquals.aws:TagKeys"),
        (
            "Condition",
            condition("StringEquals", "aws:SourceIp", json!("10.0.0.1")),
            "Condition.StringEquals.aws:SourceIp",
        ),
        ("Condition", condition("IpAddress", "aws:SourceIp", json!("10.0.0.0/33")), "Condition.IpAddress.aws:SourceIp"),
        ("Condition", condition("Bool", "aws:SecureTransport", json!("yes")), "Condition.Bool.aws:SecureTransport"),
        ("Condition", condition("Null", "aws:username", json!([true, false])), "Condition.Null.aws:username"),
        (
            "Condition",
            condition("DateLessThan", "aws:CurrentTime", json!("soon")),
            "Condition.DateLessThan.aws:CurrentTime",
        ),
        (
            "Condition",
            condition("NumericEquals", "aws:EpochTime", json!("NaN")),
            "Condition.NumericEquals.aws:EpochTime",
        ),
        ("Condition", condition("ArnLike", "aws:PrincipalArn", json!("alice")), "Condition.ArnLike.aws:PrincipalArn"),
        ("Conditions", json!({}), "Conditions"),
    ] {
        let at = if at.is_empty() { "policy.Statement".to_owned() } else { format!("policy.Statement.{at}") };
        check(&document(statement_with(name, value)), Kind::Identity, Err(&at));
    }
}

#[test]
fn the_policy_of_a_resource_names_it_and_whom_it_means() {
    let principal = json!({"AWS": "arn:aws:iam::000000000000:user/alice"});
    for (name, value, at) in [
        ("Principal", Value::Null, "Principal"),
        ("Principal", json!("me"), "Principal"),
        ("Principal", json!({}), "Principal"),
        ("Principal", json!({"Aws": "*"}), "Principal"),
        ("Principal", json!({"Service": "lambda.amazonaws.com"}), "Principal"),
        ("Principal", json!({"AWS": []}), "Principal.AWS"),
        ("Principal", json!({"AWS": "alice"}), "Principal.AWS"),
        ("Principal", json!({"AWS": "arn:aws:iam::000000000000:user/*"}), "Principal.AWS"),
        ("Principal", json!({"AWS": "arn:aws:s3:::bucket"}), "Principal.AWS"),
        ("Resource", json!("*"), "Resource"),
        ("Resource", json!([RUNTIME, "*"]), "Resource"),
        ("Resource", json!([]), "Resource"),
        ("Resource", json!(format!("{RUNTIME}/runtime-endpoint/prod")), "Resource"),
        ("Resource", Value::Null, "Resource"),
        ("NotResource", json!(RUNTIME), "NotResource"),
    ] {
        let mut statement = statement_with("Principal", principal.clone());
        match value {
            Value::Null => drop(statement.as_object_mut().unwrap().remove(name)),
            value => statement[name] = value,
        }
        check(&document(statement), Kind::Resource(RUNTIME), Err(&format!("policy.Statement.{at}")));
    }
}

#[test]
fn documents_are_bounded() {
    let many = |n| document(Value::Array(vec![json!({"Effect": "Allow", "Action": "*", "Resource": "*"}); n]));
    check(&many(250), Kind::Identity, Ok(()));
    check(&many(251), Kind::Identity, Err("policy.Statement"));
    check(&format!("{}{}", many(1), " ".repeat(20_480)), Kind::Identity, Err("policy"));
    check(&"[".repeat(20_000), Kind::Identity, Err("policy"));
    check(&format!("{{\"Statement\":{}", "{\"a\":".repeat(3_000)), Kind::Identity, Err("policy"));
}

#[test]
fn a_sid_is_there_once() {
    let statement = statement_with("Sid", json!("one"));
    check(&document(json!([statement, statement])), Kind::Identity, Err("policy.Statement[1].Sid"));
}

#[test]
fn what_is_ready_made_can_be_read() {
    for (name, document) in READY {
        assert!(Policy::parse(document, Kind::Identity).is_ok(), "{name}");
        assert_eq!(ready(name), Some(document));
    }
    assert_eq!(ready("root"), None);
}

#[test]
fn an_unreadable_document_denies() {
    let (policies, unreadable) = Principal::stored_policies([ready("admin").unwrap(), "{}"]);
    assert_eq!(unreadable.len(), 1);
    let principal = Principal::user("alice", &AccountId::parse("000000000000").unwrap(), policies, true);
    assert!(matches!(ask(Caller::Signed(&principal), None), Some(Why::DeniedByIdentity(_))));
    assert!(matches!(ask(Caller::Token, Some(&Policy::deny_everything())), Some(Why::DeniedByResource(_))));
}

#[test]
fn only_a_plain_star_is_everyone() {
    let with = |principal: Value| statement_with("Principal", principal);
    assert!(attached(with(json!("*"))).is_for_everyone());
    assert!(!attached(with(json!({"AWS": "*"}))).is_for_everyone());
    assert!(!attached(json!([with(json!("*")), with(json!({"AWS": "111122223333"}))])).is_for_everyone());
}
