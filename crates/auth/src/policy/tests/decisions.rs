//! Who may. Tables after "Policy evaluation logic" of the IAM user guide.

use super::*;

const ALICE: &str = "arn:aws:iam::000000000000:user/alice";

fn statement(effect: &str) -> Value {
    json!({"Sid": effect, "Effect": effect, "Action": "bedrock-agentcore:InvokeAgentRuntime", "Resource": RUNTIME})
}

fn identity(effects: &[&str]) -> Principal {
    let documents = effects.iter().map(|effect| json!({"Statement": statement(effect)}));
    principal(&documents.collect::<Vec<_>>())
}

fn resource(effect: &str, principal: Value) -> Policy {
    let mut statement = statement(effect);
    statement["Principal"] = principal;
    attached(statement)
}

#[test]
fn an_explicit_deny_wins_and_one_allow_is_enough() {
    let me = || json!({"AWS": ALICE});
    let (allow, deny) = (|| Some(resource("Allow", me())), || Some(resource("Deny", me())));
    let by_identity = || Some(Why::DeniedByIdentity(Some("Deny".to_owned())));
    let by_resource = || Some(Why::DeniedByResource(Some("Deny".to_owned())));
    for (own, attached, expect) in [
        (&[][..], None, Some(Why::NotAllowedByIdentity)),
        (&["Allow"], None, None),
        (&["Deny"], None, by_identity()),
        (&["Allow", "Deny"], None, by_identity()),
        (&["Deny", "Allow"], None, by_identity()),
        (&[], allow(), None),
        (&[], deny(), by_resource()),
        (&["Allow"], allow(), None),
        (&["Allow"], deny(), by_resource()),
        (&["Deny"], allow(), by_identity()),
        (&["Deny"], deny(), by_identity()),
    ] {
        assert_eq!(ask(Caller::Signed(&identity(own)), attached.as_ref()), expect, "{own:?}");
    }
}

#[test]
fn an_account_is_named_to_leave_it_the_choice() {
    for principal in [json!({"AWS": "000000000000"}), json!({"AWS": "arn:aws:iam::000000000000:root"})] {
        let allow = resource("Allow", principal.clone());
        assert_eq!(ask(Caller::Signed(&identity(&[])), Some(&allow)), Some(Why::NotAllowedByIdentity));
        assert_eq!(ask(Caller::Signed(&identity(&["Allow"])), Some(&allow)), None);
        let deny = resource("Deny", principal);
        assert!(matches!(ask(Caller::Signed(&identity(&["Allow"])), Some(&deny)), Some(Why::DeniedByResource(_))));
    }
    for principal in [json!("*"), json!({"AWS": "*"})] {
        assert_eq!(ask(Caller::Signed(&identity(&[])), Some(&resource("Allow", principal))), None);
    }
    for principal in [json!({"AWS": "111122223333"}), json!({"AWS": "arn:aws:iam::000000000000:user/bob"})] {
        let allow = resource("Allow", principal.clone());
        assert_eq!(ask(Caller::Signed(&identity(&[])), Some(&allow)), Some(Why::NotAllowedByIdentity));
        assert_eq!(ask(Caller::Signed(&identity(&["Allow"])), Some(&resource("Deny", principal))), None);
    }
}

