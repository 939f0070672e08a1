//! The difference between two configurations, by path: added, removed, changed.

use innkeep_protocol::diff::{self, Difference, MASK};
use innkeep_sdk::Document;
use serde::Serialize;
use serde_json::Value;

use crate::document;
use crate::failure::Failure;
use crate::output::{Output, Style};

/// Characters of a value that are shown. Source: our choice; an image's reference with its digest fits.
const LONGEST: usize = 200;

/// Where the digest of uploaded code stands, which is its name in the built-in store, or the key of another store's object.
const CODE: &str = "agentRuntimeArtifact.codeConfiguration.code.s3.prefix";

/// One difference.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "change", rename_all = "lowercase")]
pub(crate) enum Change {
    Added { path: String, after: Value },
    Removed { path: String, before: Value },
    Changed { path: String, before: Value, after: Value },
}

impl Change {
    /// Tells whether it is one of the code alone.
    pub(crate) fn is_of_code(&self) -> bool {
        matches!(self, Self::Changed { path, .. } if path == CODE)
    }
}

/// Returns what is different, by path. Lists are compared as wholes; values of environment variables are masked unless
/// `show_values`.
pub(crate) fn diff(before: &Document, after: &Document, show_values: bool) -> Vec<Change> {
    let mut differences = diff::differences(before, after);
    if !show_values {
        differences.iter_mut().for_each(Difference::mask);
    }
    differences.into_iter().filter_map(change).collect()
}

/// Prints differences, or that there are none.
pub(crate) fn show(out: Output, changes: &[Change]) -> Result<(), Failure> {
    if changes.is_empty() {
        out.note("no difference");
    }
    for change in changes {
        let (style, line) = match change {
            Change::Added { path, after } => (Style::Green, format!("+ {path}  {}", brief(after))),
            Change::Removed { path, before } => (Style::Red, format!("- {path}  {}", brief(before))),
            Change::Changed { path, before, after } if path == CODE => {
                (Style::Yellow, format!("~ code changed  {} → {}", short(before), short(after)))
            }
            Change::Changed { path, before, after } => {
                (Style::Yellow, format!("~ {path}  {} → {}", brief(before), brief(after)))
            }
        };
        out.data(out.out(style, &line))?;
    }
    if changes.iter().any(is_masked) {
        out.note(out.err(Style::Dim, "--show-values shows the values of environment variables"));
    }
    Ok(())
}

fn change(Difference { path, before, after }: Difference) -> Option<Change> {
    match (before, after) {
        (None, Some(after)) => Some(Change::Added { path, after }),
        (Some(before), None) => Some(Change::Removed { path, before }),
        (Some(before), Some(after)) => Some(Change::Changed { path, before, after }),
        (None, None) => None,
    }
}

/// Returns what names uploaded code as people tell it apart: the beginning of a digest, or the name that somebody gave it.
fn short(name: &Value) -> String {
    let text = brief(name);
    let is_digest = text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    if is_digest { text.chars().take(12).collect() } else { text }
}

/// Returns a value as people read it, and of a long one its beginning.
fn brief(value: &Value) -> String {
    let text = document::text(value);
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}… ({} characters)", &text[..end], text.chars().count()),
        None => text,
    }
}

fn is_masked(change: &Change) -> bool {
    match change {
        Change::Added { after: value, .. } | Change::Removed { before: value, .. } => value == MASK,
        Change::Changed { before, .. } => before == MASK,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(before: Value, after: Value, show_values: bool, expect: Value) {
        let (Value::Object(before), Value::Object(after)) = (before, after) else { unreachable!() };
        assert_eq!(serde_json::to_value(diff(&before, &after, show_values)).unwrap(), expect);
    }

    #[test]
    fn differences_are_told_by_path() {
        check(json!({"a": 1, "b": {"c": [1, 2]}}), json!({"b": {"c": [1, 2]}, "a": 1}), false, json!([]));
        check(
            json!({"same": 1, "gone": {"x": true}, "list": [1], "deep": {"er": {"n": 1, "m": 2}}}),
            json!({"same": 1, "new": {"y": "z"}, "list": [1, 2], "deep": {"er": {"n": 3, "m": 2}}, "empty": {}}),
            false,
            json!([
                {"change": "changed", "path": "deep.er.n", "before": 1, "after": 3},
                {"change": "added", "path": "empty", "after": {}},
                {"change": "removed", "path": "gone.x", "before": true},
                {"change": "changed", "path": "list", "before": [1], "after": [1, 2]},
                {"change": "added", "path": "new.y", "after": "z"},
            ]),
        );
    }

    #[test]
    fn values_of_environment_variables_are_shown_only_when_asked_for() {
        let before = json!({"environmentVariables": {"A": "1", "B": "2", "C": "3"}});
        let after = json!({"environmentVariables": {"A": "1", "B": "x", "D": "4"}});
        let changes = |b: &str, x: &str, c: &str, d: &str| {
            json!([
                {"change": "changed", "path": "environmentVariables.B", "before": b, "after": x},
                {"change": "removed", "path": "environmentVariables.C", "before": c},
                {"change": "added", "path": "environmentVariables.D", "after": d},
            ])
        };
        check(before.clone(), after.clone(), false, changes(MASK, MASK, MASK, MASK));
        check(before, after.clone(), true, changes("2", "x", "3", "4"));
        let all_new = json!([
            {"change": "added", "path": "environmentVariables.A", "after": MASK},
            {"change": "added", "path": "environmentVariables.B", "after": MASK},
            {"change": "added", "path": "environmentVariables.D", "after": MASK},
        ]);
        check(json!({}), after, false, all_new);
    }

    #[test]
    fn of_code_the_beginning_of_its_digest_is_shown() {
        assert_eq!(short(&json!("0123456789abcdef".repeat(4))), "0123456789ab");
        assert_eq!(short(&json!("releases/agent.zip")), "releases/agent.zip");
    }

    #[test]
    fn of_long_values_the_beginning_is_shown() {
        let text = "é".repeat(LONGEST);
        assert_eq!(brief(&json!(text)), text);
        assert_eq!(brief(&json!(format!("{text}x"))), format!("{text}… (201 characters)"));
        assert!(brief(&json!({"a": "x".repeat(800_000)})).ends_with("… (800008 characters)"));
    }
}
