//! CA certificates of issuers, which runtimes name: objects of the store in `[s3]`. There is no manager of secrets.

use std::sync::Arc;

use innkeep_artifacts::Artifacts;
use innkeep_auth::jwt::Certificate;
use innkeep_gateway::CertificateReader;

/// The largest file of them, bytes. Source: our choice; one has about 2 KiB.
const MAX_BYTES: usize = 64 << 10;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Returns what reads them.
pub(crate) fn reader(artifacts: Artifacts) -> CertificateReader {
    Arc::new(move |certificate| Box::pin(read(artifacts.clone(), certificate)))
}

async fn read(artifacts: Artifacts, certificate: Certificate) -> Result<Vec<u8>, BoxError> {
    match certificate {
        Certificate::S3 { uri, bucket_owner } => {
            let place = uri.strip_prefix("s3://").and_then(|place| place.split_once('/'));
            let (bucket, key) = place.ok_or_else(|| format!("{uri} names no object: s3://BUCKET/KEY"))?;
            Ok(artifacts.read_object(bucket, key, bucket_owner.as_deref(), MAX_BYTES).await?)
        }
        Certificate::SecretsManager { .. } => {
            Err("there is no secrets manager here: put it into an object store ([s3]), or name it in jwt_ca_file"
                .into())
        }
    }
}
