//! What is a policy, and what policies decide.

mod conditions;
mod decisions;
mod documents;
mod properties;

use std::collections::BTreeMap;

use innkeep_types::AccountId;
use serde_json::{Value, json};

use super::*;

const RUNTIME: &str = "arn:aws:bedrock-agentcore:us-west-2:000000000000:runtime/hello-Ab3dE6gH9j";

fn principal(documents: &[Value]) -> Principal {
    let policies = documents.iter().map(|document| Policy::parse(&document.to_string(), Kind::Identity).unwrap());
    Principal::user("alice", &AccountId::parse("000000000000").unwrap(), policies.collect(), false)
}

fn attached(statement: Value) -> Policy {
    Policy::parse(&json!({"Statement": statement}).to_string(), Kind::Resource(RUNTIME)).unwrap()
}

/// Asks for an invocation of the runtime; returns why not, if not.
fn ask(caller: Caller<'_>, policy: Option<&Policy>) -> Option<Why> {
    let (tags, context) = (BTreeMap::new(), Context::default());
    let guarded = Guarded { arn: RUNTIME, policy, tags: &tags };
    match decide(&[guarded], &Request { caller, action: "InvokeAgentRuntime", context: &context }) {
        Decision::Allow => None,
        Decision::Deny(denial) => Some(denial.why),
    }
}
