//! CA certificates of issuers, which runtimes name: objects of the store in `[s3]`. A version whose certificate cannot
//! be read is not made, because nobody would be let in to it.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use innkeep_artifacts::Artifacts;
use innkeep_auth::jwt::{Certificate, Rules};
use innkeep_control::{LocalMaker, MakeFailed, Maker};
use innkeep_fetch::Roots;
use innkeep_gateway::CertificateReader;
use innkeep_store::VersionRecord;
use innkeep_types::{ArtifactDigest, EndpointArn, RuntimeArn, RuntimeVersion, limits};
use tokio::time::timeout;

/// The largest file of them, bytes. Source: our choice; one has about 2 KiB.
const MAX_BYTES: usize = 64 << 10;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Returns what reads them.
pub(crate) fn reader(artifacts: Artifacts) -> CertificateReader {
    Arc::new(move |certificate| Box::pin(read(artifacts.clone(), certificate)))
}

async fn read(artifacts: Artifacts, Certificate { uri, bucket_owner }: Certificate) -> Result<Vec<u8>, BoxError> {
    let place = uri.strip_prefix("s3://").and_then(|place| place.split_once('/'));
    let (bucket, key) = place.ok_or_else(|| format!("{uri} names no object: s3://BUCKET/KEY"))?;
    Ok(artifacts.read_object(bucket, key, bucket_owner.as_deref(), MAX_BYTES).await?)
}

/// Makes versions, once the certificate that they name has been read.
pub(crate) struct CertainMaker {
    pub(crate) maker: LocalMaker,
    pub(crate) reader: CertificateReader,
}

impl CertainMaker {
    /// # Errors
    /// What is wrong with the certificate that the version's authorizer names, if it names one.
    async fn check_certificate(&self, version: &VersionRecord) -> Result<(), MakeFailed> {
        let rules = version.config.custom_jwt_authorizer().and_then(|rules| Rules::from_configuration(rules).ok());
        let Some(certificate) = rules.as_ref().and_then(Rules::certificate) else { return Ok(()) };
        let failed = |why: &dyn std::fmt::Display| MakeFailed::Failed {
            reason: format!("the certificate of the issuer's private CA, {}, cannot be used: {why}", certificate.uri),
            log: Vec::new(),
        };
        let read = tokio::select! {
            read = timeout(limits::ISSUER_TIMEOUT, (self.reader)(certificate.clone())) => read,
            () = self.maker.tasks.stopping().cancelled() => return Err(MakeFailed::ShuttingDown),
        };
        let pem = read.map_err(|_| failed(&format_args!("it did not come within {:?}", limits::ISSUER_TIMEOUT)))?;
        Roots::from_pem(&pem.map_err(|error| failed(&Chain(&*error)))?).map_err(|error| failed(&error)).map(drop)
    }
}

#[async_trait]
impl Maker for CertainMaker {
    async fn make(&self, version: &VersionRecord) -> Result<ArtifactDigest, MakeFailed> {
        self.check_certificate(version).await?;
        self.maker.make(version).await
    }

    async fn check(&self, version: &VersionRecord) -> Result<(), MakeFailed> {
        // It was read when the version was made. Its store, which may be away for now, does not keep an endpoint from moving.
        self.maker.check(version).await
    }

    async fn unmake(&self, runtime: &RuntimeArn, version: Option<RuntimeVersion>) {
        self.maker.unmake(runtime, version).await;
    }

    async fn unmake_endpoint(&self, endpoint: &EndpointArn) {
        self.maker.unmake_endpoint(endpoint).await;
    }
}

impl fmt::Debug for CertainMaker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CertainMaker").field("maker", &self.maker).finish_non_exhaustive()
    }
}

/// An error with its causes.
struct Chain<'a>(&'a (dyn std::error::Error + 'static));

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        self.0.source().map_or(Ok(()), |cause| write!(f, ": {}", Chain(cause)))
    }
}
