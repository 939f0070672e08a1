//! How two versions of a runtime differ: which members are their configuration, what of it is a secret, and what is different by path.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// The members that UpdateAgentRuntime takes and GetAgentRuntime returns. An update replaces everything: what is not among them
/// would be reset by each. Source: service model.
pub const CONFIGURATION: [&str; 16] = [
    "agentRuntimeArtifact",
    "roleArn",
    "networkConfiguration",
    "description",
    "authorizerConfiguration",
    "requestHeaderConfiguration",
    "protocolConfiguration",
    "lifecycleConfiguration",
    "hooksConfiguration",
    "metadataConfiguration",
    "environmentVariables",
    "filesystemConfigurations",
    "capacityProviderConfiguration",
    "platformVersion",
    "allowedPorts",
    "resourceConfigurations",
];

/// Shown in place of an environment variable's value, which may be a secret.
pub const MASK: &str = "****";

/// One difference. Without `before` it came, without `after` it went.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Difference {
    /// Members' names, with dots between.
    pub path: String,
    /// As it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Value>,
    /// As it is then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Value>,
}

/// Returns what of an answer to GetAgentRuntime is the version's configuration: what an update has to repeat.
pub fn configuration(mut document: Map<String, Value>) -> Map<String, Value> {
    document.retain(|member, value| CONFIGURATION.contains(&member.as_str()) && !value.is_null());
    document
}

/// Tells whether what is at `path` may be shown only if it is asked for.
pub fn is_sensitive(path: &str) -> bool {
    path.starts_with("environmentVariables.")
}

/// Returns what is different, by path. Lists are compared as wholes. Nothing is masked: see [`Difference::mask`].
pub fn differences(before: &Map<String, Value>, after: &Map<String, Value>) -> Vec<Difference> {
    let mut found = Vec::new();
    members("", Some(before), Some(after), &mut found);
    found
}

impl Difference {
    /// Hides the value of an environment variable.
    pub fn mask(&mut self) {
        if is_sensitive(&self.path) {
            self.before.iter_mut().chain(&mut self.after).for_each(|value| *value = MASK.into());
        }
    }
}

fn members(
    path: &str,
    before: Option<&Map<String, Value>>,
    after: Option<&Map<String, Value>>,
    found: &mut Vec<Difference>,
) {
    let keys = |map: Option<&Map<String, Value>>| map.into_iter().flat_map(Map::keys).cloned().collect::<Vec<_>>();
    let mut names = keys(before);
    names.extend(keys(after));
    names.sort();
    names.dedup();
    for name in names {
        let at = |map: Option<&Map<String, Value>>| map.and_then(|map| map.get(&name)).cloned();
        let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        value(path, at(before), at(after), found);
    }
}

