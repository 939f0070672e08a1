//! The data plane through its one way in: a real client connection in front, a real agent connection behind, a fake driver and
//! a real store between.

mod agent;
mod answers;
mod client;
mod failures;
mod refusals;
mod streams;
mod stops;
mod world;
