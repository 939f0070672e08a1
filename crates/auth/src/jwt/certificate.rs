//! Where the certificate of an issuer's private CA lies.

use serde::Deserialize;

/// Where the certificate of an issuer's private CA lies; fetching it is another's business.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub enum Certificate {
    /// An object of S3.
    #[serde(rename = "s3")]
    S3 {
        /// `s3://bucket/key`.
        uri: String,
        /// The account that must own the bucket, 12 digits.
        #[serde(rename = "bucketOwnerAccountId")]
        bucket_owner: Option<String>,
    },
    /// A secret.
    #[serde(rename = "secretsManager")]
    SecretsManager {
        /// Its ARN.
        #[serde(rename = "secretArn")]
        arn: String,
    },
}