#[test]
fn a_session_policy_takes_away_and_never_gives() {
    let limited = |effects: &[&str], session: &str| {
        let session = Policy::parse(&json!({"Statement": statement(session)}).to_string(), Kind::Identity).unwrap();
        Principal { session_policy: Some(session.into()), ..identity(effects) }
    };
    let everyone = resource("Allow", json!({"AWS": "arn:aws:iam::000000000000:user/alice"}));
    assert_eq!(ask(Caller::Signed(&limited(&["Allow"], "Allow")), None), None);
    assert_eq!(ask(Caller::Signed(&limited(&[], "Allow")), None), Some(Why::NotAllowedByIdentity));
    assert_eq!(ask(Caller::Signed(&limited(&[], "Allow")), Some(&everyone)), None);
    for policy in [None, Some(&everyone)] {
        let denied = ask(Caller::Signed(&limited(&["Allow"], "Deny")), policy);
        assert!(matches!(denied, Some(Why::DeniedByIdentity(_))), "{denied:?}");
        let other = Policy::parse(
            r#"{"Statement": {"Effect": "Allow", "Action": "bedrock-agentcore:StopRuntimeSession", "Resource": "*"}}"#,
            Kind::Identity,
        );
        let elsewhere = Principal { session_policy: Some(other.unwrap().into()), ..identity(&["Allow"]) };
        assert_eq!(ask(Caller::Signed(&elsewhere), policy), Some(Why::NotAllowedByIdentity));
    }
}

#[test]
fn another_account_needs_both() {
    let mut other = identity(&["Allow"]);
    other.arn = "arn:aws:iam::111122223333:user/alice".to_owned();
    let caller = Caller::Signed(&other);
    assert_eq!(ask(caller, None), Some(Why::NotAllowedByResource));
    assert_eq!(ask(caller, Some(&resource("Allow", json!({"AWS": ALICE})))), Some(Why::NotAllowedByResource));
    assert_eq!(ask(caller, Some(&resource("Allow", json!({"AWS": "111122223333"})))), None);
    let mut unknown = identity(&[]);
    unknown.arn.clone_from(&other.arn);
    let allow = resource("Allow", json!("*"));
    assert_eq!(ask(Caller::Signed(&unknown), Some(&allow)), Some(Why::NotAllowedByIdentity));
}

#[test]
fn who_shows_a_token_is_held_against_what_is_attached() {
    let signers = json!({"AWS": "*"});
    assert_eq!(ask(Caller::Token, None), None);
    assert_eq!(ask(Caller::Token, Some(&resource("Allow", json!("*")))), None);
    let why = ask(Caller::Token, Some(&resource("Allow", signers.clone())));
    assert_eq!(why, Some(Why::NotAllowedByResource));
    assert_eq!(ask(Caller::Token, Some(&resource("Allow", json!({"AWS": ALICE})))), Some(Why::NotAllowedByResource));
    for principal in [json!("*"), signers] {
        let why = ask(Caller::Token, Some(&resource("Deny", principal)));
        assert!(matches!(why, Some(Why::DeniedByResource(_))), "{why:?}");
    }
}

/// Asks for `action` on `arns`, of which the first has the policy.
fn on(principal: &Principal, action: &str, arns: &[&str], policy: Option<&Policy>) -> Decision {
    let (tags, context) = (BTreeMap::new(), Context::default());
    let guarded =
        arns.iter().enumerate().map(|(idx, arn)| Guarded { arn, policy: policy.filter(|_| idx == 0), tags: &tags });
    let request = Request { caller: Caller::Signed(principal), action, context: &context };
    decide(&guarded.collect::<Vec<_>>(), &request)
}

#[test]
fn runtime_and_endpoint_must_both_allow() {
    let endpoint = format!("{RUNTIME}/runtime-endpoint/prod");
    let arns = [RUNTIME, endpoint.as_str()];
    let Decision::Deny(denial) = on(&identity(&["Allow"]), "InvokeAgentRuntime", &arns, None) else {
        panic!("allowed on the runtime only");
    };
    assert_eq!(
        denial.to_string(),
        format!(
            "User: {ALICE} is not authorized to perform: bedrock-agentcore:InvokeAgentRuntime on resource: {endpoint} because \
             no identity-based policy allows the bedrock-agentcore:InvokeAgentRuntime action"
        )
    );
    let open = resource("Allow", json!("*"));
    assert_ne!(on(&identity(&[]), "InvokeAgentRuntime", &arns, Some(&open)), Decision::Allow);
    let mut both = statement("Allow");
    both["Resource"] = json!([RUNTIME, endpoint]);
    let both = principal(&[json!({"Statement": both})]);
    assert_eq!(on(&both, "InvokeAgentRuntime", &arns, None), Decision::Allow);
    let closed = resource("Deny", json!("*"));
    assert_ne!(on(&both, "InvokeAgentRuntime", &arns, Some(&closed)), Decision::Allow);
}

