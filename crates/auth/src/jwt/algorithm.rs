//! The signature algorithms, by their names in RFC 7518 and RFC 8037.

use ring::signature;

/// An algorithm that a token may be signed with. Closed, and asymmetric only: `none` and `HS256` cannot be said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    RS256,
    /// RSASSA-PKCS1-v1_5 with SHA-384.
    RS384,
    /// RSASSA-PKCS1-v1_5 with SHA-512.
    RS512,
    /// RSASSA-PSS with SHA-256.
    PS256,
    /// RSASSA-PSS with SHA-384.
    PS384,
    /// RSASSA-PSS with SHA-512.
    PS512,
    /// ECDSA on P-256 with SHA-256.
    ES256,
    /// ECDSA on P-384 with SHA-384.
    ES384,
    /// ECDSA on P-521 with SHA-512.
    ES512,
    /// Ed25519. Ed448 has the same name and another key, of which we take none.
    EdDSA,
}

impl Algorithm {
    /// Returns the algorithm of this name, if it is one that we have.
    pub(super) fn named(name: &str) -> Option<Self> {
        // Case matters: RFC 7515 section 4.1.1.
        match name {
            "RS256" => Some(Self::RS256),
            "RS384" => Some(Self::RS384),
            "RS512" => Some(Self::RS512),
            "PS256" => Some(Self::PS256),
            "PS384" => Some(Self::PS384),
            "PS512" => Some(Self::PS512),
            "ES256" => Some(Self::ES256),
            "ES384" => Some(Self::ES384),
            "ES512" => Some(Self::ES512),
            "EdDSA" => Some(Self::EdDSA),
            _ => None,
        }
    }

    /// Returns how RSA signatures of this algorithm are verified, if it is one of RSA.
    pub(super) fn rsa(self) -> Option<&'static signature::RsaParameters> {
        match self {
            Self::RS256 => Some(&signature::RSA_PKCS1_2048_8192_SHA256),
            Self::RS384 => Some(&signature::RSA_PKCS1_2048_8192_SHA384),
            Self::RS512 => Some(&signature::RSA_PKCS1_2048_8192_SHA512),
            Self::PS256 => Some(&signature::RSA_PSS_2048_8192_SHA256),
            Self::PS384 => Some(&signature::RSA_PSS_2048_8192_SHA384),
            Self::PS512 => Some(&signature::RSA_PSS_2048_8192_SHA512),
            Self::ES256 | Self::ES384 | Self::ES512 | Self::EdDSA => None,
        }
    }
}
