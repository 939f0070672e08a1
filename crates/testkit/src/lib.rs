//! What tests of several crates share: a driver without processes, a clock that follows tokio's, a journal in memory.

mod clock;
mod driver;
mod journal;
mod wait;

pub use clock::PausedClock;
pub use driver::{FakeDriver, FakeSandbox};
pub use journal::MemoryJournal;
pub use wait::wait_for;
