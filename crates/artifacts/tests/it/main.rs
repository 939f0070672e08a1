//! The store through its public face, with real zips, real interpreters and no network.

#![expect(clippy::unwrap_used, reason = "helpers of tests are tests too")]

mod bundles;
mod fixture;
mod garbage;
mod hostile;
mod interpreters;
mod layers;
mod objects;
