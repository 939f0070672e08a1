//! When a statement applies.

use innkeep_types::UnixMillis;

use super::*;

/// 2026-11-20T10:00:00Z, from 203.0.113.7 without TLS.
fn context() -> Context {
    Context {
        via: Some(Via { peer: "::ffff:203.0.113.7".parse().unwrap(), secure: false }),
        now: UnixMillis(1_795_168_800_000),
        request_tags: [("team".to_owned(), "red".to_owned()), ("cost".to_owned(), "7".to_owned())].into(),
        removed_tags: vec!["old".to_owned()],
    }
}

#[track_caller]
fn check_in(context: &Context, caller: Option<&str>, condition: Value, expect: bool) {
    let statement =
        json!({"Effect": "Allow", "Principal": "*", "Action": "*", "Resource": RUNTIME, "Condition": condition});
    let policy = attached(statement);
    let tags = [("Env".to_owned(), "prod".to_owned()), ("env".to_owned(), "dev".to_owned())].into();
    let mut alice = principal(&[]);
    if let Some(name) = caller {
        alice.name = name.to_owned();
        alice.arn = format!("arn:aws:iam::000000000000:user/{name}");
    }
    let caller = if caller.is_some() { Caller::Signed(&alice) } else { Caller::Token };
    let guarded = Guarded { arn: RUNTIME, policy: Some(&policy), tags: &tags };
    let decision = decide(&[guarded], &Request { caller, action: "InvokeAgentRuntime", context });
    assert_eq!(decision == Decision::Allow, expect, "{condition}");
}

#[track_caller]
fn check(condition: Value, expect: bool) {
    check_in(&context(), Some("alice"), condition, expect);
}

#[test]
fn texts() {
    let name = |operator: &str, value: Value| json!({operator: {"aws:username": value}});
    for (operator, value, expect) in [
        ("StringEquals", json!("alice"), true),
        ("StringEquals", json!(["bob", "alice"]), true),
        ("StringEquals", json!("Alice"), false),
        ("StringEquals", json!("a*"), false),
        ("StringNotEquals", json!(["bob", "alice"]), false),
        ("StringNotEquals", json!("bob"), true),
        ("StringEqualsIgnoreCase", json!("ALICE"), true),
        ("StringNotEqualsIgnoreCase", json!("ALICE"), false),
        ("StringLike", json!("a??c*"), true),
        ("StringLike", json!("A*"), false),
        ("StringNotLike", json!("a*"), false),
        ("StringNotLike", json!("b*"), true),
    ] {
        check(name(operator, value), expect);
    }
    check(json!({"StringEquals": {"AWS:PRINCIPALACCOUNT": "000000000000"}}), true);
    check(json!({"StringEquals": {"aws:PrincipalAccount": 0}}), false);
}

#[test]
fn all_conditions_must_hold() {
    check(json!({"StringEquals": {"aws:username": "alice", "aws:PrincipalAccount": "1"}}), false);
    check(json!({"StringEquals": {"aws:username": "alice"}, "Bool": {"aws:SecureTransport": "true"}}), false);
    check(json!({"StringEquals": {"aws:username": "alice"}, "Bool": {"aws:SecureTransport": "false"}}), true);
    check(json!({}), true);
}

#[test]
fn arns_are_matched_part_by_part() {
    let arn = |operator: &str, value: &str| json!({operator: {"aws:PrincipalArn": value}});
    for operator in ["ArnLike", "ArnEquals"] {
        check(arn(operator, "arn:aws:iam::*:user/al*"), true);
        check(arn(operator, "arn:*:*:*:*:*"), true);
        check(arn(operator, "arn:aws:iam:*:*:root"), false);
        check(arn(operator, "arn:aws:iam::000000000000:user/bob"), false);
    }
    check(arn("ArnNotLike", "arn:aws:iam::*:user/al*"), false);
    check(arn("ArnNotEquals", "arn:aws:iam::*:user/bob"), true);
    check(arn("StringEquals", "arn:aws:iam::000000000000:user/alice"), true);
}

#[test]
fn addresses() {
    let from = |operator: &str, value: Value| json!({operator: {"aws:SourceIp": value}});
    check(from("IpAddress", json!("203.0.113.0/24")), true);
    check(from("IpAddress", json!(["10.0.0.0/8", "203.0.113.7"])), true);
    check(from("IpAddress", json!("::/0")), false);
    check(from("NotIpAddress", json!("203.0.113.0/24")), false);
    check(from("NotIpAddress", json!("10.0.0.0/8")), true);
    let nowhere = Context { via: None, ..context() };
    check_in(&nowhere, Some("alice"), from("IpAddress", json!("0.0.0.0/0")), false);
    check_in(&nowhere, Some("alice"), from("NotIpAddress", json!("0.0.0.0/0")), true);
    check_in(&nowhere, Some("alice"), json!({"Bool": {"aws:SecureTransport": "false"}}), false);
}

