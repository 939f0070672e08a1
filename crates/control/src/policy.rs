//! Whether a resource policy has the form of IAM's policy language. What it allows is not looked at here.
//!
//! Source: IAM user guide, "Grammar of the IAM JSON policy language", for policies of resources (a principal is required); AgentCore
//! developer guide for `Resource`, which must be the ARN of the resource itself, and for `Principal` where tokens are asked for.

use innkeep_types::Authorizer;
use serde_json::{Map, Value};

use crate::validate::Violations;

const AT: &str = "policy";
const VERSIONS: [&str; 2] = ["2012-10-17", "2008-10-17"];
const PRINCIPALS: [&str; 4] = ["AWS", "Service", "Federated", "CanonicalUser"];
const MEMBERS: [&str; 8] =
    ["Sid", "Effect", "Principal", "NotPrincipal", "Action", "NotAction", "Resource", "Condition"];

/// What a policy is attached to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Guarded<'a> {
    pub(crate) arn: &'a str,
    pub(crate) authorizer: Authorizer,
}

/// Checks the policy of a resource; what is wrong with it is noted in `found`.
pub(crate) fn check(policy: &str, guarded: Guarded<'_>, found: &mut Violations) {
    let document = match serde_json::from_str(policy) {
        Ok(Value::Object(document)) => document,
        Ok(_) => return none(found.must(AT, "be a JSON object with Statement")),
        Err(error) => return none(found.must(AT, format_args!("be JSON ({error})"))),
    };
    known(AT, &document, &["Version", "Id", "Statement"], found);
    if document.get("Version").is_some_and(|version| !version.as_str().is_some_and(|v| VERSIONS.contains(&v))) {
        none(found.must("policy.Version", format_args!("satisfy enum value set: [{}]", VERSIONS.join(", "))));
    }
    if document.get("Id").is_some_and(|id| !id.is_string()) {
        none(found.must("policy.Id", "be a string"));
    }
    match document.get("Statement") {
        Some(Value::Object(only)) => statement("policy.Statement", only, guarded, found),
        Some(Value::Array(several)) if !several.is_empty() => {
            for (idx, one) in several.iter().enumerate() {
                let at = format!("policy.Statement[{idx}]");
                match one {
                    Value::Object(one) => statement(&at, one, guarded, found),
                    _ => none(found.must(&at, "be an object")),
                }
            }
        }
        _ => none(found.must("policy.Statement", "be a statement or a list of statements")),
    }
}

fn statement(at: &str, given: &Map<String, Value>, guarded: Guarded<'_>, found: &mut Violations) {
    let Guarded { arn, authorizer } = guarded;
    known(at, given, &MEMBERS, found);
    if given.get("Sid").is_some_and(|sid| !sid.is_string()) {
        none(found.must(&format!("{at}.Sid"), "be a string"));
    }
    if !matches!(given.get("Effect").and_then(Value::as_str), Some("Allow" | "Deny")) {
        none(found.must(&format!("{at}.Effect"), "satisfy enum value set: [Allow, Deny]"));
    }
    if let Some((name, principal)) = one_of(at, given, ["Principal", "NotPrincipal"], found) {
        let at = format!("{at}.{name}");
        match authorizer {
            // Who comes with a token is no principal of IAM's.
            Authorizer::CustomJwt if name != "Principal" || principal != "*" => {
                let sentence =
                    "a runtime with an authorizerConfiguration takes statements with \"Principal\": \"*\" only";
                none(found.say(&at, sentence));
            }
            Authorizer::SigV4 if !is_principal(principal) => {
                let kinds = PRINCIPALS.join(", ");
                none(found.must(&at, format_args!("be \"*\" or an object of {kinds} with text or lists of text")));
            }
            Authorizer::CustomJwt | Authorizer::SigV4 => {}
        }
    }
    if let Some((name, action)) = one_of(at, given, ["Action", "NotAction"], found)
        && !is_text(action, |text| text == "*" || is_action(text))
    {
        none(found.must(&format!("{at}.{name}"), "be \"*\", or an action or a list of actions, SERVICE:NAME each"));
    }
    if !given.get("Resource").is_some_and(|resource| is_text(resource, |text| text == arn)) {
        none(found.must(&format!("{at}.Resource"), format_args!("be the ARN of the resource itself, {arn}")));
    }
    if given.get("Condition").is_some_and(|condition| !is_condition(condition)) {
        let rule = "be an object of operators, each an object of keys with text, numbers, booleans or lists of them";
        none(found.must(&format!("{at}.Condition"), rule));
    }
}

