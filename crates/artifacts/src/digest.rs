//! SHA-256, spelled as the store spells it.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use innkeep_types::ArtifactDigest;
use ring::digest::{Context, Digest, SHA256};
use serde::Serialize;

/// Returns the digest of the bytes of the file at `path`.
pub(crate) fn of_file(path: &Path) -> io::Result<ArtifactDigest> {
    let mut file = File::open(path)?;
    let mut context = Context::new(&SHA256);
    let mut buffer = vec![0; 1 << 20];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(spell(context.finish())),
            n => context.update(buffer.get(..n).unwrap_or_default()),
        }
    }
}

/// Returns the digest of `value` as JSON. Structs keep the order of their fields, so equal values have equal digests.
pub(crate) fn of_json(value: &impl Serialize) -> ArtifactDigest {
    let json = serde_json::to_vec(value).expect("strings and options always have a JSON form");
    of_bytes(&json)
}

/// Returns the digest of `bytes`.
pub(crate) fn of_bytes(bytes: &[u8]) -> ArtifactDigest {
    spell(ring::digest::digest(&SHA256, bytes))
}

/// Spells a digest made piece by piece.
pub(crate) fn spell(digest: Digest) -> ArtifactDigest {
    let hex: String = digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    ArtifactDigest::parse(hex).expect("a SHA-256 is 64 lower-case hex digits")
}
