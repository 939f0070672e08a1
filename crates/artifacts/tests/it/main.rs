//! The store through its public face, with real zips, real interpreters and no network.

#![expect(clippy::unwrap_used, reason = "helpers of tests are tests too")]

mod bundles;
mod fixture;
mod garbage;
mod hostile;
mod hostile_layers;
mod images;
mod implied;
mod interpreters;
mod layers;
mod objects;
mod pulls;
mod registry;
mod tars;
mod transfers;
