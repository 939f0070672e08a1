//! Bearer tokens: JSON Web Tokens, held against a runtime's `customJWTAuthorizer`. Pure: keys and time are handed in.
//!
//! ```text
//! compact text ─ Token::parse ─▶ Token (nothing in it is true yet)  ┐
//! JWKS document ─ KeySet::parse ─▶ KeySet                           ├─ verify ─▶ Identity
//! customJWTAuthorizer ─ Rules::from_configuration ─▶ Rules          ┘
//! ```
//!
//! Everything from a token and from a key set is hostile: lengths, nesting and counts are bounded, a member that occurs twice is
//! refused at any depth, and the algorithm is the key's business before it is the token's. What a header says about where keys
//! are (`jku`, `x5u`, `jwk`, `x5c`) is never read. Must not know: where keys come from, HTTP.
//! Source: RFC 7515, 7517, 7518, 7519, 8037, 8725; AgentCore developer guide, inbound JWT authorizer.

mod algorithm;
mod certificate;
mod discovery_url;
mod error;
mod json;
mod jwk;
mod keys;
mod matcher;
mod rules;
mod token;
mod verified;
mod verify;

pub use algorithm::Algorithm;
pub use certificate::Certificate;
pub use error::{Broken, Error, Flaw};
pub use keys::KeySet;
pub use rules::Rules;
pub use token::Token;
pub use verify::{Identity, verify};
