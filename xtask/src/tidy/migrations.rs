//! Migrations of the store: numbered without gaps, and never changed once committed, because databases exist that ran them.

use std::path::Path;

use super::Report;
use super::tree::File;
use crate::command::Run;

/// Checks every directory called `migrations`.
pub(super) fn check(root: &Path, files: &[File], report: &mut Report) {
    let mut seen: Vec<(&str, usize)> = Vec::new();
    for file in files {
        let Some((directory, name)) = file.path.rsplit_once('/') else { continue };
        if !directory.ends_with("/migrations") || !name.ends_with(".sql") {
            continue;
        }
        let position = match seen.iter_mut().find(|(known, _)| *known == directory) {
            Some((_, count)) => {
                *count += 1;
                *count
            }
            None => {
                seen.push((directory, 1));
                1
            }
        };
        let expected = format!("{position:04}_");
        if !name.starts_with(&expected) {
            report.error(&file.path, format_args!("the next migration's name begins with {expected}"));
        }
        if committed_first(root, &file.path).is_some_and(|first| first != file.text.as_bytes()) {
            report.error(&file.path, "a committed migration never changes; add another");
        }
    }
}

/// Returns the file as the commit that added it had it; `None` if no commit here did (new, or history not fetched).
fn committed_first(root: &Path, path: &str) -> Option<Vec<u8>> {
    let log = Run::new("git").args(["log", "--diff-filter=A", "--format=%H", "--", path]).dir(root).output()?;
    let log = String::from_utf8(log).ok()?;
    let commit = log.split_whitespace().next()?;
    Run::new("git").args(["show", &format!("{commit}:{path}")]).dir(root).output()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn errors(names: &[&str]) -> usize {
        let file = |name: &&str| File { path: format!("crates/nowhere/migrations/{name}"), text: String::new() };
        let files: Vec<File> = names.iter().map(file).collect();
        let mut report = Report::default();
        check(&crate::root(), &files, &mut report);
        report.errors.len()
    }

    #[test]
    fn numbers_have_no_gap() {
        assert_eq!(errors(&["0001_runtimes.sql", "0002_sessions.sql"]), 0);
        assert_eq!(errors(&["0001_runtimes.sql", "0003_sessions.sql"]), 1);
    }
}
