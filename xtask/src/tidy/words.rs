//! Text that must not be committed: unfinished work, traces of a merge, paths of the machine it was written on.

use std::path::Path;

use super::Report;
use super::tree::File;

/// Checks every line of one file.
pub(super) fn check(root: &Path, file: &File, report: &mut Report) {
    // Spelled apart, or this file would be its own first finding.
    let marks = ["<<<<".to_owned() + "<<< ", ">>>>".to_owned() + ">>> "];
    let machine = root.to_string_lossy();
    for (number, line) in file.text.lines().enumerate() {
        let place = || format!("{}:{}", file.path, number + 1);
        if marks.iter().any(|mark| line.starts_with(mark.as_str())) {
            report.error(place(), "a merge was left unfinished");
        }
        if line.contains(&("FIX".to_owned() + "ME")) {
            report.error(place(), "open an issue instead");
        }
        let todo = "TO".to_owned() + "DO";
        if line.match_indices(&todo).any(|(at, _)| !line[at + todo.len()..].starts_with("(#")) {
            report.error(place(), format_args!("{todo} names its issue: {todo}(#123)"));
        }
        if line.contains(machine.as_ref()) {
            report.error(place(), "names a directory of the machine it was written on");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn errors(text: &str) -> usize {
        let mut report = Report::default();
        check(Path::new("/home/me/innkeep"), &File { path: "a.rs".to_owned(), text: text.to_owned() }, &mut report);
        report.errors.len()
    }

    #[test]
    fn a_note_for_later_names_its_issue() {
        let todo = "TO".to_owned() + "DO";
        assert_eq!(errors(&format!("// {todo}(#12): split\n")), 0);
        assert_eq!(errors(&format!("// {todo}: split\n")), 1);
    }

    #[test]
    fn machine_paths_are_refused() {
        assert_eq!(errors("see /home/me/innkeep/target\n"), 1);
        assert_eq!(errors("see target/\n"), 0);
    }
}
