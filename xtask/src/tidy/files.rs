//! How a Rust file looks: its head, its length, its name.

use super::Report;
use super::tree::File;

/// Lines of code, tests aside, from which on a file should be split.
const LONG: usize = 400;

/// Lines of code, tests aside, that no file may exceed.
const TOO_LONG: usize = 800;

/// Names that say nothing of what a file owns.
const VAGUE: [&str; 8] = ["utils", "util", "common", "helpers", "helper", "manager", "misc", "prelude"];

/// Checks one file; whole rules apply to what is compiled into a product or a tool of ours.
pub(super) fn check(file: &File, report: &mut Report) {
    let parts: Vec<&str> = file.path.split('/').collect();
    let is_source =
        matches!(parts.as_slice(), ["crates", _, "src", ..] | ["xtask", "src", ..] | ["bench", _, "src", ..]);
    let Some(stem) = parts.last().and_then(|name| name.strip_suffix(".rs")) else { return };
    if stem == "mod" {
        report.error(&file.path, "write foo.rs beside foo/, never mod.rs");
    }
    if parts.iter().any(|part| VAGUE.contains(&part.trim_end_matches(".rs"))) {
        report.error(&file.path, "name the file after what it owns");
    }
    if !is_source {
        return;
    }
    if !file.text.starts_with("//! ") {
        report.error(&file.path, "begin with `//!`: what this file owns and what it must not know");
    }
    if stem != "tests" && !parts.contains(&"tests") {
        check_length(&file.path, lines_of_code(&file.text), report);
    }
}

fn check_length(path: &str, lines: usize, report: &mut Report) {
    if lines > TOO_LONG {
        report.error(path, format_args!("{lines} lines; more than {TOO_LONG} is too much for one subject"));
    } else if lines > LONG {
        report.warn(path, format_args!("{lines} lines; think about what could move out"));
    }
}

/// Returns the number of lines before the file's inline tests.
fn lines_of_code(text: &str) -> usize {
    let is_test_mark = |line: &str| line == "#[cfg(test)]";
    let lines: Vec<&str> = text.lines().collect();
    let tests = lines.windows(2).position(|pair| {
        matches!(pair, [mark, module] if is_test_mark(mark) && module.starts_with("mod ") && module.ends_with('{'))
    });
    tests.unwrap_or(lines.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn errors(path: &str, text: &str) -> usize {
        let mut report = Report::default();
        check(&File { path: path.to_owned(), text: text.to_owned() }, &mut report);
        report.errors.len()
    }

    #[test]
    fn a_source_file_says_what_it_owns() {
        assert_eq!(errors("crates/types/src/ids.rs", "//! Identifiers.\n"), 0);
        assert_eq!(errors("crates/types/src/ids.rs", "use std::fmt;\n"), 1);
        assert_eq!(errors("examples/hello/thing.rs", "use std::fmt;\n"), 0);
    }

    #[test]
    fn names_that_say_nothing_are_refused() {
        assert_eq!(errors("crates/types/src/utils.rs", "//! Things.\n"), 1);
        assert_eq!(errors("crates/types/src/ids/mod.rs", "//! Things.\n"), 1);
    }

    #[test]
    fn tests_do_not_count_towards_a_file_s_length() {
        let code = "//! Code.\n".repeat(TOO_LONG);
        assert_eq!(errors("crates/types/src/ids.rs", &format!("{code}#[cfg(test)]\nmod tests {{\n{code}}}\n")), 0);
        assert_eq!(errors("crates/types/src/ids.rs", &format!("{code}{code}")), 1);
        assert_eq!(errors("crates/types/src/ids/tests.rs", &format!("{code}{code}")), 0);
    }
}
