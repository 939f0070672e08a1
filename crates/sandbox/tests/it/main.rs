//! The session core, from outside.
#![expect(clippy::unwrap_used, reason = "a test that cannot set up has failed")]

mod process;
mod registry;
