//! What an uploaded tar holds, and where: it is read once from end to end, and then only at the places that matter.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use tar::EntryType;

use crate::image::Problem;

/// The files in an archive. Source: our choice: 127 layers have three each in the oldest form, and images may be for a dozen platforms.
const MAX_FILES: usize = 10_000;
/// The longest name, bytes.
const MAX_NAME_BYTES: usize = 1024;
/// Links followed to one file.
const MAX_LINKS: usize = 3;

/// Where a file lies in the archive, bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) offset: u64,
    pub(super) bytes: u64,
}

#[derive(Debug)]
enum Item {
    File(Place),
    /// The oldest form has a layer that occurs twice once, and a link to it.
    Link(String),
}

/// The table of contents of an archive.
#[derive(Debug)]
pub(super) struct Contents {
    archive: PathBuf,
    items: HashMap<String, Item>,
}

impl Contents {
    /// Reads the headers of the tar at `archive`.
    pub(super) fn read(archive: &Path) -> Result<Self, Problem> {
        let damaged = |error| Problem::Archive(format!("it is no tar, or not all of one ({error})"));
        let mut items = HashMap::new();
        let mut tar = tar::Archive::new(BufReader::new(File::open(archive)?));
        // Raw, so that no extension is read into memory whatever its size: names of these archives need none.
        for entry in tar.entries_with_seek().map_err(damaged)?.raw(true) {
            let entry = entry.map_err(damaged)?;
            if items.len() == MAX_FILES {
                return Err(Problem::Archive(format!("it holds more than {MAX_FILES} files")));
            }
            let name = entry.header().path_bytes();
            let Some(name) = std::str::from_utf8(&name).ok().filter(|name| name.len() <= MAX_NAME_BYTES) else {
                continue;
            };
            let name = normal(name);
            let item = match entry.header().entry_type() {
                EntryType::Regular => Item::File(Place { offset: entry.raw_file_position(), bytes: entry.size() }),
                EntryType::Symlink => {
                    let target = entry.header().link_name_bytes().unwrap_or_default();
                    let Ok(target) = std::str::from_utf8(&target) else { continue };
                    let directory = name.rsplit_once('/').map_or("", |(directory, _)| directory);
                    Item::Link(normal(&format!("{directory}/{target}")))
                }
                _ => continue,
            };
            items.insert(name, item);
        }
        Ok(Self { archive: archive.to_owned(), items })
    }

    /// Tells whether there is a file called `name`.
    pub(super) fn has(&self, name: &str) -> bool {
        self.place(name).is_ok()
    }

    /// Returns where the file called `name` lies.
    pub(super) fn place(&self, name: &str) -> Result<Place, Problem> {
        let mut at = normal(name);
        for _ in 0..=MAX_LINKS {
            match self.items.get(&at) {
                Some(Item::File(place)) => return Ok(*place),
                Some(Item::Link(target)) => at = target.clone(),
                None => break,
            }
        }
        let name: String = name.chars().take(200).collect();
        Err(Problem::Archive(format!("it has no {name}: it is incomplete")))
    }

    /// Returns what the file called `name` holds, which may be `limit` bytes.
    pub(super) fn get(&self, name: &str, limit: usize) -> Result<Vec<u8>, Problem> {
        let Place { offset, bytes } = self.place(name)?;
        if bytes > limit as u64 {
            return Err(Problem::Archive(format!("{name} in it has more than {limit} bytes")));
        }
        let mut file = File::open(&self.archive)?;
        file.seek(SeekFrom::Start(offset))?;
        let mut content = Vec::new();
        file.take(bytes).read_to_end(&mut content)?;
        Ok(content)
    }
}

/// Returns a name without `.`, `..` and empty parts.
fn normal(name: &str) -> String {
    let mut parts = Vec::new();
    for part in name.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    parts.join("/")
}
