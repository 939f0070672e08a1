//! Where words go: data to standard output, everything meant for people to standard error.

use std::borrow::Cow;
use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use serde::Serialize;
use serde_json::{Value, json};

use crate::environment::Environment;
use crate::failure::{Code, Failure};

/// The version of what `--json` prints; the first member of every object.
const SCHEMA: &str = "innkeep/v1";

/// How text is set off on a terminal.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Style {
    Bold,
    Dim,
    Red,
    Green,
    Yellow,
}

/// How this run talks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Output {
    /// Whether data is JSON.
    pub(crate) json: bool,
    /// Whether step timings are shown.
    pub(crate) progress: bool,
    /// Whether there are bars, which move.
    pub(crate) bars: bool,
    /// Whether data is read on a terminal.
    pub(crate) terminal: bool,
    /// Whether somebody is there to be asked.
    interactive: bool,
    colour_out: bool,
    colour_err: bool,
}

impl Output {
    pub(crate) fn new(json: bool, no_colour: bool, environment: &Environment) -> Self {
        let plain = no_colour || environment.get("NO_COLOR").is_some() || environment.get("TERM") == Some("dumb");
        let (out, err) = (io::stdout().is_terminal(), io::stderr().is_terminal());
        let attended = err && environment.get("CI").is_none();
        let (progress, interactive) = (attended && !json, attended && io::stdin().is_terminal());
        Self {
            json,
            progress,
            bars: progress && !plain,
            terminal: out,
            interactive,
            colour_out: out && !plain,
            colour_err: err && !plain,
        }
    }

    /// Writes one line of data.
    pub(crate) fn data(self, line: impl AsRef<str>) -> Result<(), Failure> {
        self.bytes(format!("{}\n", line.as_ref()).as_bytes())
    }

    /// Writes data as it is, at once.
    pub(crate) fn bytes(self, bytes: &[u8]) -> Result<(), Failure> {
        let mut out = io::stdout().lock();
        out.write_all(bytes).and_then(|()| out.flush()).map_err(|error| match error.kind() {
            io::ErrorKind::BrokenPipe => Failure::new(Code::ReaderGone, "standard output was closed"),
            _ => Failure::io("cannot write to standard output", &error),
        })
    }

    /// Writes what is no data as it is, at once. What cannot be written is lost: there is nobody to tell.
    pub(crate) fn aside(self, bytes: &[u8]) {
        let mut err = io::stderr().lock();
        let _ = err.write_all(bytes).and_then(|()| err.flush());
    }

    /// Writes one JSON object on one line, with the schema's version.
    pub(crate) fn json(self, object: &impl Serialize) -> Result<(), Failure> {
        let mut document = json!({"schema": SCHEMA});
        match (serde_json::to_value(object), document.as_object_mut()) {
            (Ok(Value::Object(members)), Some(document)) => document.extend(members),
            (Ok(other), Some(document)) => {
                document.insert("value".to_owned(), other);
            }
            (Err(error), _) => return Err(Failure::new(Code::Failed, format!("cannot write JSON: {error}"))),
            (_, None) => {}
        }
        self.data(document.to_string())
    }

    /// Writes one line for people. One that cannot be written is lost: there is nobody to tell.
    pub(crate) fn note(self, line: impl AsRef<str>) {
        let _ = writeln!(io::stderr().lock(), "{}", line.as_ref());
    }

    /// Asks people whether to go on with what cannot be undone. Where nobody can be asked, the command itself is the answer.
    ///
    /// # Errors
    /// If the answer is not yes.
    pub(crate) fn confirm(self, question: &str) -> Result<(), Failure> {
        if !self.interactive {
            return Ok(());
        }
        let _ = write!(io::stderr().lock(), "{question} [y/N] ");
        let mut answer = String::new();
        io::stdin().read_line(&mut answer).map_err(|e| Failure::io("cannot read the answer", &e))?;
        match answer.trim().to_ascii_lowercase().as_str() {
            "y" | "yes" => Ok(()),
            _ => Err(Failure::new(Code::Failed, "nothing was removed").with_fix("answer y, or give --yes")),
        }
    }

    /// Tells people, or a program, why the command failed.
    pub(crate) fn failure(self, failure: &Failure) {
        if matches!(failure.code, Code::ReaderGone | Code::Shown | Code::Program(_)) {
            return;
        }
        if self.json {
            // Standard output may be what failed; the exit status still tells.
            let _ = self.json(&failure.to_json());
            return;
        }
        self.note(format!("{} {}", self.err(Style::Red, "error:"), failure.message));
        if let Some(cause) = &failure.cause {
            self.note(format!("{} {cause}", self.err(Style::Dim, "cause:")));
        }
        if !failure.log_tail.is_empty() {
            self.note(self.err(Style::Dim, "the agent's last log lines:"));
        }
        for line in &failure.log_tail {
            self.note(format!("  {} {line}", self.err(Style::Dim, "|")));
        }
        if let Some(fix) = &failure.fix {
            self.note(format!("{} {fix}", self.err(Style::Green, "next:")));
        }
    }

