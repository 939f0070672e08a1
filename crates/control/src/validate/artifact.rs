//! `agentRuntimeArtifact`: what to run.

use innkeep_protocol::control::{AgentRuntimeArtifact, CodeConfiguration};
use innkeep_types::Artifact;

use crate::shape::Pattern;
use crate::validate::Violations;

/// Any reference of an OCI image: `[registry/]repository[:tag][@digest]`. The service takes those of its own registries only.
/// Source: OCI distribution specification, "Pulling manifests", and the reference grammar of its implementation.
static REFERENCE: Pattern = Pattern::new(concat!(
    // A registry: a host name or an address, and a port. A first segment without `.`, `:` or upper case is read as part of the name.
    r"(([a-zA-Z0-9]([a-zA-Z0-9-]*[a-zA-Z0-9])?(\.[a-zA-Z0-9]([a-zA-Z0-9-]*[a-zA-Z0-9])?)*|\[[0-9a-fA-F:]+\])(:[0-9]{1,5})?/)?",
    r"[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*",
    r"(:[a-zA-Z0-9_][a-zA-Z0-9_.-]{0,127})?",
    r"(@(sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128}))?",
));

/// Returns the artifact; the table has let exactly one kind pass.
pub(super) fn artifact(artifact: AgentRuntimeArtifact, found: &mut Violations) -> Option<Artifact> {
    match artifact {
        AgentRuntimeArtifact { container_configuration: Some(container), .. } => {
            container_uri(container.container_uri?, found)
        }
        AgentRuntimeArtifact { code_configuration, .. } => code(code_configuration?),
    }
}

fn container_uri(uri: String, found: &mut Violations) -> Option<Artifact> {
    if !uri.is_empty() && !REFERENCE.matches(&uri) {
        let at = "agentRuntimeArtifact.containerConfiguration.containerUri";
        return found
            .must(at, format_args!("be a reference of an image, [registry/]repository[:tag][@digest]{}", hint(&uri)));
    }
    Some(Artifact::Container { uri })
}

/// Names the usual mistakes.
fn hint(uri: &str) -> &'static str {
    if uri.contains("://") {
        "; leave out the scheme"
    } else if uri.contains(char::is_whitespace) {
        "; it has a space in it"
    } else if uri.contains('@') {
        "; a digest is sha256: and 64 hexadecimal digits in lower case"
    } else if uri.contains(|c: char| c.is_ascii_uppercase()) {
        "; the repository's name is in lower case"
    } else {
        ""
    }
}

fn code(CodeConfiguration { code, runtime, entry_point }: CodeConfiguration) -> Option<Artifact> {
    let s3 = code?.s3?;
    let (bucket, prefix) = (s3.bucket?, s3.prefix?);
    Some(Artifact::Code { bucket, prefix, version_id: s3.version_id, runtime: runtime?, entry_point: entry_point? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_oci_reference_will_do() {
        let (sha256, sha512) = (format!("sha256:{}", "a".repeat(64)), format!("sha512:{}", "0".repeat(128)));
        for good in [
            "hello".to_owned(),
            "library/hello:latest".to_owned(),
            "localhost:5000/x:y".to_owned(),
            "127.0.0.1:5000/a/b/c__d--e.f".to_owned(),
            "[::1]:5000/x".to_owned(),
            "Registry.Example.COM/team/agent:V1.2_x-y".to_owned(),
            "123456789012.dkr.ecr.us-west-2.amazonaws.com/agents/hello:v1".to_owned(),
            "public.ecr.aws/x/y:z".to_owned(),
            format!("innkeep/hello@{sha256}"),
            format!("ghcr.io/a/b:tag@{sha512}"),
        ] {
            assert!(REFERENCE.matches(&good), "{good}");
        }
    }

    #[test]
    fn what_is_none_is_refused_with_a_hint() {
        for (bad, expect) in [
            ("https://ghcr.io/a/b", "; leave out the scheme"),
            ("hello world", "; it has a space in it"),
            ("hello\n", "; it has a space in it"),
            ("hello@sha256:abc", "; a digest is sha256: and 64 hexadecimal digits in lower case"),
            ("hello@latest", "; a digest is sha256: and 64 hexadecimal digits in lower case"),
            ("ghcr.io/Team/agent", "; the repository's name is in lower case"),
            ("hello:", ""),
            ("/hello", ""),
            ("hello/", ""),
            ("a//b", ""),
            ("-a/b", ""),
            ("../../etc/passwd", ""),
            ("localhost:port/x", ""),
        ] {
            let mut found = Violations::default();
            assert_eq!(container_uri(bad.to_owned(), &mut found), None, "{bad}");
            let fields = found.into_fields();
            let rule = "Member must be a reference of an image, [registry/]repository[:tag][@digest]";
            assert_eq!(fields[0].message, format!("{rule}{expect}"), "{bad}");
        }
    }
}
