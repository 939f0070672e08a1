//! What the server fetches over HTTP: images, zips, the keys of tokens' issuers. HTTP/1.1, TLS by rustls, a deadline for every step,
//! and a say about which addresses are asked at all. Knows nothing of redirects, credentials and retries: those differ by service.

mod client;
mod connect;
mod error;
mod reach;
mod trust;

pub use client::{Answer, Body, Deadlines, Http, authority_of};
pub use connect::is_loopback;
pub use error::Error;
pub use reach::{BadRange, IpRange, Reach};
pub use trust::{BadRoots, Roots};
