//! `innkeep artifacts`: what the server's artifact store holds.

use clap::{Args, Subcommand};
use innkeep_protocol::operator::{ArtifactUse, ArtifactView};
use innkeep_sdk::Client;
use serde_json::json;

use crate::context::Context;
use crate::failure::{Code, Failure};
use crate::output::{Output, human_bytes};

/// Digits of a digest that tables show. Source: what docker shows.
const SHORT: usize = 12;

/// The least digits of a digest that name an artifact. Source: our choice; what git accepts.
const LEAST: usize = 4;

/// List and delete uploaded code and images
///
/// What no version needs goes by itself after some time.
#[derive(Debug, Args)]
pub(crate) struct Artifacts {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// List artifacts, last used first
    Ls,
    /// Delete artifacts that no version needs
    Rm(Remove),
}

#[derive(Debug, Args)]
struct Remove {
    /// Digests, or how they begin
    #[arg(value_name = "DIGEST", required = true)]
    digests: Vec<String>,
    /// Do not ask; where standard input or standard error is no terminal, nobody is asked
    #[arg(long, short)]
    yes: bool,
}

impl Artifacts {
    pub(crate) async fn run(self, context: &Context) -> Result<(), Failure> {
        let (client, out) = (context.client()?, context.out);
        let artifacts = client.artifacts().await?.artifacts;
        match self.action {
            Action::Ls => list(out, &artifacts),
            Action::Rm(which) => remove(&client, out, &artifacts, which).await,
        }
    }
}

fn list(out: Output, artifacts: &[ArtifactView]) -> Result<(), Failure> {
    if out.json {
        return out.json(&json!({"artifacts": artifacts}));
    }
    if artifacts.is_empty() {
        out.note("the artifact store is empty");
        return Ok(());
    }
    let rows: Vec<_> = artifacts
        .iter()
        .map(|artifact| {
            [
                short(&artifact.digest).to_owned(),
                artifact.kind.clone(),
                human_bytes(artifact.bytes),
                users(&artifact.used_by),
                artifact.last_used_at.clone(),
                artifact.reference.clone().unwrap_or_else(|| "-".to_owned()),
            ]
        })
        .collect();
    out.table(["DIGEST", "KIND", "SIZE", "USED BY", "LAST USED", "REFERENCE"], &rows)
}

async fn remove(
    client: &Client,
    out: Output,
    artifacts: &[ArtifactView],
    Remove { digests, yes }: Remove,
) -> Result<(), Failure> {
    let mut chosen: Vec<&ArtifactView> = Vec::new();
    for digest in &digests {
        let artifact = find(artifacts, digest)?;
        if !chosen.iter().any(|other| other.digest == artifact.digest) {
            chosen.push(artifact);
        }
    }
    let what: Vec<_> = chosen.iter().map(|artifact| format!("{} {}", artifact.kind, short(&artifact.digest))).collect();
    if !yes {
        out.confirm(&format!("delete {}?", what.join(" and ")))?;
    }
    for ArtifactView { digest, used_by, .. } in &chosen {
        client.delete_artifact(digest).await.map_err(|error| in_use(error.into(), used_by))?;
        if !out.json {
            out.data(digest)?;
        }
    }
    let deleted: Vec<_> = chosen.iter().map(|artifact| &artifact.digest).collect();
    if out.json { out.json(&json!({"deleted": deleted})) } else { Ok(()) }
}

/// Returns the artifact whose digest begins with `given`.
fn find<'a>(artifacts: &'a [ArtifactView], given: &str) -> Result<&'a ArtifactView, Failure> {
    let digits = given.strip_prefix("sha256:").unwrap_or(given).to_ascii_lowercase();
    if digits.len() < LEAST {
        return Err(Failure::usage(format!("{given} is too short: at least {LEAST} digits")));
    }
    let mut found = artifacts.iter().filter(|artifact| artifact.digest.starts_with(&digits));
    match (found.next(), found.next()) {
        (Some(artifact), None) => Ok(artifact),
        (Some(_), Some(_)) => {
            Err(Failure::usage(format!("{given} begins several digests")).with_fix("give more digits"))
        }
        (None, _) => {
            Err(Failure::new(Code::NotFound, format!("there is no artifact {given}")).with_fix("innkeep artifacts ls"))
        }
    }
}

/// Says what to delete first, if an artifact is needed.
fn in_use(failure: Failure, used_by: &[ArtifactUse]) -> Failure {
    match used_by.first() {
        Some(ArtifactUse { runtime, version }) if failure.fix.is_none() => {
            failure.with_fix(format!("delete what needs it first: innkeep versions rm {version} --runtime {runtime}"))
        }
        _ => failure,
    }
}

/// Returns who needs an artifact: `hello v1 v2, other v1`.
fn users(used_by: &[ArtifactUse]) -> String {
    let mut sorted = used_by.to_vec();
    sorted.sort();
    let runtimes = sorted.chunk_by(|a, b| a.runtime == b.runtime).map(|uses| {
        let versions: Vec<_> = uses.iter().map(|artifact_use| format!("v{}", artifact_use.version)).collect();
        match versions.as_slice() {
            [first, .., last] if versions.len() > 3 => format!("{} {first}…{last}", uses[0].runtime),
            some => format!("{} {}", uses[0].runtime, some.join(" ")),
        }
    });
    let text = runtimes.collect::<Vec<_>>().join(", ");
    if text.is_empty() { "-".to_owned() } else { text }
}

fn short(digest: &str) -> &str {
    digest.get(..SHORT).unwrap_or(digest)
}

#[cfg(test)]
mod tests {
    use innkeep_types::RuntimeVersion;

    use super::*;

    fn artifact(digest: &str) -> ArtifactView {
        ArtifactView {
            digest: digest.to_owned(),
            kind: "code".to_owned(),
            reference: None,
            bytes: 1,
            used_by: Vec::new(),
            last_used_at: String::new(),
        }
    }

    #[test]
    fn a_digest_is_named_by_its_beginning() {
        let artifacts = [artifact("abcdef01"), artifact("abcdff02"), artifact("123456")];
        let find = |given: &str| find(&artifacts, given).map(|a| a.digest.as_str()).map_err(|failure| failure.code);
        assert_eq!(find("abcde"), Ok("abcdef01"));
        assert_eq!(find("sha256:ABCDF"), Ok("abcdff02"));
        assert_eq!([find("abcd"), find("12"), find("9999")], [Err(Code::Usage), Err(Code::Usage), Err(Code::NotFound)]);
    }

    #[test]
    fn users_are_told_in_short() {
        let uses = |runtime: &str, versions: &[u32]| -> Vec<ArtifactUse> {
            let version = |n: &u32| RuntimeVersion::new(*n).unwrap();
            versions.iter().map(|n| ArtifactUse { runtime: runtime.parse().unwrap(), version: version(n) }).collect()
        };
        assert_eq!(users(&[]), "-");
        assert_eq!(users(&[uses("hello", &[2, 1]), uses("a", &[7])].concat()), "a v7, hello v1 v2");
        assert_eq!(users(&uses("hello", &[1, 2, 3, 12])), "hello v1…v12");
    }
}
