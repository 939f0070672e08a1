//! The control plane through its routes, with a real store and a maker that obeys the test.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod create;
mod delete;
mod documents;
mod lists;
mod plane;
mod queue;
mod resume;
mod update;
mod validation;
