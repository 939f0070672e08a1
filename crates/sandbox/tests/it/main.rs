//! The session core, from outside.

mod process;
mod registry;
