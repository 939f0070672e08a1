//! What tests of several crates share: a driver without processes, a clock that follows tokio's, a journal in memory.

mod clock;
mod deployment;
mod driver;
mod issuer;
mod journal;
mod programs;
mod wait;

pub use clock::PausedClock;
pub use deployment::deployment;
pub use driver::{FakeDriver, FakeSandbox};
pub use issuer::{Behaviour, TestIssuer};
pub use journal::MemoryJournal;
pub use wait::wait_for;
