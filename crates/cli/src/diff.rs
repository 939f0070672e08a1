//! The difference between two configurations, by path: added, removed, changed.

use innkeep_sdk::Document;
use serde::Serialize;
use serde_json::Value;

use crate::document::{self, MASK};
use crate::failure::Failure;
use crate::output::{Output, Style};

/// One difference.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "change", rename_all = "lowercase")]
pub(crate) enum Change {
    Added { path: String, after: Value },
    Removed { path: String, before: Value },
    Changed { path: String, before: Value, after: Value },
}

/// Returns what is different, by path. Lists are compared as wholes; values of environment variables are masked unless
/// `show_values`.
pub(crate) fn diff(before: &Document, after: &Document, show_values: bool) -> Vec<Change> {
    let mut changes = Vec::new();
    members("", Some(before), Some(after), &mut changes);
    if !show_values {
        changes.iter_mut().for_each(mask);
    }
    changes
}

/// Prints differences, or that there are none.
pub(crate) fn show(out: Output, changes: &[Change]) -> Result<(), Failure> {
    if changes.is_empty() {
        out.note("no difference");
    }
    for change in changes {
        let (style, line) = match change {
            Change::Added { path, after } => (Style::Green, format!("+ {path}  {}", document::text(after))),
            Change::Removed { path, before } => (Style::Red, format!("- {path}  {}", document::text(before))),
            Change::Changed { path, before, after } => {
                (Style::Yellow, format!("~ {path}  {} → {}", document::text(before), document::text(after)))
            }
        };
        out.data(out.out(style, &line))?;
    }
    if changes.iter().any(is_masked) {
        out.note(out.err(Style::Dim, "--show-values shows the values of environment variables"));
    }
    Ok(())
}

fn members(path: &str, before: Option<&Document>, after: Option<&Document>, changes: &mut Vec<Change>) {
    let keys = |document: Option<&Document>| document.into_iter().flat_map(Document::keys).cloned().collect::<Vec<_>>();
    let mut names = keys(before);
    names.extend(keys(after));
    names.sort();
    names.dedup();
    for name in names {
        let at = |document: Option<&Document>| document.and_then(|document| document.get(&name)).cloned();
        let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        value(path, at(before), at(after), changes);
    }
}

fn value(path: String, before: Option<Value>, after: Option<Value>, changes: &mut Vec<Change>) {
    match (before, after) {
        (Some(Value::Object(before)), Some(Value::Object(after))) => {
            members(&path, Some(&before), Some(&after), changes);
        }
        // What comes or goes as a whole is told leaf by leaf: that is where one looks for it.
        (None, Some(Value::Object(after))) if !after.is_empty() => members(&path, None, Some(&after), changes),
        (Some(Value::Object(before)), None) if !before.is_empty() => members(&path, Some(&before), None, changes),
        (None, Some(after)) => changes.push(Change::Added { path, after }),
        (Some(before), None) => changes.push(Change::Removed { path, before }),
        (Some(before), Some(after)) if before != after => changes.push(Change::Changed { path, before, after }),
        _ => {}
    }
}

fn is_masked(change: &Change) -> bool {
    match change {
        Change::Added { after: value, .. } | Change::Removed { before: value, .. } => value == MASK,
        Change::Changed { before, .. } => before == MASK,
    }
}

fn mask(change: &mut Change) {
    let hide = |path: &str, value: &mut Value| {
        if document::is_sensitive(path) {
            *value = MASK.into();
        }
    };
    match change {
        Change::Added { path, after: value } | Change::Removed { path, before: value } => hide(path, value),
        Change::Changed { path, before, after } => {
            hide(path, before);
            hide(path, after);
        }
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
}
