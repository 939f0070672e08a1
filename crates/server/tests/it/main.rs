//! A whole server with the process driver, from outside: raw sockets in front, an agent's process behind.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
#![expect(clippy::print_stdout, reason = "seeds and measurements are for who reads a test's output")]

mod connections;
mod endpoints;
mod heads;
mod isolation;
mod operators;
mod properties;
mod readers;
mod starting;
mod streams;
mod tls;
mod uploads;
mod wire;
mod world;
