//! Where the certificate of an issuer's private CA lies.

use serde::Deserialize;
use serde::de::IgnoredAny;

/// Where the certificate of an issuer's private CA lies, an object of S3; fetching it is another's business.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Certificate {
    /// `s3://bucket/key`.
    pub uri: String,
    /// The account that must own the bucket, 12 digits.
    #[serde(rename = "bucketOwnerAccountId")]
    pub bucket_owner: Option<String>,
}

/// An item of `certificateConfigurations`, as it is written. Source: service model, `CertificateLocation`.
#[derive(Deserialize)]
pub(super) enum WrittenPlace {
    #[serde(rename = "s3")]
    S3(Certificate),
    #[serde(rename = "secretsManager")]
    SecretsManager(IgnoredAny),
}
