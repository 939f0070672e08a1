//! What unpacking one image may cost, counted over all of its layers while they are unpacked.

use std::io::{self, Read};
use std::sync::atomic::{AtomicI64, Ordering};

use innkeep_types::ArtifactDigest;
use innkeep_types::limits::{MAX_IMAGE_ENTRIES, MAX_IMAGE_NAME_BYTES, MAX_IMAGE_UNPACKED_BYTES};
use ring::digest::{Context, SHA256};

use crate::digest;
use crate::image::unpack::Error;

/// What is left of the limits of one image.
#[derive(Debug)]
pub(crate) struct Budget {
    bytes: AtomicI64,
    entries: AtomicI64,
    /// Of one layer.
    pub(super) name_bytes: u64,
}

impl Budget {
    /// Returns the budget of one image.
    pub(crate) fn new() -> Self {
        Self::of(MAX_IMAGE_UNPACKED_BYTES, MAX_IMAGE_ENTRIES, MAX_IMAGE_NAME_BYTES)
    }

    /// Returns a budget of so much.
    pub(super) fn of(bytes: u64, entries: u64, name_bytes: u64) -> Self {
        Self { bytes: AtomicI64::new(signed(bytes)), entries: AtomicI64::new(signed(entries)), name_bytes }
    }

    /// Counts a layer that was unpacked before.
    pub(crate) fn count_layer(&self, bytes: u64, entries: u64) -> Result<(), Error> {
        if take(&self.bytes, bytes) {
            return Err(Error::TooLarge);
        }
        if take(&self.entries, entries) { Err(Error::TooManyEntries) } else { Ok(()) }
    }

    /// Counts one entry.
    pub(super) fn count_entry(&self) -> Result<(), Error> {
        if take(&self.entries, 1) { Err(Error::TooManyEntries) } else { Ok(()) }
    }

    /// Tells whether more bytes came than may.
    pub(super) fn is_spent(&self) -> bool {
        self.bytes.load(Ordering::Relaxed) < 0
    }
}

/// Tells whether less than nothing is left.
fn take(left: &AtomicI64, n: u64) -> bool {
    left.fetch_sub(signed(n), Ordering::Relaxed) < signed(n)
}

fn signed(n: u64) -> i64 {
    // A quarter, so that no sum of a few can overflow.
    i64::try_from(n).unwrap_or(i64::MAX).min(i64::MAX / 4)
}

/// A reader that counts and digests what it reads, and fails once the budget is spent.
pub(super) struct Metered<'a, R> {
    inner: R,
    budget: &'a Budget,
    digest: Context,
    bytes: u64,
}

impl<'a, R: Read> Metered<'a, R> {
    pub(super) fn new(inner: R, budget: &'a Budget) -> Self {
        Self { inner, budget, digest: Context::new(&SHA256), bytes: 0 }
    }

    /// Reads to the end; returns the digest of all that was read, and how much it was.
    pub(super) fn finish(mut self) -> io::Result<(ArtifactDigest, u64)> {
        io::copy(&mut self, &mut io::sink())?;
        Ok((digest::spell(self.digest.finish()), self.bytes))
    }
}

impl<R: Read> Read for Metered<'_, R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buf)?;
        let count = u64::try_from(n).unwrap_or(u64::MAX);
        if take(&self.budget.bytes, count) {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.bytes += count;
        self.digest.update(buf.get(..n).unwrap_or_default());
        Ok(n)
    }
}