    /// Returns `text` as it is set off on standard output.
    pub(crate) fn out(self, style: Style, text: &str) -> String {
        paint(self.colour_out, style, text)
    }

    /// Returns `text` as it is set off on standard error.
    pub(crate) fn err(self, style: Style, text: &str) -> String {
        paint(self.colour_err, style, text)
    }

    /// Writes rows as columns, below their heads; what is too wide for the terminal is cut from the last column.
    pub(crate) fn table<const N: usize>(self, heads: [&str; N], rows: &[[String; N]]) -> Result<(), Failure> {
        let columns = if self.terminal { console::Term::stdout().size_checked() } else { None };
        let mut lines = table(heads, rows, columns.map(|(_, columns)| columns.into())).into_iter();
        lines.next().map_or(Ok(()), |heads| self.data(self.out(Style::Bold, &heads)))?;
        lines.try_for_each(|line| self.data(line))
    }
}

/// Returns the lines of a table for a terminal of so many columns.
fn table<const N: usize>(heads: [&str; N], rows: &[[String; N]], columns: Option<usize>) -> Vec<String> {
    /// Of the last column, however narrow the terminal is.
    const NARROWEST: usize = 12;
    let mut widths = heads.map(|head| head.chars().count());
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    if let (Some(columns), Some((last, before))) = (columns, widths.split_last_mut()) {
        let taken: usize = before.iter().map(|width| width + 2).sum();
        *last = (*last).min(columns.saturating_sub(taken).max(NARROWEST));
    }
    let line = |cells: [&str; N]| {
        let padded = cells.iter().zip(widths).map(|(cell, width)| format!("{:width$}", cut(cell, width)));
        padded.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    let rows = rows.iter().map(|row| line(row.each_ref().map(String::as_str)));
    std::iter::once(line(heads)).chain(rows).collect()
}

/// Returns the beginning of `text`, with a mark where it is not all.
fn cut(text: &str, width: usize) -> Cow<'_, str> {
    match text.char_indices().nth(width) {
        None => text.into(),
        Some(_) => text.chars().take(width.saturating_sub(1)).chain(['…']).collect::<String>().into(),
    }
}

/// Returns how many there are of something whose plural ends with an s.
pub(crate) fn count(n: usize, thing: &str) -> String {
    if n == 1 { format!("1 {thing}") } else { format!("{n} {thing}s") }
}

fn paint(colour: bool, style: Style, text: &str) -> String {
    let code = match style {
        Style::Bold => 1,
        Style::Dim => 2,
        Style::Red => 31,
        Style::Green => 32,
        Style::Yellow => 33,
    };
    if colour { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
}

/// Returns a duration as people read it: `210 ms`, `1.8 s`, `3m 12s`, `2h 5m`, `3d 4h`.
pub(crate) fn human_duration(d: Duration) -> String {
    let secs = d.as_secs();
    match secs {
        0 => format!("{} ms", d.as_millis()),
        1..60 => format!("{secs}.{} s", d.subsec_millis() / 100),
        60..3600 => format!("{}m {}s", secs / 60, secs % 60),
        3600..86_400 => format!("{}h {}m", secs / 3600, secs / 60 % 60),
        _ => format!("{}d {}h", secs / 86_400, secs / 3600 % 24),
    }
}

/// Returns a size as people read it: `812 B`, `3.4 kB`, `24.0 MB`, `1.2 GB`.
pub(crate) fn human_bytes(bytes: u64) -> String {
    match bytes {
        0..1000 => format!("{bytes} B"),
        1000..1_000_000 => format!("{}.{} kB", bytes / 1000, bytes / 100 % 10),
        1_000_000..1_000_000_000 => format!("{}.{} MB", bytes / 1_000_000, bytes / 100_000 % 10),
        _ => format!("{}.{} GB", bytes / 1_000_000_000, bytes / 100_000_000 % 10),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_and_sizes_are_short() {
        let shown = [210, 1830, 192_000, 7_500_000, 273_600_000].map(|ms| human_duration(Duration::from_millis(ms)));
        assert_eq!(shown, ["210 ms", "1.8 s", "3m 12s", "2h 5m", "3d 4h"]);
        let sizes = [812, 3456, 24_000_000, 1_250_000_000].map(human_bytes);
        assert_eq!(sizes, ["812 B", "3.4 kB", "24.0 MB", "1.2 GB"]);
        assert_eq!([0, 1, 2].map(|n| count(n, "file")), ["0 files", "1 file", "2 files"]);
    }

    #[test]
    fn of_a_table_the_last_column_gives_way_to_the_terminal() {
        let rows = [["a", "short"], ["bb", "a reason of thirty characters."]].map(|row| row.map(str::to_owned));
        let lines = |columns| table(["ID", "LAST ERROR"], &rows, columns);
        assert_eq!(lines(None), ["ID  LAST ERROR", "a   short", "bb  a reason of thirty characters."]);
        assert_eq!(lines(Some(34)), lines(None));
        assert_eq!(lines(Some(33))[2], "bb  a reason of thirty character…");
        assert_eq!(lines(Some(1)), ["ID  LAST ERROR", "a   short", "bb  a reason of…"]);
    }
}
