//! What an agent is started from that is never started.

use std::path::PathBuf;
use std::sync::Arc;

use innkeep_artifacts::{Bundle, Content};
use innkeep_sandbox::Deployment;
use innkeep_types::{
    ArtifactDigest, Authorizer, Egress, EndpointName, Lifecycle, Protocol, Resources, RuntimeArn, RuntimeName,
    RuntimeVersion, Settings, limits,
};

/// Returns the deployment of a version of one runtime, with every default, for drivers that start nothing.
///
/// # Panics
/// If `version` is 0.
pub fn deployment(version: u32) -> Arc<Deployment> {
    let arn = "arn:aws:bedrock-agentcore:us-west-2:000000000000:runtime/hello-Ab3dE6gH9j";
    Arc::new(Deployment {
        arn: RuntimeArn::parse_with_endpoint(arn).expect("it is an ARN").0,
        name: RuntimeName::parse("hello").expect("it is a name"),
        version: RuntimeVersion::new(version).expect("versions begin with 1"),
        endpoint: EndpointName::default_endpoint(),
        lifecycle: Lifecycle::default(),
        protocol: Protocol::default(),
        authorizer: Authorizer::SigV4,
        custom_jwt_authorizer: None,
        request_headers: Vec::new(),
        warmup: None,
        start_timeout: limits::START_TIMEOUT,
        settings: Settings::default(),
        resources: Resources::default(),
        egress: Egress::Public,
        environment: [].into(),
        session_storage: false,
        bundle: Arc::new(Bundle {
            digest: ArtifactDigest::parse("0".repeat(64)).expect("it is a digest"),
            content: Content::Code { code: PathBuf::from("/nonexistent"), layers: Vec::new() },
            argv: vec!["/nonexistent".to_owned()],
            environment: [].into(),
            settings: Settings::default(),
        }),
    })
}
