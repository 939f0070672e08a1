//! Wire shapes to types: every rule of the model and of the service, all broken ones reported at once.
//!
//! The tables of [`crate::model`] say what each member must be by itself. What is here are the rules across members, those that the
//! service has besides its model, and ours. A check that cannot yield its value returns `None` and has noted why; the caller
//! goes on with the others and lets [`Violations::complete`] decide.

mod allowed_headers;
mod allowed_ports;
mod artifact;
mod authorizer;
mod body;
mod configuration;
mod environment;
mod filesystems;
mod hooks;
mod lifecycle;
mod network;
mod platform;
mod protocol;
mod settings;
mod target;
mod violations;

pub(crate) use body::Body;
pub(crate) use configuration::{Operation, configuration};
pub(crate) use settings::{settings, settings_object};
pub(crate) use target::{client_token, runtime_id, version};
pub(crate) use violations::Violations;
