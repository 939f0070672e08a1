//! The steps of one deployment: timed, shown as they end, with a bar where bytes go up.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use innkeep_sdk::Meter;
use serde::Serialize;
use tokio::time::Instant;

use crate::output::{Output, Style, human_duration};

/// Less than this goes up before a bar could be read, bytes.
const BAR_BYTES: u64 = 4_000_000;

/// One step, as it was timed.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Step {
    name: &'static str,
    detail: String,
    ms: u64,
}

/// The steps of one deployment, timed and shown as they end.
#[derive(Debug)]
pub(crate) struct Steps {
    out: Output,
    since: Instant,
    done: Vec<Step>,
}

/// A bar that moves as bytes are sent, and is gone when it is dropped.
#[derive(Debug)]
pub(crate) struct Bar(ProgressBar);

impl Steps {
    pub(crate) fn new(out: Output) -> Self {
        Self { out, since: Instant::now(), done: Vec::new() }
    }

    /// Says what goes on, where it may take long.
    pub(crate) fn doing(&self, what: &str) {
        if self.out.progress {
            self.out.note(self.out.err(Style::Dim, &format!("{:>8}  {what}", "…")));
        }
    }

    /// Returns the bar of an upload of so many bytes.
    pub(super) fn bar(&self, bytes: u64) -> Bar {
        if !self.out.bars || bytes < BAR_BYTES {
            return Bar(ProgressBar::hidden());
        }
        let template =
            "       …  [{wide_bar}] {decimal_bytes} of {decimal_total_bytes}, {decimal_bytes_per_sec}, {eta} left ";
        let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
        Bar(ProgressBar::new(bytes).with_style(style.progress_chars("=> ")))
    }

    pub(crate) fn done(&mut self, name: &'static str, detail: String) {
        let took = self.since.elapsed();
        if self.out.progress {
            let time = self.out.err(Style::Dim, &format!("{:>8}", human_duration(took)));
            self.out.note(format!("{time}  {name:<9} {detail}"));
        }
        self.done.push(Step { name, detail, ms: millis(took) });
        self.since = Instant::now();
    }

    pub(crate) fn into_done(self) -> Vec<Step> {
        self.done
    }
}

impl Bar {
    pub(super) fn meter(&self) -> Meter {
        let bar = self.0.clone();
        Meter::new(move |n| bar.inc(n))
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

fn millis(took: Duration) -> u64 {
    u64::try_from(took.as_millis()).unwrap_or(u64::MAX)
}