#[test]
fn a_deny_on_the_second_resource_is_told_before_what_is_missing_on_the_first() {
    let endpoint = format!("{RUNTIME}/runtime-endpoint/prod");
    let deny = principal(&[json!({"Statement": {"Effect": "Deny", "Action": "*", "Resource": endpoint}})]);
    let Decision::Deny(denial) = on(&deny, "InvokeAgentRuntime", &[RUNTIME, &endpoint], None) else {
        panic!("allowed")
    };
    assert_eq!((denial.why, denial.resource), (Why::DeniedByIdentity(None), endpoint));
}

#[test]
fn the_negated_elements_are_all_but_these() {
    let all_but = principal(&[json!({"Statement": {
        "Effect": "Allow", "NotAction": ["bedrock-agentcore:Delete*"], "NotResource": "arn:aws:*:runtime/secret-*",
    }})]);
    let secret = RUNTIME.replace("hello", "secret");
    for (action, arn, expect) in [
        ("InvokeAgentRuntime", RUNTIME, true),
        ("DeleteAgentRuntime", RUNTIME, false),
        ("InvokeAgentRuntime", &secret, false),
        ("ListAgentRuntimes", "*", true),
    ] {
        assert_eq!(on(&all_but, action, &[arn], None) == Decision::Allow, expect, "{action} {arn}");
    }
}

#[test]
fn what_nobody_knows_is_allowed_to_nobody() {
    let admin = principal(&[serde_json::from_str(ready("admin").unwrap()).unwrap()]);
    assert_eq!(on(&admin, "InvokeAgentRuntime", &[RUNTIME], None), Decision::Allow);
    assert_ne!(on(&admin, "InvokeAgentRuntme", &[RUNTIME], None), Decision::Allow);
    assert_ne!(on(&admin, "InvokeAgentRuntime", &[], None), Decision::Allow);
    assert_ne!(on(&admin, "InvokeAgentRuntime", &[&"ä".repeat(2000)], None), Decision::Allow);
}

#[test]
fn what_is_ready_made_does_what_it_says() {
    let endpoint = format!("{RUNTIME}/runtime-endpoint/prod");
    let all = ["admin", "deployer", "invoker", "read-only"];
    for (action, arn, who) in [
        ("InvokeAgentRuntime", RUNTIME, &["admin", "deployer", "invoker"][..]),
        ("InvokeAgentRuntime", &endpoint, &["admin", "deployer", "invoker"]),
        ("StopRuntimeSession", RUNTIME, &["admin", "deployer", "invoker"]),
        ("InvokeAgentRuntimeForUser", RUNTIME, &["admin"]),
        ("InvokeAgentRuntimeCommand", RUNTIME, &["admin"]),
        ("GetAgentRuntime", RUNTIME, &["admin", "deployer", "read-only"]),
        ("ListAgentRuntimes", "*", &["admin", "deployer", "read-only"]),
        ("CreateAgentRuntime", "*", &["admin", "deployer"]),
        ("DeleteAgentRuntimeEndpoint", &endpoint, &["admin", "deployer"]),
        ("PutResourcePolicy", RUNTIME, &["admin"]),
        ("CreateCapacityProvider", "*", &["admin"]),
    ] {
        let may = |name: &&&str| {
            let document = serde_json::from_str(ready(name).unwrap()).unwrap();
            on(&principal(&[document]), action, &[arn], None) == Decision::Allow
        };
        assert_eq!(all.iter().filter(may).copied().collect::<Vec<_>>(), who, "{action} {arn}");
    }
}
