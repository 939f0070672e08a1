//! The data plane through its one way in: a real client connection in front, a real agent connection behind, a fake driver and
//! a real store between.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod agent;
mod alias;
mod allowed_headers;
mod answers;
mod authorizers;
mod bearer_bodies;
mod bearers;
mod browsers;
mod client;
mod commands;
mod doors;
mod endpoints;
mod failures;
mod hostile_agents;
mod invocations;
mod issuers;
mod owners;
mod policies;
mod protocols;
mod protocols_mcp;
mod recent;
mod refusals;
mod shells;
mod smuggling;
mod stops;
mod streams;
mod websockets;
mod world;
