//! The shapes of requests, one table per resource. Source: service model.

pub(crate) mod authorizer;
pub(crate) mod filesystem;
pub(crate) mod name;
pub(crate) mod network;
pub(crate) mod runtime;
