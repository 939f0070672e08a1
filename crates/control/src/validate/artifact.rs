//! `agentRuntimeArtifact`: what to run.

use innkeep_protocol::control::{AgentRuntimeArtifact, CodeConfiguration, S3Location};
use innkeep_types::Artifact;

use crate::validate::Violations;

/// The model's, and ours: `PROVIDED`, any executable.
const RUNTIMES: [&str; 7] =
    ["PYTHON_3_10", "PYTHON_3_11", "PYTHON_3_12", "PYTHON_3_13", "PYTHON_3_14", "NODE_22", "PROVIDED"];

/// Returns the artifact: exactly one member of the union.
pub(super) fn artifact(artifact: &AgentRuntimeArtifact, found: &mut Violations) -> Option<Artifact> {
    let at = "agentRuntimeArtifact";
    match (&artifact.container_configuration, &artifact.code_configuration) {
        (None, Some(configuration)) => code(configuration, found),
        (Some(_), None) => found.unsupported("agentRuntimeArtifact.containerConfiguration", "containerConfiguration"),
        _ => found.must(at, "have exactly one of containerConfiguration and codeConfiguration"),
    }
}

fn code(configuration: &CodeConfiguration, found: &mut Violations) -> Option<Artifact> {
    let code = found.required("agentRuntimeArtifact.codeConfiguration.code", configuration.code.as_ref());
    let s3 = code.and_then(|code| match &code.s3 {
        Some(s3) => location(s3, found),
        None => found.must("agentRuntimeArtifact.codeConfiguration.code", "have exactly one of s3"),
    });
    let runtime = runtime(configuration, found);
    let entry_point = entry_point(configuration, found);
    let S3 { bucket, prefix, version_id } = s3?;
    Some(Artifact::Code { bucket, prefix, version_id, runtime: runtime?, entry_point: entry_point? })
}

struct S3 {
    bucket: String,
    prefix: String,
    version_id: Option<String>,
}

fn location(s3: &S3Location, found: &mut Violations) -> Option<S3> {
    let at = "agentRuntimeArtifact.codeConfiguration.code.s3.bucket";
    let bucket = found.required(at, s3.bucket.clone());
    if let Some(bucket) = &bucket {
        found.pattern(at, is_bucket(bucket), "[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]");
    }
    let at = "agentRuntimeArtifact.codeConfiguration.code.s3.prefix";
    let prefix = found.required(at, s3.prefix.clone());
    if let Some(prefix) = &prefix {
        found.length(at, prefix, 1..=1024);
    }
    if let Some(version_id) = &s3.version_id {
        found.length("agentRuntimeArtifact.codeConfiguration.code.s3.versionId", version_id, 3..=1024);
    }
    Some(S3 { bucket: bucket?, prefix: prefix?, version_id: s3.version_id.clone() })
}

fn is_bucket(text: &str) -> bool {
    let is_edge = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    match text.as_bytes() {
        [first, middle @ .., last] => {
            (1..=61).contains(&middle.len())
                && is_edge(first)
                && is_edge(last)
                && middle.iter().all(|b| is_edge(b) || matches!(b, b'.' | b'-'))
        }
        _ => false,
    }
}

fn runtime(configuration: &CodeConfiguration, found: &mut Violations) -> Option<String> {
    let at = "agentRuntimeArtifact.codeConfiguration.runtime";
    let runtime = found.required(at, configuration.runtime.as_deref())?;
    found.one_of(at, runtime, &RUNTIMES).map(str::to_owned)
}

fn entry_point(configuration: &CodeConfiguration, found: &mut Violations) -> Option<Vec<String>> {
    let at = "agentRuntimeArtifact.codeConfiguration.entryPoint";
    let entry_point = found.required(at, configuration.entry_point.clone())?;
    found.count(at, entry_point.len(), 1..=2);
    for (idx, item) in entry_point.iter().enumerate() {
        found.length(&format!("{at}[{idx}]"), item, 1..=128);
    }
    Some(entry_point)
}
