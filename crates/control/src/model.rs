//! The shapes of requests, one table per resource. Source: service model.

pub(crate) mod name;
