//! Who is calling, and may they. Pure: keys, time and the body's digest are handed in; nothing here reads the store.

pub mod dev_issuer;
pub mod jwt;
mod operator_token;
mod owner;
pub mod policy;
mod principal;
mod session_token;
mod sha256;
pub mod sigv4;

pub use dev_issuer::DevIssuer;
pub use operator_token::OperatorToken;
pub use owner::Owners;
pub use principal::Principal;
pub use session_token::{Error as SessionTokenError, SessionTokens, Temporary};
pub use sha256::{Digest, digest};
