//! What sandboxes are made of, as digests that tell whether one of a server before this one is as good as a new one.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::sync::OnceLock;

use ring::digest::{Context, SHA256};

use crate::embedded::SIDECAR;

/// Returns the digest of `parts`, hexadecimal: SHA-256 over each one's length, eight bytes, and itself.
pub(crate) fn digest(parts: &[&[u8]]) -> String {
    let mut context = Context::new(&SHA256);
    for part in parts {
        context.update(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_le_bytes());
        context.update(part);
    }
    context.finish().as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Returns what tells this build of ours from another: the sidecar that it carries, and which file it runs from.
pub(crate) fn build() -> &'static str {
    static BUILD: OnceLock<String> = OnceLock::new();
    BUILD.get_or_init(|| {
        // Its content is large. One that cannot be looked at is known by its sidecar alone.
        let program = fs::metadata("/proc/self/exe").map(|file| (file.len(), file.mtime(), file.mtime_nsec())).ok();
        digest(&[SIDECAR, env!("CARGO_PKG_VERSION").as_bytes(), format!("{program:?}").as_bytes()])
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_tells_where_one_part_ends() {
        assert_eq!(digest(&[b"ab", b"c"]), digest(&[b"ab", b"c"]));
        assert_ne!(digest(&[b"ab", b"c"]), digest(&[b"a", b"bc"]));
        assert_eq!((build(), build().len()), (build(), 64));
    }
}
