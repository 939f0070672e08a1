//! Sessions and their sandboxes. Knows no AWS name and no HTTP status.
//!
//! [`Registry`] finds or starts the sandbox of a session; one `supervisor` actor owns each; a [`driver::Driver`] makes them;
//! [`upstream`] speaks HTTP to the agent inside.

mod admission;
pub mod container;
mod counts;
mod deployment;
pub mod dial;
pub mod driver;
mod embedded;
pub mod exec;
mod gate;
mod headroom;
mod journal;
mod link;
mod local;
mod made_of;
mod memory;
mod phases;
mod pool;
mod process;
mod registry;
mod session;
mod start;
mod supervisor;
mod sys;
pub mod tasks;
pub mod upstream;
mod warmup;

pub use admission::FairRate;
pub use counts::{Counts, Histogram, Refusal, START_BUCKETS, StartResult, ZygoteCounts, ZygoteRefusal};
pub use deployment::Deployment;
pub use journal::Journal;
pub use local::{open_own, remove_tree};
pub use memory::host_memory;
pub use phases::{Phase, StartPhases, StartWay};
pub use pool::{PoolCounts, PoolInfo, PoolKey, PoolMember};
pub use process::ProcessDriver;
pub use registry::Registry;
pub use registry::admit::Limits;
pub use registry::error::Error;
pub use registry::owners::Asker;
pub use session::{Ended, Lease, Origin, SessionInfo};