#[test]
fn times_and_numbers() {
    let at = |operator: &str, value: Value| json!({operator: {"aws:CurrentTime": value}});
    for (operator, before, same, after) in [
        ("DateLessThan", false, false, true),
        ("DateLessThanEquals", false, true, true),
        ("DateEquals", false, true, false),
        ("DateNotEquals", true, false, true),
        ("DateGreaterThanEquals", true, true, false),
        ("DateGreaterThan", true, false, false),
    ] {
        check(at(operator, json!("2026-11-20T09:59:59Z")), before);
        check(at(operator, json!("2026-11-20T10:00:00Z")), same);
        check(at(operator, json!("2026-11-20T11:00:01+01:00")), after);
        check(json!({operator: {"aws:EpochTime": 1_795_168_800}}), same);
        let number = operator.replace("Date", "Numeric");
        check(json!({&number: {"aws:EpochTime": 1_795_168_799}}), before);
        check(json!({&number: {"aws:EpochTime": "1795168800.0"}}), same);
        check(json!({&number: {"aws:EpochTime": 1.8e9}}), after);
    }
    check(at("DateGreaterThan", json!("2026-11-20")), true);
    check(at("DateLessThan", json!("2026-11-21")), true);
}

#[test]
fn a_negation_holds_where_the_key_is_absent() {
    let token = |condition, expect| check_in(&context(), None, condition, expect);
    for (operator, expect) in [
        ("StringEquals", false),
        ("StringNotEquals", true),
        ("StringLike", false),
        ("StringNotLike", true),
        ("StringEqualsIfExists", true),
        ("StringNotEqualsIfExists", true),
    ] {
        token(json!({operator: {"aws:username": "alice"}}), expect);
    }
    token(json!({"Null": {"aws:username": true}}), true);
    token(json!({"Null": {"aws:username": "false"}}), false);
    check(json!({"Null": {"aws:username": true}}), false);
    check(json!({"Null": {"aws:username": false}}), true);
    check(json!({"StringEqualsIfExists": {"aws:username": "bob"}}), false);
}

#[test]
fn tags() {
    check(json!({"StringEquals": {"aws:RequestTag/team": "red"}}), true);
    check(json!({"StringEquals": {"aws:RequestTag/TEAM": "red"}}), true);
    check(json!({"StringEquals": {"aws:RequestTag/other": "red"}}), false);
    check(json!({"StringEquals": {"aws:RequestTag/cost": 7}}), true);
    // Two tags whose keys differ in case: one is enough, and one is enough against it.
    check(json!({"StringEquals": {"aws:ResourceTag/env": "prod"}}), true);
    check(json!({"StringEquals": {"aws:ResourceTag/env": "dev"}}), true);
    check(json!({"StringNotEquals": {"aws:ResourceTag/env": "prod"}}), false);
    check(json!({"Null": {"aws:ResourceTag/none": true}}), true);
}

#[test]
fn sets_of_values() {
    let keys = |operator: &str, value: Value| json!({operator: {"aws:TagKeys": value}});
    for (operator, value, expect) in [
        ("ForAllValues:StringEquals", json!(["team", "cost", "old", "more"]), true),
        ("ForAllValues:StringEquals", json!(["team", "cost"]), false),
        ("ForAllValues:StringNotEquals", json!("none"), true),
        ("ForAllValues:StringNotEquals", json!("team"), false),
        ("ForAnyValue:StringEquals", json!(["none", "old"]), true),
        ("ForAnyValue:StringEquals", json!("none"), false),
        ("ForAnyValue:StringNotEquals", json!("team"), true),
        ("ForAnyValue:StringNotLike", json!("*"), false),
    ] {
        check(keys(operator, value), expect);
    }
    let untagged = Context { request_tags: BTreeMap::new(), removed_tags: Vec::new(), ..context() };
    for (operator, expect) in [
        ("ForAllValues:StringEquals", true),
        ("ForAllValues:StringNotEquals", true),
        ("ForAnyValue:StringEquals", false),
        ("ForAnyValue:StringNotEquals", false),
        ("ForAnyValue:StringEqualsIfExists", true),
    ] {
        check_in(&untagged, Some("alice"), keys(operator, json!("team")), expect);
    }
}

#[test]
fn a_request_with_more_tags_than_are_looked_at_is_denied() {
    let mut many = context();
    many.request_tags = (0..300).map(|n| (n.to_string(), String::new())).collect();
    check_in(&many, Some("alice"), json!({}), false);
    let mut long = context();
    long.removed_tags = vec!["x".repeat(2049)];
    check_in(&long, Some("alice"), json!({}), false);
}
