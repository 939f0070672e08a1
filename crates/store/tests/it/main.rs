//! The store's rules, through its public handle, on real databases.

#![expect(clippy::unwrap_used, reason = "clippy takes only functions marked #[test] for tests, not what they share")]

mod attached;
mod audit;
mod backup;
mod concurrency;
mod deletion;
mod durability;
mod endpoints;
mod fixture;
mod invocations;
mod keys_and_sessions;
mod listing;
mod making;
mod quotas;
mod sealing;
mod tokens;
