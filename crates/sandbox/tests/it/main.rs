//! The session core, from outside.
#![expect(clippy::unwrap_used, reason = "a test that cannot set up has failed")]
#![expect(clippy::print_stdout, reason = "says what is skipped, and why")]

mod conformance;
mod container;
mod forked;
mod image;
mod process;
mod registry;
mod rootless;
mod rootless_image;
