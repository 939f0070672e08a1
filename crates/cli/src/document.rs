//! A version's configuration as the API describes it: which of its members an update repeats, and how people read it. Members are
//! passed on as they came, so that one which this program has no name for is never lost.

use innkeep_sdk::Document;
use serde_json::Value;

use crate::failure::Failure;
use crate::output::{Output, Style};

/// The members that UpdateAgentRuntime takes and GetAgentRuntime returns. An update replaces everything: what is not among them
/// would be reset by each. Source: service model.
const CONFIGURATION: [&str; 16] = [
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

/// What is shown of a document first, in this order.
const FIRST: [&str; 10] = [
    "agentRuntimeName",
    "name",
    "agentRuntimeId",
    "id",
    "agentRuntimeVersion",
    "status",
    "failureReason",
    "liveVersion",
    "targetVersion",
    "split",
];

/// Shown in place of an environment variable's value, which may be a secret.
pub(crate) const MASK: &str = "****";

/// Returns what of an answer to GetAgentRuntime is the version's configuration: what an update has to repeat.
pub(crate) fn configuration(mut document: Document) -> Document {
    document.retain(|member, value| CONFIGURATION.contains(&member.as_str()) && !value.is_null());
    document
}

/// Tells whether what is at `path` may be shown only if it is asked for.
pub(crate) fn is_sensitive(path: &str) -> bool {
    path.starts_with("environmentVariables.")
}

/// Prints a document, one line for each of its leaves.
pub(crate) fn show(out: Output, document: &Document, show_values: bool) -> Result<(), Failure> {
    let mut leaves = Vec::new();
    let order = |member: &str| FIRST.iter().position(|first| *first == member).unwrap_or(FIRST.len());
    let mut members: Vec<_> = document.iter().collect();
    members.sort_by_key(|(member, _)| order(member));
    for (member, value) in members {
        flatten(member, value, &mut leaves);
    }
    let width = leaves.iter().map(|(path, _)| path.chars().count()).max().unwrap_or(0);
    leaves.iter().try_for_each(|(path, value)| {
        let text = if is_sensitive(path) && !show_values { MASK.to_owned() } else { text(value) };
        out.data(format!("{}  {text}", out.out(Style::Dim, &format!("{path:width$}"))))
    })
}

/// Returns a leaf as people read it: a string without its quotes, everything else as JSON. A string that would command the terminal
/// is escaped: other clients wrote it.
pub(crate) fn text(value: &Value) -> String {
    let commands = |text: &str| text.chars().any(|c| c.is_control() && c != '\n');
    match value {
        Value::String(text) if commands(text) => format!("{text:?}"),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// Returns the first line of what other clients wrote, for a table.
pub(crate) fn line(words: &str) -> String {
    text(&words.lines().next().unwrap_or_default().into())
}

fn flatten<'a>(path: &str, value: &'a Value, leaves: &mut Vec<(String, &'a Value)>) {
    match value {
        Value::Object(members) if !members.is_empty() => {
            members.iter().for_each(|(member, value)| flatten(&format!("{path}.{member}"), value, leaves));
        }
        leaf => leaves.push((path.to_owned(), leaf)),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fmt;

    use innkeep_protocol::control::{AgentRuntimeRequest, GetAgentRuntimeResponse};
    use serde::de::{Deserialize, Deserializer, Error, Visitor};
    use serde_json::json;

    use super::*;

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
    fn words_do_not_command_the_terminal() {
        assert_eq!(text(&json!("a\nb")), "a\nb");
        assert_eq!(text(&json!("\u{1b}[2J")), r#""\u{1b}[2J""#);
        assert_eq!(line("first\nsecond"), "first");
        assert_eq!(line("bell\u{7}\nx"), r#""bell\u{7}""#);
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
}
