//! The rules of the tree that no compiler knows. Each file below owns one family; a rule adds what it finds to a [`Report`].
//!
//! `cargo xtask tidy` prints the report; the test at the end makes it part of every test run.

mod files;
mod layers;
mod migrations;
mod threats;
mod tree;
mod words;

use std::path::Path;

use anyhow::{Result, ensure};

/// What the rules found.
#[derive(Debug, Default)]
struct Report {
    errors: Vec<String>,
    warnings: Vec<String>,
}

impl Report {
    /// Records a broken rule.
    fn error(&mut self, place: impl std::fmt::Display, what: impl std::fmt::Display) {
        self.errors.push(format!("{place}: {what}"));
    }

    /// Records something that may stay, but should not grow.
    fn warn(&mut self, place: impl std::fmt::Display, what: impl std::fmt::Display) {
        self.warnings.push(format!("{place}: {what}"));
    }
}

/// Checks the tree at `root` and prints what was found.
///
/// # Errors
/// When a rule is broken, or the tree cannot be read.
pub(crate) fn run(root: &Path) -> Result<()> {
    let report = inspect(root)?;
    for warning in &report.warnings {
        eprintln!("tidy: warning: {warning}");
    }
    for error in &report.errors {
        eprintln!("tidy: error: {error}");
    }
    ensure!(report.errors.is_empty(), "tidy: {} rules broken", report.errors.len());
    println!("tidy: {} warnings, no errors", report.warnings.len());
    Ok(())
}

fn inspect(root: &Path) -> Result<Report> {
    let mut report = Report::default();
    let files = tree::files(root)?;
    layers::check(root, &mut report)?;
    for file in &files {
        files::check(file, &mut report);
        words::check(root, file, &mut report);
    }
    migrations::check(root, &files, &mut report);
    threats::check(&files, &mut report);
    Ok(report)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tree_is_tidy() {
        let report = inspect(&crate::root()).unwrap();
        assert!(report.errors.is_empty(), "{:#?}", report.errors);
    }
}
