//! Extended attributes of a layer's files and directories: those that a program may give its own files, `user.*`.
//!
//! No others: `security.*` are powers (capabilities of files mean nothing in a sandbox) or labels of another host, `trusted.*` and
//! `user.overlay.*` are how overlayfs is told what to show, which here only we say.

use std::os::fd::AsFd;
use std::path::Path;

use rustix::fs::{self as sys, XattrFlags};
use rustix::io::Errno;

use crate::image::unpack::Error;
use crate::image::unpack::disk::io;

/// What stands before an attribute's name in a pax record. Source: star, libarchive and Go's `archive/tar`, by which engines write.
const RECORD: &[u8] = b"SCHILY.xattr.";

/// Attributes of one file. Source: our choice; ext4 has room for a few dozen.
pub(super) const MAX_ATTRIBUTES: usize = 64;
/// The longest name, bytes. Source: Linux, `XATTR_NAME_MAX`.
const MAX_NAME_BYTES: usize = 255;
/// The longest value, bytes. Source: Linux, `XATTR_SIZE_MAX`.
const MAX_VALUE_BYTES: usize = 64 << 10;
/// The longest list of names, bytes. Source: Linux, `XATTR_LIST_MAX`.
const MAX_LIST_BYTES: usize = 64 << 10;

/// Those of one entry or file.
#[derive(Debug, Default, PartialEq, Eq)]
pub(in crate::image) struct Extended {
    attributes: Vec<(Vec<u8>, Vec<u8>)>,
    /// Whether there is one that no file can have, or one too many.
    is_excessive: bool,
}

impl Extended {
    /// Takes the attribute of a pax record, if it is one and kept.
    pub(super) fn add(&mut self, key: &[u8], value: &[u8]) {
        let Some(name) = key.strip_prefix(RECORD).filter(|name| is_kept(name)) else { return };
        let fits = name.len() <= MAX_NAME_BYTES && !name.contains(&0) && value.len() <= MAX_VALUE_BYTES;
        if fits && self.attributes.len() < MAX_ATTRIBUTES {
            self.attributes.push((name.to_vec(), value.to_vec()));
        } else {
            self.is_excessive = true;
        }
    }

    /// Returns those of the directory or file at `path`, no link.
    pub(in crate::image) fn of(path: &Path) -> std::io::Result<Self> {
        let mut names = vec![0; MAX_LIST_BYTES];
        let n = match sys::llistxattr(path, &mut names) {
            Err(Errno::NOTSUP) => 0,
            n => n?,
        };
        let mut extended = Self::default();
        let mut value = vec![0; MAX_VALUE_BYTES];
        let names = names.get(..n).unwrap_or_default();
        for name in names.split(|byte| *byte == 0).filter(|name| is_kept(name)) {
            let n = sys::lgetxattr(path, name, &mut value)?;
            extended.attributes.push((name.to_vec(), value.get(..n).unwrap_or_default().to_vec()));
        }
        extended.attributes.sort();
        Ok(extended)
    }

    /// Tells whether it is more than one file can have.
    pub(super) fn is_excessive(&self) -> bool {
        self.is_excessive
    }

    /// Returns how many bytes they take, about.
    pub(super) fn bytes(&self) -> u64 {
        self.attributes.iter().map(|(name, value)| (name.len() + value.len()) as u64).sum()
    }

    /// Gives them to `file`, which is still ours to write. Returns how many the file system has no room or no support for: nearly all
    /// images work without.
    pub(in crate::image) fn give(&self, file: impl AsFd) -> Result<u64, Error> {
        let mut dropped = 0;
        for (name, value) in &self.attributes {
            match sys::fsetxattr(&file, name.as_slice(), value, XattrFlags::empty()) {
                Ok(()) => {}
                // No such attributes at all; more than the inode's block takes (ext4, Btrfs), or than it may have (tmpfs).
                Err(Errno::NOTSUP | Errno::NOSPC | Errno::TOOBIG | Errno::RANGE | Errno::DQUOT) => dropped += 1,
                Err(error) => return Err(io(error)),
            }
        }
        Ok(dropped)
    }
}

fn is_kept(name: &[u8]) -> bool {
    name.len() > b"user.".len() && name.starts_with(b"user.") && !name.starts_with(b"user.overlay.")
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use super::*;

    fn of(records: &[(&str, &[u8])]) -> Extended {
        let mut extended = Extended::default();
        records.iter().for_each(|(key, value)| extended.add(key.as_bytes(), value));
        extended
    }

    #[test]
    fn users_attributes_are_kept_and_no_others() {
        let kept = of(&[
            ("SCHILY.xattr.user.a", b"\0\n="),
            ("SCHILY.xattr.user.", b"1"),
            ("SCHILY.xattr.user.overlay.opaque", b"y"),
            ("SCHILY.xattr.user.overlay.redirect", b"/etc"),
            ("SCHILY.xattr.trusted.overlay.opaque", b"y"),
            ("SCHILY.xattr.security.capability", b"\x01"),
            ("SCHILY.xattr.system.posix_acl_access", b"\x02"),
            ("user.b", b"2"),
            ("comment", b"3"),
        ]);
        assert_eq!(
            (kept.attributes.as_slice(), kept.is_excessive()),
            (&[(b"user.a".to_vec(), b"\0\n=".to_vec())][..], false)
        );
    }

    #[test]
    fn what_no_file_can_have_is_noticed_before_it_is_held() {
        let name = |n: usize| format!("SCHILY.xattr.user.{}", "n".repeat(n - 5));
        assert!(!of(&[(&name(255), &[0; 64 << 10])]).is_excessive());
        for (key, value) in
            [(name(256), vec![]), (name(9), vec![0; (64 << 10) + 1]), (name(9).replace("nn", "n\0"), vec![])]
        {
            let found = of(&[(&key, &value)]);
            assert!(found.is_excessive() && found.attributes.is_empty(), "{} {}", key.len(), value.len());
        }
        let many: Vec<_> = (0..=MAX_ATTRIBUTES).map(|n| name(9 + n)).collect();
        let records: Vec<_> = many.iter().map(|key| (key.as_str(), &b""[..])).collect();
        assert!(!of(&records[1..]).is_excessive());
        assert!(of(&records).is_excessive());
    }

    #[test]
    fn a_file_system_that_has_none_drops_them() {
        // Of the kernel, for anybody to open, and without attributes of users.
        let dropped = of(&[("SCHILY.xattr.user.a", b"1"), ("SCHILY.xattr.user.b", b"2")])
            .give(File::open("/proc/self/status").unwrap());
        assert_eq!(dropped.unwrap(), 2);
    }
}