fn value(path: String, before: Option<Value>, after: Option<Value>, found: &mut Vec<Difference>) {
    match (before, after) {
        (Some(Value::Object(before)), Some(Value::Object(after))) => {
            members(&path, Some(&before), Some(&after), found);
        }
        // What comes or goes as a whole is told leaf by leaf: that is where one looks for it.
        (None, Some(Value::Object(after))) if !after.is_empty() => members(&path, None, Some(&after), found),
        (Some(Value::Object(before)), None) if !before.is_empty() => members(&path, Some(&before), None, found),
        (before, after) if before != after => found.push(Difference { path, before, after }),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fmt;

    use serde::de::{Deserialize, Deserializer, Error, Visitor};
    use serde_json::json;

    use super::*;
    use crate::control::{AgentRuntimeRequest, GetAgentRuntimeResponse};

    /// What stands in for an input: it fails with the names of the members that a type asks for.
    struct Names;

    #[derive(Debug)]
    struct Asked(BTreeSet<&'static str>);

    impl<'de> Deserializer<'de> for Names {
        type Error = Asked;

        fn deserialize_struct<V: Visitor<'de>>(
            self,
            _: &'static str,
            fields: &'static [&'static str],
            _: V,
        ) -> Result<V::Value, Asked> {
            Err(Asked(fields.iter().copied().collect()))
        }

        fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Asked> {
            Err(Asked(BTreeSet::new()))
        }

        serde::forward_to_deserialize_any! {
            bool i8 i16 i32 i64 u8 u16 u32 u64 f32 f64 char str string bytes byte_buf option unit unit_struct newtype_struct seq
            tuple tuple_struct map enum identifier ignored_any
        }
    }

    impl fmt::Display for Asked {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("names")
        }
    }

    impl std::error::Error for Asked {}

    impl Error for Asked {
        fn custom<T: fmt::Display>(_: T) -> Self {
            Self(BTreeSet::new())
        }
    }

    fn members<T: for<'de> Deserialize<'de> + fmt::Debug>() -> BTreeSet<&'static str> {
        T::deserialize(Names).unwrap_err().0
    }

    #[test]
    fn an_update_forgets_no_member() {
        let repeated = BTreeSet::from(CONFIGURATION);
        let not_for_updates = BTreeSet::from(["agentRuntimeName", "clientToken", "tags"]);
        assert_eq!(members::<AgentRuntimeRequest>(), &repeated | &not_for_updates);
        let about_it = BTreeSet::from([
            "agentRuntimeArn",
            "agentRuntimeName",
            "agentRuntimeId",
            "agentRuntimeVersion",
            "createdAt",
            "lastUpdatedAt",
            "status",
            "failureReason",
            "workloadIdentityDetails",
        ]);
        assert_eq!(&members::<GetAgentRuntimeResponse>() - &repeated, about_it);
    }

    #[test]
    fn a_configuration_is_what_can_be_sent_again() {
        let Value::Object(document) = json!({
            "agentRuntimeName": "hello", "status": "READY", "createdAt": "2026-11-20T10:00:00.000Z", "roleArn": "arn",
            "allowedPorts": [9000], "description": null, "hooksConfiguration": {"build": {"someday": 1}},
        }) else {
            unreachable!()
        };
        let kept = json!({"roleArn": "arn", "allowedPorts": [9000], "hooksConfiguration": {"build": {"someday": 1}}});
        assert_eq!(Value::Object(configuration(document)), kept);
    }

    fn check(before: &Value, after: &Value, expect: &Value) {
        let mut found = differences(before.as_object().unwrap(), after.as_object().unwrap());
        found.iter_mut().for_each(Difference::mask);
        assert_eq!(serde_json::to_value(found).unwrap(), *expect);
    }

    #[test]
    fn differences_are_told_by_path() {
        check(&json!({"a": 1, "b": {"c": [1, 2]}}), &json!({"b": {"c": [1, 2]}, "a": 1}), &json!([]));
        check(
            &json!({"same": 1, "gone": {"x": true}, "list": [1], "deep": {"er": {"n": 1, "m": 2}}}),
            &json!({"same": 1, "new": {"y": "z"}, "list": [1, 2], "deep": {"er": {"n": 3, "m": 2}}, "empty": {}}),
            &json!([
                {"path": "deep.er.n", "before": 1, "after": 3},
                {"path": "empty", "after": {}},
                {"path": "gone.x", "before": true},
                {"path": "list", "before": [1], "after": [1, 2]},
                {"path": "new.y", "after": "z"},
            ]),
        );
    }

    #[test]
    fn values_of_environment_variables_are_masked() {
        check(
            &json!({"environmentVariables": {"A": "1", "B": "2", "C": "3"}}),
            &json!({"environmentVariables": {"A": "1", "B": "x", "D": "4"}}),
            &json!([
                {"path": "environmentVariables.B", "before": MASK, "after": MASK},
                {"path": "environmentVariables.C", "before": MASK},
                {"path": "environmentVariables.D", "after": MASK},
            ]),
        );
    }
}
