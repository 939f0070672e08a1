//! What Create and Update are asked for, as documents: an update repeats the version before, and the plan changes it.

use innkeep_protocol::diff::configuration;
use innkeep_protocol::operator::UploadedArtifact;
use innkeep_sdk::Document;
use serde_json::{Map, Value, json};

use super::Plan;
use crate::failure::{Code, Failure};

/// One `--env`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum EnvironmentChange {
    Set(String, String),
    Remove(String),
}

/// Returns what creates the runtime of `plan`.
pub(crate) fn create_request(account: &str, plan: &Plan, artifact: Value) -> Result<Document, Failure> {
    // The role is stored and shown, not assumed: none of that name has to exist.
    let role = ("roleArn".to_owned(), format!("arn:aws:iam::{account}:role/innkeep").into());
    let mut request = apply(plan, Document::from_iter([role]), Some(artifact))?;
    request.insert("agentRuntimeName".to_owned(), plan.name.as_str().into());
    Ok(request)
}

/// Returns `current`, an answer to GetAgentRuntime, as an update sends it again, changed as `plan` says; with `artifact`, if there is
/// another one.
pub(crate) fn apply(plan: &Plan, current: Document, artifact: Option<Value>) -> Result<Document, Failure> {
    let mut request = configuration(current);
    let environment = match request.remove("environmentVariables") {
        None => Map::new(),
        Some(Value::Object(variables)) => variables,
        Some(_) => return Err(Failure::new(Code::Failed, "the server's environmentVariables are no object")),
    };
    let environment = environment_after(environment, &plan.environment);
    let protocol = plan.protocol.as_ref().map(|protocol| json!({"serverProtocol": protocol.to_ascii_uppercase()}));
    let changes = [
        ("agentRuntimeArtifact", artifact),
        ("environmentVariables", Some(Value::Object(environment)).filter(|e| *e != json!({}))),
        ("protocolConfiguration", protocol),
        ("authorizerConfiguration", plan.authorizer.clone()),
    ];
    for (member, value) in changes {
        match value {
            None => continue,
            Some(Value::Null) => request.remove(member),
            Some(value) => request.insert(member.to_owned(), value),
        };
    }
    Ok(request)
}

/// Returns the `agentRuntimeArtifact` of an image.
pub(crate) fn container(uri: &str) -> Value {
    json!({"containerConfiguration": {"containerUri": uri}})
}

/// Returns the `agentRuntimeArtifact` of an uploaded zip.
pub(super) fn code(artifact: &UploadedArtifact) -> Value {
    let UploadedArtifact { bucket, prefix, runtime, entry_point, notes: _ } = artifact;
    let s3 = json!({"bucket": bucket, "prefix": prefix});
    json!({"codeConfiguration": {"code": {"s3": s3}, "runtime": runtime, "entryPoint": entry_point}})
}

fn environment_after(mut variables: Map<String, Value>, changes: &[EnvironmentChange]) -> Map<String, Value> {
    for change in changes {
        match change {
            EnvironmentChange::Set(name, value) => variables.insert(name.clone(), value.as_str().into()),
            EnvironmentChange::Remove(name) => variables.remove(name),
        };
    }
    variables
}

#[cfg(test)]
mod tests {
    use innkeep_types::RuntimeName;

    use super::*;

    fn plan() -> Plan {
        Plan::new(RuntimeName::parse("hello").unwrap())
    }

    fn check(plan: &Plan, current: Value, artifact: Option<Value>, expect: Value) {
        let Value::Object(current) = current else { unreachable!() };
        assert_eq!(Value::Object(apply(plan, current, artifact).unwrap()), expect);
    }

    #[test]
    fn variables_are_changed_and_not_replaced() {
        let mut plan = plan();
        plan.environment = vec![
            EnvironmentChange::Set("A".to_owned(), "9".to_owned()),
            EnvironmentChange::Remove("B".to_owned()),
            EnvironmentChange::Set("C".to_owned(), String::new()),
        ];
        let current = json!({"environmentVariables": {"A": "1", "B": "2"}, "status": "READY"});
        check(&plan, current, None, json!({"environmentVariables": {"A": "9", "C": ""}}));
        plan.environment.truncate(2);
        plan.environment.remove(0);
        check(&plan, json!({"environmentVariables": {"B": "2"}}), None, json!({}));
    }

    #[test]
    fn what_the_plan_does_not_name_is_repeated() {
        let current = json!({
            "agentRuntimeArtifact": {"codeConfiguration": {}}, "roleArn": "r", "allowedPorts": [9000],
            "protocolConfiguration": {"serverProtocol": "HTTP", "port": 9001}, "authorizerConfiguration": {"x": 1},
        });
        let mut expect = current.clone();
        expect["agentRuntimeArtifact"] = container("a/b:c");
        check(&plan(), current.clone(), Some(container("a/b:c")), expect.clone());
        let changed = Plan { protocol: Some("mcp".to_owned()), authorizer: Some(Value::Null), ..plan() };
        expect["protocolConfiguration"] = json!({"serverProtocol": "MCP"});
        expect.as_object_mut().unwrap().remove("authorizerConfiguration");
        check(&changed, current, Some(container("a/b:c")), expect);
    }

    #[test]
    fn a_new_runtime_has_a_name_and_a_role() {
        let request = create_request("000000000000", &plan(), container("a/b:c")).unwrap();
        let expect = json!({
            "agentRuntimeName": "hello", "roleArn": "arn:aws:iam::000000000000:role/innkeep",
            "agentRuntimeArtifact": {"containerConfiguration": {"containerUri": "a/b:c"}},
        });
        assert_eq!(Value::Object(request), expect);
    }
}