/// Notes members that the language does not have: a misspelt one would be a rule that does not apply.
fn known(at: &str, given: &Map<String, Value>, names: &[&str], found: &mut Violations) {
    for name in given.keys().filter(|name| !names.contains(&name.as_str())) {
        let at = format!("{at}.{name}");
        none(found.must(&at, format_args!("not be there; there are {}", names.join(", "))));
    }
}

/// Returns the one of two members that is there.
fn one_of<'g>(
    at: &str,
    given: &'g Map<String, Value>,
    names: [&'static str; 2],
    found: &mut Violations,
) -> Option<(&'static str, &'g Value)> {
    match names.map(|name| given.get(name).map(|value| (name, value))) {
        [Some(one), None] | [None, Some(one)] => Some(one),
        _ => found.must(at, format_args!("have exactly one of {} and {}", names[0], names[1])),
    }
}

fn is_principal(value: &Value) -> bool {
    match value {
        Value::String(text) => text == "*",
        Value::Object(kinds) => {
            let is_one = |(kind, who): (&String, &Value)| PRINCIPALS.contains(&kind.as_str()) && is_text(who, |_| true);
            !kinds.is_empty() && kinds.iter().all(is_one)
        }
        _ => false,
    }
}

/// Tells whether it is `SERVICE:NAME`.
fn is_action(text: &str) -> bool {
    text.split_once(':').is_some_and(|(service, name)| !service.is_empty() && !name.is_empty() && !name.contains(':'))
}

fn is_condition(value: &Value) -> bool {
    let is_scalar = |value: &Value| value.is_string() || value.is_number() || value.is_boolean();
    let is_value = |value: &Value| match value {
        Value::Array(values) => values.iter().all(is_scalar),
        value => is_scalar(value),
    };
    let is_operator =
        |operator: &Value| operator.as_object().is_some_and(|keys| !keys.is_empty() && keys.values().all(is_value));
    value.as_object().is_some_and(|operators| operators.values().all(is_operator))
}

/// Tells whether it is a text, or a list of at least one, that `is_good` takes.
fn is_text(value: &Value, is_good: impl Fn(&str) -> bool) -> bool {
    match value {
        Value::String(text) => is_good(text),
        Value::Array(texts) => !texts.is_empty() && texts.iter().all(|text| text.as_str().is_some_and(&is_good)),
        _ => false,
    }
}

