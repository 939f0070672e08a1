//! The vocabulary of Innkeep: ids, ARNs, runtimes, versions, endpoints, sessions, their lifecycle, limits and time.
//!
//! Nothing here does IO, knows HTTP, or reads the environment. A type enters this crate only when two crates that do not
//! depend on each other need it.

mod arn;
mod audit;
mod bounds;
mod clock;
mod error_kind;
mod ids;
mod invocation;
pub mod lifecycle;
pub mod limits;
mod resources;
mod runtime;
mod session;

pub use arn::{EndpointArn, InvalidArn, RuntimeArn};
pub use audit::{AuditEvent, AuditOutcome};
pub use bounds::OutOfBounds;
pub use clock::{Clock, SystemClock, UnixMillis};
pub use error_kind::ErrorKind;
pub use ids::{
    AccountId, ArtifactDigest, CapacityProviderId, CapacityProviderName, EndpointName, InvalidId, InvocationId, Region,
    RequestId, RuntimeId, RuntimeName, RuntimeVersion, SandboxId, SessionId, ShellId,
};
pub use invocation::{InvocationFailure, InvocationHead, InvocationState};
pub use resources::{Egress, Resources};
pub use runtime::{
    Artifact, Authorizer, ExplicitProtocol, HealthCheck, Lifecycle, PoolSize, Protocol, RuntimeStatus, ServerProtocol,
    Settings, VersionConfig, Warmup,
};
pub use session::{AgentExit, SessionKey, SessionOwner, StopReason, Tier};
