//! What the API describes, as people read it.

use innkeep_protocol::diff::{MASK, is_sensitive};
use innkeep_sdk::Document;
use serde_json::Value;

use crate::failure::Failure;
use crate::output::{Output, Style};

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
    use serde_json::json;

    use super::*;

    #[test]
    fn words_do_not_command_the_terminal() {
        assert_eq!(text(&json!("a\nb")), "a\nb");
        assert_eq!(text(&json!("\u{1b}[2J")), r#""\u{1b}[2J""#);
        assert_eq!(line("first\nsecond"), "first");
        assert_eq!(line("bell\u{7}\nx"), r#""bell\u{7}""#);
    }
}
