//! What is true of containers whose agents are forked: all that is of others.

use crate::conformance::{every_kind, walled, with_code};

every_kind!(Forked);
walled!(Forked);
with_code!(Forked);
