//! Wire shapes to types: every rule of the model and of the service, all broken ones reported at once.
//!
//! A check that cannot yield its value returns `None` and has noted why; the caller goes on with the others and lets
//! [`Violations::complete`] decide. What this version does not act on is refused by name: an authorizer that was ignored
//! would open a runtime.

mod artifact;
mod configuration;
mod environment;
mod lifecycle;
mod protocol;
mod resources;
mod settings;
mod target;
mod violations;

pub(crate) use configuration::{PLATFORM_VERSION, configuration};
pub(crate) use environment::tags;
pub(crate) use settings::settings;
pub(crate) use target::{client_token, runtime_id, version};
pub(crate) use violations::Violations;
