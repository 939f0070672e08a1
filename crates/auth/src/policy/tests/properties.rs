//! What holds for any policies.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use super::*;

fn statement(sides: &'static [&'static str]) -> impl Strategy<Value = Value> {
    let action = select(&["*", "bedrock-agentcore:Invoke*", "bedrock-agentcore:GetAgentRuntime", "s3:*"][..]);
    let resource = select(&["*", "arn:aws:bedrock-agentcore:*:*:runtime/*", "arn:aws:*:runtime/other-*"][..]);
    let condition = select(
        &[
            "{}",
            r#"{"StringNotEquals":{"aws:username":"bob"}}"#,
            r#"{"StringLike":{"aws:username":"b*"}}"#,
            r#"{"NotIpAddress":{"aws:SourceIp":"10.0.0.0/8"}}"#,
            r#"{"DateGreaterThan":{"aws:CurrentTime":"2026-01-01"}}"#,
        ][..],
    );
    let elements = (select(sides), action, any::<bool>(), resource, any::<bool>(), condition);
    elements.prop_map(|(effect, action, not_action, resource, not_resource, condition)| {
        let condition: Value = serde_json::from_str(condition).unwrap();
        let mut statement = json!({"Effect": effect, "Condition": condition});
        statement[if not_action { "NotAction" } else { "Action" }] = json!([action]);
        statement[if not_resource { "NotResource" } else { "Resource" }] = json!(resource);
        statement
    })
}

fn documents() -> impl Strategy<Value = Vec<Value>> {
    let document = vec(statement(&["Allow", "Deny"]), 1..5).prop_map(|statements| json!({"Statement": statements}));
    vec(document, 0..4)
}

const DENY: &str = r#"{"Statement":{"Effect":"Deny","Action":"*","Resource":"*"}}"#;

proptest! {
    #[test]
    fn a_deny_wins_wherever_it_stands(mut documents in documents(), at in any::<proptest::sample::Index>(), open in any::<bool>()) {
        let open = open.then(|| attached(json!({"Effect": "Allow", "Principal": "*", "Action": "*", "Resource": RUNTIME})));
        documents.insert(at.index(documents.len() + 1), serde_json::from_str(DENY).unwrap());
        let why = ask(Caller::Signed(&principal(&documents)), open.as_ref());
        prop_assert!(matches!(why, Some(Why::DeniedByIdentity(_))), "{why:?}");
    }

    #[test]
    fn a_deny_of_the_resource_wins(documents in documents()) {
        let shut = attached(json!({"Effect": "Deny", "Principal": "*", "Action": "*", "Resource": RUNTIME}));
        prop_assert!(ask(Caller::Signed(&principal(&documents)), Some(&shut)).is_some());
    }

    #[test]
    fn what_has_no_allow_is_refused(statements in vec(statement(&["Deny"]), 1..6)) {
        let principal = principal(&[json!({"Statement": statements})]);
        prop_assert!(ask(Caller::Signed(&principal), None).is_some());
    }

    #[test]
    fn the_order_of_statements_says_nothing(statements in vec(statement(&["Allow", "Deny"]), 1..6)) {
        let mut turned = statements.clone();
        turned.reverse();
        let decide = |statements: Vec<Value>| ask(Caller::Signed(&principal(&[json!({"Statement": statements})])), None);
        prop_assert_eq!(decide(statements), decide(turned));
    }

    #[test]
    fn any_text_is_read_or_refused(text in any::<String>()) {
        let _ = Policy::parse(&text, Kind::Identity);
    }

    #[test]
    fn a_document_with_bytes_changed_is_read_or_refused(edits in vec((any::<proptest::sample::Index>(), any::<u8>()), 1..6)) {
        let mut bytes = ready("deployer").unwrap().as_bytes().to_vec();
        edits.iter().for_each(|(at, to)| *at.get_mut(&mut bytes) = *to);
        let text = String::from_utf8_lossy(&bytes);
        if let Ok(policy) = Policy::parse(&text, Kind::Identity) {
            let changed = Principal { policies: [policy].into(), ..principal(&[]) };
            let _ = ask(Caller::Signed(&changed), None);
        }
    }
}
