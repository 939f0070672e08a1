//! The rules for names inside a zip: where an entry may lie and where a symbolic link may point. Pure.

use std::path::PathBuf;

use super::Problem;

/// The longest path of an entry, bytes. Leaves room for the data directory below the kernel's 4096.
const MAX_PATH_BYTES: usize = 1024;
/// The longest name in a path, bytes. Source: `NAME_MAX`.
const MAX_NAME_BYTES: usize = 255;

/// Returns the place of an entry called `raw`, below the root and without `.` or empty parts; empty for the root itself.
pub(crate) fn parse(raw: &[u8]) -> Result<PathBuf, Problem> {
    let name = std::str::from_utf8(raw).map_err(|_| Problem::NotUtf8)?;
    if name.len() > MAX_PATH_BYTES {
        return Err(Problem::TooLong);
    }
    if name.contains('\0') {
        return Err(Problem::Nul);
    }
    if name.contains('\\') || matches!(name.as_bytes(), [drive, b':', ..] if drive.is_ascii_alphabetic()) {
        return Err(Problem::Windows);
    }
    if name.starts_with('/') {
        return Err(Problem::Absolute);
    }
    let mut path = PathBuf::new();
    for part in name.split('/').filter(|part| !matches!(*part, "" | ".")) {
        if part == ".." {
            return Err(Problem::Parent);
        }
        if part.len() > MAX_NAME_BYTES {
            return Err(Problem::TooLong);
        }
        path.push(part);
    }
    Ok(path)
}

/// Tells whether a link that lies `depth` directories below the root and points to `target` stays inside.
///
/// `..` is taken only at the front and at most `depth` times. The directories above a link are real ones (nothing is unpacked
/// below a link), so these steps are what the kernel does too; every later part goes down, perhaps through other links for
/// which the same holds. A rule that resolves `..` anywhere by text alone lets `up/..` out when `up` is a link.
pub(crate) fn is_inward(target: &str, depth: usize) -> bool {
    let mut parts = target.split('/').filter(|part| !matches!(*part, "" | ".")).peekable();
    let mut ups = 0;
    while parts.next_if_eq(&"..").is_some() {
        ups += 1;
    }
    !target.is_empty()
        && !target.starts_with('/')
        && !target.contains('\0')
        && target.len() <= MAX_PATH_BYTES
        && ups <= depth
        && parts.all(|part| part != ".." && part.len() <= MAX_NAME_BYTES)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn entries_lie_below_the_root() {
        for (name, path) in
            [("main.py", "main.py"), ("./a//b/", "a/b"), ("./", ""), ("ä/…", "ä/…"), ("..a/b..", "..a/b..")]
        {
            assert_eq!(parse(name.as_bytes()).ok().as_deref(), Some(Path::new(path)), "{name}");
        }
        let (long_name, long_path) = ("n".repeat(256), "d/".repeat(513));
        for bad in ["../x", "a/../x", "a/..", "/etc/passwd", "a\\b", "C:x", "c:/x", "a\0b", &long_name, &long_path] {
            assert!(parse(bad.as_bytes()).is_err(), "{bad}");
        }
        assert!(parse(b"\xff").is_err());
    }

    #[test]
    fn links_stay_inside() {
        for (target, depth, inward) in [
            ("x", 0, true),
            ("./x/y", 0, true),
            ("../x", 1, true),
            ("..", 1, true),
            ("../..", 1, false),
            ("..", 0, false),
            ("x/../y", 3, false),
            ("up/..", 3, false),
            ("/etc/passwd", 3, false),
            ("", 1, false),
            ("a\0b", 1, false),
        ] {
            assert_eq!(is_inward(target, depth), inward, "{target:?} at depth {depth}");
        }
    }
}
