//! `docs/threat-model.md` makes no promise that no test proves: its numbered lines, its table of proofs, and the tests agree.

use std::collections::{BTreeMap, BTreeSet};

use super::Report;
use super::tree::File;

/// The document.
const MODEL: &str = "docs/threat-model.md";

/// What begins the table of proofs.
const PROOFS: &str = "\n## Proofs\n";

/// End-to-end tests that exist to prove a line, by the beginning of their file's path.
const SECURITY_TESTS: &str = "e2e/tests/test_container_security";

/// Checks the document against the tests.
pub(super) fn check(files: &[File], report: &mut Report) {
    let Some(model) = files.iter().find(|file| file.path == MODEL) else {
        return report.error(MODEL, "is missing");
    };
    let (promises, proofs) = model.text.split_once(PROOFS).unwrap_or((&model.text, ""));
    let promised: BTreeSet<&str> = rows(promises).map(|(line, _)| line).collect();
    let proved: BTreeMap<&str, Vec<&str>> = rows(proofs).map(|(line, rest)| (line, quoted(rest).collect())).collect();
    for line in &promised {
        if proved.get(line).is_none_or(Vec::is_empty) {
            report.error(MODEL, format_args!("{line} is promised and not proved"));
        }
    }
    for line in proved.keys().filter(|line| !promised.contains(*line)) {
        report.error(MODEL, format_args!("{line} is proved and not promised"));
    }
    let tests = tests(files);
    for (line, test) in proved.iter().flat_map(|(line, tests)| tests.iter().map(move |test| (line, test))) {
        if !tests.contains_key(test) {
            report.error(MODEL, format_args!("{line} is proved by {test}, which is not there"));
        }
    }
    for (test, (file, docstring)) in &tests {
        if file.path.starts_with(SECURITY_TESTS) {
            let named: Vec<&str> = lines(docstring).collect();
            if named.is_empty() || named.iter().any(|line| !proved.get(line).is_some_and(|all| all.contains(test))) {
                report.error(&file.path, format_args!("{test} names the line that it proves, and that line names it"));
            }
        }
    }
}

/// Returns every test by name, with its file and the line after its head.
fn tests(files: &[File]) -> BTreeMap<&str, (&File, &str)> {
    let mut found = BTreeMap::new();
    for file in files {
        let head = match () {
            () if file.path.starts_with("e2e/tests/") => "def test_",
            () if file.path.starts_with("crates/") && file.path.ends_with(".rs") => "fn ",
            () => continue,
        };
        let mut text = file.text.lines().peekable();
        while let Some(line) = text.next() {
            let Some((_, rest)) = line.split_once(head) else { continue };
            let start = line.len() - rest.len() - if head == "fn " { 0 } else { "test_".len() };
            let name = line.get(start..).and_then(|rest| rest.split(['(', '<']).next()).unwrap_or_default();
            found.insert(name, (file, text.peek().copied().unwrap_or_default()));
        }
    }
    found
}

/// Returns the rows of tables that begin with a line's number: the number, and the rest.
fn rows(text: &str) -> impl Iterator<Item = (&str, &str)> {
    text.lines().filter_map(|row| {
        let (line, rest) = row.strip_prefix("| ")?.split_once(" | ")?;
        is_line(line).then_some((line, rest))
    })
}

/// Returns the numbers of lines that a sentence names.
fn lines(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| is_line(word))
}

fn is_line(word: &str) -> bool {
    word.strip_prefix('T').is_some_and(|number| number.parse::<u32>().is_ok())
}

fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn errors(model: &str, test: &str) -> Vec<String> {
        let file = |path: &str, text: &str| File { path: path.to_owned(), text: text.to_owned() };
        let files = [
            file(MODEL, model),
            file("e2e/tests/test_container_security.py", test),
            file("crates/link/src/tests.rs", "async fn a_flood_ends_the_link() {\n"),
        ];
        let mut report = Report::default();
        check(&files, &mut report);
        report.errors
    }

    const MODEL_TEXT: &str =
        "| T1 | no signal |\n| T2 | no flood |\n## Proofs\n| T1 | `test_signals` |\n| T2 | `a_flood_ends_the_link` |\n";
    const TEST: &str = "def test_signals(world):\n    \"\"\"T1: none.\"\"\"\n";

    #[test]
    fn promises_proofs_and_tests_agree() {
        assert_eq!(errors(MODEL_TEXT, TEST), [""; 0]);
    }

    #[test]
    fn a_promise_needs_a_proof_and_a_proof_a_promise_and_a_test() {
        let cut = |row: &str| errors(&MODEL_TEXT.replace(row, ""), TEST);
        assert!(cut("| T2 | `a_flood_ends_the_link` |\n").concat().contains("T2 is promised and not proved"));
        assert!(cut("| T2 | no flood |\n").concat().contains("T2 is proved and not promised"));
        let renamed = errors(&MODEL_TEXT.replace("a_flood_ends", "a_trickle_ends"), TEST);
        assert!(renamed.concat().contains("a_trickle_ends_the_link, which is not there"), "{renamed:?}");
    }

    #[test]
    fn a_security_test_names_its_line_and_is_named_there() {
        for test in [
            TEST.replace("T1: none", "none"),
            TEST.replace("T1", "T2"),
            TEST.replace("T1", "T9"),
            format!("{TEST}def test_more(world):\n    pass\n"),
        ] {
            assert_eq!(errors(MODEL_TEXT, &test).len(), 1, "{test}");
        }
    }
}
