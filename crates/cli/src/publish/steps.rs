//! The steps of one deployment: timed, shown as they end, with a bar where bytes go up, or the server pulls them.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use innkeep_protocol::operator::PullView;
use innkeep_sdk::Meter;
use serde::Serialize;
use tokio::time::Instant;

use crate::output::{Output, Style, count, human_duration};

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
        self.bar_with(bytes, "{decimal_bytes_per_sec}, {eta} left")
    }

    /// Returns the bar of a pull that the server does, told in [`Bar::pulled`].
    pub(super) fn pull_bar(&self, pull: &PullView) -> Bar {
        self.bar_with(pull.bytes, "{msg}")
    }

    /// Tells whether there is any use in asking how far something is.
    pub(super) fn has_bars(&self) -> bool {
        self.out.bars
    }

    fn bar_with(&self, bytes: u64, more: &str) -> Bar {
        if !self.out.bars || bytes < BAR_BYTES {
            return Bar(ProgressBar::hidden());
        }
        let template = &format!("       …  [{{wide_bar}}] {{decimal_bytes}} of {{decimal_total_bytes}}, {more} ");
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

    /// Shows how far a pull is.
    pub(super) fn pulled(&self, pull: &PullView) {
        self.0.set_position(pull.bytes_done);
        self.0.set_message(format!("{} of {}", pull.layers_done, count(pull.layers, "layer")));
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
