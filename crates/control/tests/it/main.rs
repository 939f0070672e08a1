//! The control plane through its routes, with a real store and a maker that obeys the test.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod attached;
mod authorize;
mod capacity_providers;
mod create;
mod delete;
mod documents;
mod endpoints;
mod lists;
mod plane;
mod queue;
mod resume;
mod rollback;
mod update;
mod validation;
