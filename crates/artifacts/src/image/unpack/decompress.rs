//! gzip, zstd or nothing, told by the first bytes: what registries call a layer and what it is differ now and then, and its
//! digest is checked in any case.

use std::io::{self, BufRead, BufReader, Chain, Cursor, Read};

use flate2::bufread::MultiGzDecoder;
use ruzstd::decoding::errors::{FrameDecoderError, ReadFrameHeaderError};
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};

const GZIP: [u8; 2] = [0x1f, 0x8b];
const ZSTD: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
/// Of the frames that zstd tools skip, `50 2a 4d 18` to `5f 2a 4d 18`.
const ZSTD_SKIPPABLE: [u8; 3] = [0x2a, 0x4d, 0x18];

/// How much is read at once, bytes.
const BUFFER_BYTES: usize = 128 << 10;

/// Returns what `source` holds, uncompressed.
pub(crate) fn decompress<'a>(mut source: impl Read + 'a) -> io::Result<Box<dyn Read + 'a>> {
    let mut magic = Vec::with_capacity(4);
    source.by_ref().take(4).read_to_end(&mut magic)?;
    let is_zstd = magic == ZSTD || (magic.len() == 4 && magic.ends_with(&ZSTD_SKIPPABLE));
    let is_gzip = magic.starts_with(&GZIP);
    let source: Source<_> = BufReader::with_capacity(BUFFER_BYTES, Cursor::new(magic).chain(source));
    Ok(match (is_gzip, is_zstd) {
        (true, _) => Box::new(MultiGzDecoder::new(source)),
        (_, true) => Box::new(Zstd { source, decoder: FrameDecoder::new(), within: false }),
        _ => Box::new(source),
    })
}

type Source<R> = BufReader<Chain<Cursor<Vec<u8>>, R>>;

/// All frames of a zstd file, one after another; the crate's own reader ends with the first. The crate bounds the memory of a
/// frame by 128 MiB.
struct Zstd<R> {
    source: R,
    decoder: FrameDecoder,
    within: bool,
}

impl<R: BufRead> Zstd<R> {
    /// Goes to the next frame that holds something; false at the end of the file.
    fn next_frame(&mut self) -> io::Result<bool> {
        while !self.source.fill_buf()?.is_empty() {
            match self.decoder.reset(&mut self.source) {
                Ok(()) => return Ok(true),
                Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame { length, .. })) => {
                    let length = u64::from(length);
                    if io::copy(&mut self.source.by_ref().take(length), &mut io::sink())? < length {
                        return Err(io::ErrorKind::UnexpectedEof.into());
                    }
                }
                Err(error) => return Err(io::Error::other(error)),
            }
        }
        Ok(false)
    }
}

impl<R: BufRead> Read for Zstd<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        loop {
            if self.within && self.decoder.can_collect() > 0 {
                return self.decoder.read(buf);
            }
            if self.within && !self.decoder.is_finished() {
                let strategy = BlockDecodingStrategy::UptoBlocks(1);
                self.decoder.decode_blocks(&mut self.source, strategy).map_err(io::Error::other)?;
                continue;
            }
            self.within = self.next_frame()?;
            if !self.within {
                return Ok(0);
            }
        }
    }
}
