//! Unpacks zips that nobody vouches for. Everything is checked before the first byte is written, and what headers claim is
//! counted again while unpacking; the caller throws the directory away when this fails.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, BufReader, Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use innkeep_types::limits::{MAX_UNZIPPED_BYTES, MAX_ZIP_BYTES, MAX_ZIP_ENTRIES};
use zip::read::{ZipArchive, ZipArchiveMetadata, ZipFileEntry, ZipReadOptions};
use zip::result::ZipError;

pub(crate) mod path;

/// The largest central directory that is read, bytes. The zip crate indexes all of it before it tells how many entries there
/// are; [`MAX_ZIP_ENTRIES`] of the usual length need half of this.
const MAX_DIRECTORY_BYTES: u64 = 16 << 20;

/// What a local header has besides its name, bytes; more, if it has extra fields.
const LOCAL_HEADER_BYTES: u64 = 30;

/// Why a zip was refused.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It cannot be read as a zip at all.
    #[error("not a zip archive, or a truncated one")]
    NotAZip(#[source] ZipError),
    /// It is larger than what the contract takes.
    #[error("the zip has {0} bytes; at most {MAX_ZIP_BYTES} are taken")]
    TooLarge(u64),
    /// What is inside is larger than what the contract takes.
    #[error("the zip unpacks to more than {MAX_UNZIPPED_BYTES} bytes")]
    UnpacksTooLarge,
    /// It has more files and directories than we take.
    #[error("the zip holds more than {MAX_ZIP_ENTRIES} files and directories")]
    TooManyEntries,
    /// Its table of contents is larger than any that is within the limit on entries.
    #[error("the zip's table of contents has more than {MAX_DIRECTORY_BYTES} bytes")]
    DirectoryTooLarge,
    /// Two entries share bytes, as in a zip bomb.
    #[error("entries of the zip overlap, as in a zip bomb")]
    Overlap,
    /// Two entries have the very same name.
    #[error("two entries of the zip have the same name")]
    DuplicateName,
    /// One entry cannot be taken.
    #[error("{path:?} in the zip {problem}")]
    Entry {
        /// Its name, as far as it can be shown.
        path: String,
        /// What is wrong with it.
        problem: Problem,
    },
    /// The host could not read the zip or write what is in it.
    #[error("cannot unpack the zip")]
    Io(#[from] io::Error),
}

/// What is wrong with one entry of a zip; continues a sentence that begins with its name.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "each says what it is")]
pub enum Problem {
    #[error("is not named in UTF-8")]
    NotUtf8,
    #[error("has a name that is too long")]
    TooLong,
    #[error("has a NUL in its name")]
    Nul,
    #[error("has a backslash or a drive letter in its name; separate directories by /")]
    Windows,
    #[error("has an absolute path")]
    Absolute,
    #[error("leads out of the archive by `..`")]
    Parent,
    #[error("is there twice")]
    Twice,
    #[error("lies below something that is not a directory")]
    BelowFile,
    #[error("is neither a file, a directory nor a symbolic link")]
    Special,
    #[error("is encrypted")]
    Encrypted,
    #[error(
        "is a symbolic link to {target:?}, which is absolute or may lead out of the archive; \
         only relative links with `..` at the front are taken"
    )]
    Link { target: String },
    #[error("is damaged, or compressed by a method other than deflate: {0}")]
    Damaged(String),
}

/// What becomes of one entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Node {
    Directory,
    File { executable: bool },
    Link,
}

/// One entry that passed the checks.
struct Planned<'a> {
    path: PathBuf,
    node: Node,
    entry: ZipFileEntry<'a>,
}

/// Unpacks `zip` into `root`, an empty directory.
///
/// Of the modes only the executable bit is kept. Links come last, so nothing is ever written through one.
pub(crate) fn unpack(zip: &Path, root: &Path) -> Result<(), Error> {
    let mut file = File::open(zip)?;
    let bytes = file.metadata()?.len();
    if bytes > MAX_ZIP_BYTES {
        return Err(Error::TooLarge(bytes));
    }
    let metadata = read_directory(file.try_clone()?)?;
    let mut links = Vec::new();
    let mut left = MAX_UNZIPPED_BYTES;
    for planned in plan(&metadata)? {
        let at = root.join(&planned.path);
        if let Some(parent) = at.parent() {
            fs::create_dir_all(parent)?;
        }
        match planned.node {
            Node::Directory => fs::create_dir_all(&at)?,
            Node::File { executable } => write_file(planned.entry, &mut file, &at, executable, &mut left)?,
            Node::Link => links.push((read_link(planned, &mut file)?, at)),
        }
    }
    for (target, at) in links {
        std::os::unix::fs::symlink(target, at)?;
    }
    Ok(())
}

fn read_directory(file: File) -> Result<std::sync::Arc<ZipArchiveMetadata>, Error> {
    let archive = match ZipArchive::new(BufReader::new(Capped { file, left: MAX_DIRECTORY_BYTES })) {
        Ok(archive) => archive,
        Err(ZipError::Io(source)) if source.kind() == io::ErrorKind::FileTooLarge => {
            return Err(Error::DirectoryTooLarge);
        }
        Err(source) => return Err(Error::NotAZip(source)),
    };
    let metadata = archive.metadata();
    if metadata.len() > MAX_ZIP_ENTRIES {
        return Err(Error::TooManyEntries);
    }
    if metadata.has_duplicate_names() {
        // The crate keeps one entry of each name and does not say which ones were there twice.
        return Err(Error::DuplicateName);
    }
    Ok(metadata)
}

