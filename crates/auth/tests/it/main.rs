//! The crate from outside.

#![expect(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod differential;
mod fuzz;
mod jwt;
mod presigned;
mod refusals;
mod request;
