//! What a layer may cost, at limits that a test can reach. What a layer may hold is tested in `tests/it`.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;

use super::*;

/// Returns a tar of empty directories and one file of zeros.
fn tar(directories: usize, zeros: u64) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_ustar();
    header.set_entry_type(tar::EntryType::Directory);
    header.set_mode(0o755);
    header.set_size(0);
    for idx in 0..directories {
        tar.append_data(&mut header.clone(), format!("d{idx}"), io::empty()).unwrap();
    }
    header.set_entry_type(tar::EntryType::Regular);
    header.set_size(zeros);
    tar.append_data(&mut header, "zeros", io::repeat(0).take(zeros)).unwrap();
    tar.into_inner().unwrap()
}

fn unpacked(layer: &[u8], budget: &Budget) -> Result<Unpacked, Error> {
    let root = tempfile::tempdir().unwrap();
    unpack(layer, root.path(), budget)
}

#[test]
fn bytes_are_counted_as_they_come_out() {
    let bomb = tar(0, 2 << 20);
    let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
    gzip.write_all(&bomb).unwrap();
    let gzip = gzip.finish().unwrap();
    assert!(gzip.len() < 8192);
    assert!(matches!(unpacked(&gzip, &Budget::of(1 << 20, 10, 1000)), Err(Error::TooLarge)));
    let budget = Budget::of(bomb.len() as u64, 10, 1000);
    assert_eq!(unpacked(&gzip, &budget).unwrap().bytes, bomb.len() as u64);
    // Of the same image, and what comes after the end of a tar counts too.
    assert!(matches!(unpacked(&[0; 1024], &budget), Err(Error::TooLarge)));
    assert!(matches!(budget.count_layer(1, 0), Err(Error::TooLarge)));
}

#[test]
fn entries_are_counted_over_all_layers() {
    let budget = Budget::of(1 << 20, 5, 6);
    assert_eq!(unpacked(&tar(2, 0), &budget).unwrap().entries, 3);
    assert!(matches!(unpacked(&tar(2, 0), &budget), Err(Error::TooManyEntries)));
    assert!(matches!(budget.count_layer(0, 1), Err(Error::TooManyEntries)));
    assert!(matches!(unpacked(&tar(4, 0), &Budget::of(1 << 20, 9, 6)), Err(Error::TooManyNames)));
    assert!(matches!(Budget::new().count_layer(u64::MAX, u64::MAX), Err(Error::TooLarge)));
}