/// Checks all that the central directory tells; what `Planned` names can be created in this order.
fn plan(metadata: &ZipArchiveMetadata) -> Result<Vec<Planned<'_>>, Error> {
    let mut planned = Vec::with_capacity(metadata.len());
    let mut nodes = HashMap::from([(PathBuf::new(), Node::Directory)]);
    let mut extents = Vec::with_capacity(metadata.len());
    let mut left = MAX_UNZIPPED_BYTES;
    for idx in 0..metadata.len() {
        let entry = metadata.entry(idx).map_err(Error::NotAZip)?;
        let shown = shown(entry.name_raw());
        let refuse = |problem| Error::Entry { path: shown.clone(), problem };
        if entry.encrypted() {
            return Err(refuse(Problem::Encrypted));
        }
        let path = path::parse(entry.name_raw()).map_err(refuse)?;
        let node = node_of(&entry).map_err(refuse)?;
        claim(&mut nodes, &path, node).map_err(refuse)?;
        if nodes.len() > MAX_ZIP_ENTRIES {
            return Err(Error::TooManyEntries);
        }
        left = left.checked_sub(entry.size()).ok_or(Error::UnpacksTooLarge)?;
        let body = LOCAL_HEADER_BYTES.saturating_add(entry.compressed_size());
        extents.push((entry.header_start(), entry.header_start().saturating_add(body)));
        planned.push(Planned { path, node, entry });
    }
    extents.sort_unstable();
    if extents.windows(2).any(|pair| matches!(pair, [(_, end), (start, _)] if end > start)) {
        return Err(Error::Overlap);
    }
    Ok(planned)
}

fn node_of(entry: &ZipFileEntry<'_>) -> Result<Node, Problem> {
    const KIND: u32 = 0o170_000;
    let mode = entry.unix_mode().unwrap_or(0);
    match mode & KIND {
        0o120_000 => Ok(Node::Link),
        0o040_000 => Ok(Node::Directory),
        0 | 0o100_000 if entry.name_raw().ends_with(b"/") => Ok(Node::Directory),
        0 | 0o100_000 => Ok(Node::File { executable: mode & 0o111 != 0 }),
        _ => Err(Problem::Special),
    }
}

/// Notes that `path` and the directories above it exist, unless that contradicts what does already.
fn claim(nodes: &mut HashMap<PathBuf, Node>, path: &Path, node: Node) -> Result<(), Problem> {
    for above in path.ancestors().skip(1) {
        if *nodes.entry(above.to_owned()).or_insert(Node::Directory) != Node::Directory {
            return Err(Problem::BelowFile);
        }
    }
    match nodes.insert(path.to_owned(), node) {
        None => Ok(()),
        Some(Node::Directory) if node == Node::Directory => Ok(()),
        Some(_) => Err(Problem::Twice),
    }
}

fn write_file(
    entry: ZipFileEntry<'_>,
    zip: &mut File,
    at: &Path,
    executable: bool,
    left: &mut u64,
) -> Result<(), Error> {
    let path = shown(entry.name_raw());
    let damaged = |what: String| Error::Entry { path: path.clone(), problem: Problem::Damaged(what) };
    let mode = if executable { 0o755 } else { 0o644 };
    let mut out = fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(at)?;
    let mut content = entry.with_reader(zip, ZipReadOptions::new()).map_err(|e| damaged(e.to_string()))?;
    let mut buffer = vec![0; 64 << 10];
    loop {
        let n = content.read(&mut buffer).map_err(|e| damaged(e.to_string()))?;
        let Some(chunk) = buffer.get(..n).filter(|chunk| !chunk.is_empty()) else { return Ok(()) };
        *left = left.checked_sub(u64::try_from(n).unwrap_or(u64::MAX)).ok_or(Error::UnpacksTooLarge)?;
        out.write_all(chunk)?;
    }
}

fn read_link(planned: Planned<'_>, zip: &mut File) -> Result<String, Error> {
    let path = shown(planned.entry.name_raw());
    let refuse = |problem| Error::Entry { path: path.clone(), problem };
    let content = planned.entry.with_reader(zip, ZipReadOptions::new());
    let content = content.map_err(|e| refuse(Problem::Damaged(e.to_string())))?;
    let mut target = String::new();
    content.take(4096).read_to_string(&mut target).map_err(|e| refuse(Problem::Damaged(e.to_string())))?;
    let depth = planned.path.components().count().saturating_sub(1);
    if path::is_inward(&target, depth) { Ok(target) } else { Err(refuse(Problem::Link { target })) }
}

fn shown(raw: &[u8]) -> String {
    String::from_utf8_lossy(raw).chars().take(200).collect()
}

/// A file of which at most `left` bytes can be read.
struct Capped {
    file: File,
    left: u64,
}

impl Read for Capped {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if self.left == 0 {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        let n = (&mut self.file).take(self.left).read(buf)?;
        self.left -= u64::try_from(n).unwrap_or(self.left);
        Ok(n)
    }
}

impl Seek for Capped {
    fn seek(&mut self, to: io::SeekFrom) -> io::Result<u64> {
        self.file.seek(to)
    }
}