fn none(_: Option<()>) {}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const ARN: &str = "arn:aws:bedrock-agentcore:us-west-2:000000000000:runtime/hello-Ab3dE6gH9j";

    fn statement_with(name: &str, value: Value) -> Value {
        let mut statement = json!({
            "Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::111122223333:root"},
            "Action": "bedrock-agentcore:InvokeAgentRuntime", "Resource": ARN,
        });
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
    fn breaks(policy: &str, expect: &[&str]) {
        breaks_where(Authorizer::SigV4, policy, expect);
    }

    #[track_caller]
    fn breaks_where(authorizer: Authorizer, policy: &str, expect: &[&str]) {
        let mut found = Violations::default();
        check(policy, Guarded { arn: ARN, authorizer }, &mut found);
        let fields = found.into_fields();
        assert_eq!(fields.iter().map(|field| field.name.as_str()).collect::<Vec<_>>(), expect, "{policy}");
    }

    #[test]
    fn policies_of_the_language_pass() {
        breaks(&document(statement_with("Sid", json!("one"))), &[]);
        breaks(
            &document(json!([statement_with("Principal", json!("*")), statement_with("Resource", json!([ARN]))])),
            &[],
        );
        breaks(&document(statement_with("Action", json!(["bedrock-agentcore:*", "*"]))), &[]);
        let condition =
            json!({"StringEquals": {"aws:SourceVpc": ["vpc-1", "vpc-2"]}, "Bool": {"aws:SecureTransport": true}});
        breaks(&document(statement_with("Condition", condition)), &[]);
        breaks(&json!({"Statement": statement_with("Sid", json!("no version"))}).to_string(), &[]);
        let mut denies = statement_with("Principal", Value::Null);
        denies["NotPrincipal"] = json!({"Service": ["x.amazonaws.com"]});
        breaks(&document(denies), &[]);
    }

    #[test]
    fn what_is_no_policy_is_told_apart() {
        breaks("no", &["policy"]);
        breaks("[]", &["policy"]);
        breaks(&"[".repeat(10_000), &["policy"]);
        breaks("{}", &["policy.Statement"]);
        breaks(&document(json!([])), &["policy.Statement"]);
        breaks(&document(json!([1])), &["policy.Statement[0]"]);
        let more = json!({"Version": "2013", "Id": 1, "Statment": 1, "Statement": statement_with("Sid", json!(1))});
        let expect = ["policy.Statment", "policy.Version", "policy.Id", "policy.Statement.Sid"];
        breaks(&more.to_string(), &expect);
    }

    #[test]
    fn each_rule_of_a_statement_is_checked() {
        for (name, value, at) in [
            ("Effect", json!("allow"), "policy.Statement.Effect"),
            ("Principal", json!("me"), "policy.Statement.Principal"),
            ("Principal", json!({}), "policy.Statement.Principal"),
            ("Principal", json!({"Aws": "*"}), "policy.Statement.Principal"),
            ("Principal", Value::Null, "policy.Statement"),
            ("NotPrincipal", json!("*"), "policy.Statement"),
            ("Action", json!([]), "policy.Statement.Action"),
            ("Action", json!("Invoke"), "policy.Statement.Action"),
            ("Action", json!(":"), "policy.Statement.Action"),
            ("Action", json!("bedrock-agentcore:"), "policy.Statement.Action"),
            ("Action", json!(":InvokeAgentRuntime"), "policy.Statement.Action"),
            ("Action", json!("a:b:c"), "policy.Statement.Action"),
            ("Action", Value::Null, "policy.Statement"),
            ("Resource", json!("*"), "policy.Statement.Resource"),
            ("Resource", json!([ARN, "*"]), "policy.Statement.Resource"),
            ("Resource", json!(format!("{ARN}/runtime-endpoint/prod")), "policy.Statement.Resource"),
            ("Resource", Value::Null, "policy.Statement.Resource"),
            ("NotResource", json!(ARN), "policy.Statement.NotResource"),
            ("Condition", json!([]), "policy.Statement.Condition"),
            ("Condition", json!({"StringEquals": {}}), "policy.Statement.Condition"),
            ("Condition", json!({"StringEquals": {"a": {}}}), "policy.Statement.Condition"),
        ] {
            breaks(&document(statement_with(name, value)), &[at]);
        }
    }
    #[test]
    fn where_tokens_are_asked_for_the_principal_is_everyone() {
        let check = |policy: &str, expect| breaks_where(Authorizer::CustomJwt, policy, expect);
        check(&document(statement_with("Principal", json!("*"))), &[]);
        check(&document(statement_with("Principal", json!({"AWS": "*"}))), &["policy.Statement.Principal"]);
        let mut others = statement_with("Principal", Value::Null);
        others["NotPrincipal"] = json!("*");
        check(&document(others), &["policy.Statement.NotPrincipal"]);
    }
}
