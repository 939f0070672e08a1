//! AWS event streams (`application/vnd.amazon.eventstream`): how the output of a command travels. Source: Smithy, "Amazon Event
//! Stream Specification".
//!
//! ```text
//! total length  headers length  CRC32 of both  headers …                         payload …  CRC32 of all before
//!      4              4              4         1 + name, 1 = 7, 2 + value (text)                    4
//! ```

/// The media type.
pub const MEDIA_TYPE: &str = "application/vnd.amazon.eventstream";

/// The largest message that is decoded, bytes. Source: the specification's own bound, 16 MiB of payload and 128 KiB of headers.
pub const MAX_MESSAGE: usize = (16 << 20) + (128 << 10);

/// Lengths and their checksum.
const PRELUDE: usize = 12;
/// The checksum at the end.
const TRAILER: usize = 4;
/// The type of a header whose value is text.
const TEXT: u8 = 7;

/// One message: headers with text values, and a payload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// In order; names of 1 to 255 bytes, values of at most 65,535.
    pub headers: Vec<(String, String)>,
    /// As the headers describe it.
    pub payload: Vec<u8>,
}

impl Message {
    /// Returns an event of type `kind`, whose payload is JSON.
    pub fn event(kind: &str, payload: Vec<u8>) -> Self {
        Self::new([(":message-type", "event"), (":event-type", kind), (":content-type", "application/json")], payload)
    }

    /// Returns an error that ends a stream: `kind` is the member of the stream that it is, its payload JSON.
    pub fn exception(kind: &str, payload: Vec<u8>) -> Self {
        let headers =
            [(":message-type", "exception"), (":exception-type", kind), (":content-type", "application/json")];
        Self::new(headers, payload)
    }

    fn new(headers: [(&str, &str); 3], payload: Vec<u8>) -> Self {
        Self { headers: headers.map(|(name, value)| (name.to_owned(), value.to_owned())).into(), payload }
    }

    /// Returns the value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// Returns the message as it travels.
    ///
    /// # Errors
    /// If a part of it is longer than its length can say, or than [`MAX_MESSAGE`].
    pub fn encode(&self) -> Result<Vec<u8>, Error> {
        let mut headers = Vec::new();
        for (name, value) in &self.headers {
            headers.push(u8::try_from(name.len()).ok().filter(|len| *len > 0).ok_or(Error::TooLong)?);
            headers.extend_from_slice(name.as_bytes());
            headers.push(TEXT);
            headers.extend(u16::try_from(value.len()).map_err(|_| Error::TooLong)?.to_be_bytes());
            headers.extend_from_slice(value.as_bytes());
        }
        let total = PRELUDE + headers.len() + self.payload.len() + TRAILER;
        if total > MAX_MESSAGE {
            return Err(Error::TooLong);
        }
        let length = |n: usize| u32::try_from(n).map(u32::to_be_bytes).map_err(|_| Error::TooLong);
        let mut bytes = Vec::with_capacity(total);
        bytes.extend(length(total)?);
        bytes.extend(length(headers.len())?);
        bytes.extend(crc32fast::hash(&bytes).to_be_bytes());
        bytes.extend(headers);
        bytes.extend_from_slice(&self.payload);
        bytes.extend(crc32fast::hash(&bytes).to_be_bytes());
        Ok(bytes)
    }
}

/// Why bytes are no message, or a message cannot become bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Beyond a length's range, or beyond [`MAX_MESSAGE`].
    #[error("a message of the event stream is too long")]
    TooLong,
    /// Lengths that contradict each other, or a header that is no text.
    #[error("the event stream is malformed")]
    Malformed,
    /// What arrived is not what was sent.
    #[error("a checksum of the event stream is wrong")]
    Checksum,
}

/// Makes messages of bytes as they arrive.
#[derive(Debug, Default)]
pub struct Decoder {
    pending: Vec<u8>,
}

impl Decoder {
    /// Takes in the next bytes of the stream.
    pub fn push(&mut self, bytes: &[u8]) {
        self.pending.extend_from_slice(bytes);
    }

    /// Returns the next message that has arrived whole. After an error nothing that follows can be trusted.
    ///
    /// # Errors
    /// As [`Error`] says; a length beyond [`MAX_MESSAGE`] is refused before its bytes are waited for.
    pub fn next_message(&mut self) -> Result<Option<Message>, Error> {
        let Some(prelude) = self.pending.first_chunk::<PRELUDE>() else { return Ok(None) };
        let [t0, t1, t2, t3, h0, h1, h2, h3, crc @ ..] = *prelude;
        if crc32fast::hash(&[t0, t1, t2, t3, h0, h1, h2, h3]) != u32::from_be_bytes(crc) {
            return Err(Error::Checksum);
        }
        let length = |bytes| usize::try_from(u32::from_be_bytes(bytes)).map_err(|_| Error::TooLong);
        let (total, headers) = (length([t0, t1, t2, t3])?, length([h0, h1, h2, h3])?);
        if total > MAX_MESSAGE {
            return Err(Error::TooLong);
        }
        let payload = total.checked_sub(PRELUDE + TRAILER).and_then(|rest| rest.checked_sub(headers));
        let payload = payload.ok_or(Error::Malformed)?;
        if self.pending.len() < total {
            return Ok(None);
        }
        let rest = self.pending.split_off(total);
        let message = std::mem::replace(&mut self.pending, rest);
        let (body, crc) = message.split_last_chunk::<TRAILER>().ok_or(Error::Malformed)?;
        if crc32fast::hash(body) != u32::from_be_bytes(*crc) {
            return Err(Error::Checksum);
        }
        let content = body.get(PRELUDE..).unwrap_or_default();
        let (headers, payload) = content.split_at_checked(content.len() - payload).ok_or(Error::Malformed)?;
        Ok(Some(Message { headers: texts(headers)?, payload: payload.to_vec() }))
    }
}

fn texts(mut bytes: &[u8]) -> Result<Vec<(String, String)>, Error> {
    let mut headers = Vec::new();
    while let Some((name_len, rest)) = bytes.split_first() {
        let (name, rest) = rest.split_at_checked(usize::from(*name_len)).ok_or(Error::Malformed)?;
        let ([kind, v0, v1], rest) = rest.split_first_chunk::<3>().ok_or(Error::Malformed)?;
        if *kind != TEXT || name.is_empty() {
            return Err(Error::Malformed);
        }
        let length = usize::from(u16::from_be_bytes([*v0, *v1]));
        let (value, rest) = rest.split_at_checked(length).ok_or(Error::Malformed)?;
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).map_err(|_| Error::Malformed);
        headers.push((text(name)?, text(value)?));
        bytes = rest;
    }
    Ok(headers)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Bytes that botocore's own parser understood.
    const CHUNK: &str = "0000006e0000004ba22e8e5d0d3a6d6573736167652d747970650700056576656e740b3a6576656e742d7479706507000563\
        68756e6b0d3a636f6e74656e742d747970650700106170706c69636174696f6e2f6a736f6e7b22636f6e74656e7453746172\
        74223a7b7d7d1ff311ca";

    #[test]
    fn a_chunk_is_what_botocore_reads() {
        let bytes = Message::event("chunk", br#"{"contentStart":{}}"#.to_vec()).encode().unwrap();
        let text: String = bytes.iter().map(|b| format!("{b:02x}")).collect();
        assert_eq!(text, CHUNK);
    }

    #[test]
    fn lengths_that_lie_are_refused() {
        let good = Message::event("chunk", b"{}".to_vec()).encode().unwrap();
        let decode = |bytes: &[u8]| {
            let mut decoder = Decoder::default();
            decoder.push(bytes);
            decoder.next_message()
        };
        let with_lengths = |total: u32, headers: u32| {
            let mut bytes = good.clone();
            bytes[..4].copy_from_slice(&total.to_be_bytes());
            bytes[4..8].copy_from_slice(&headers.to_be_bytes());
            let crc = crc32fast::hash(&bytes[..8]);
            bytes[8..12].copy_from_slice(&crc.to_be_bytes());
            bytes
        };
        assert_eq!(decode(&with_lengths(u32::MAX, 0)), Err(Error::TooLong));
        assert_eq!(decode(&with_lengths(15, 0)), Err(Error::Malformed));
        assert_eq!(decode(&with_lengths(20, 5)), Err(Error::Malformed));
        assert!(Message::event(&"x".repeat(70_000), Vec::new()).encode().is_err());
        assert!(Message { headers: vec![(String::new(), String::new())], payload: Vec::new() }.encode().is_err());
    }

    proptest! {
        #[test]
        fn what_is_encoded_is_decoded_however_it_arrives(
            headers in prop::collection::vec(("[a-z:-]{1,40}", ".{0,60}"), 0..6),
            payload in prop::collection::vec(any::<u8>(), 0..500),
            cut in 1_usize..40,
        ) {
            let message = Message { headers, payload };
            let bytes = message.encode().unwrap().repeat(2);
            let mut decoder = Decoder::default();
            let mut decoded = Vec::new();
            for part in bytes.chunks(cut) {
                decoder.push(part);
                decoded.extend(decoder.next_message().unwrap());
                decoded.extend(decoder.next_message().unwrap());
            }
            prop_assert_eq!(decoded, vec![message.clone(), message]);
        }

        #[test]
        fn a_changed_bit_never_passes(payload in prop::collection::vec(any::<u8>(), 0..100), at in any::<prop::sample::Index>(), bit in 0..8) {
            let mut bytes = Message::event("chunk", payload).encode().unwrap();
            let at = at.index(bytes.len());
            bytes[at] ^= 1_u8 << bit;
            let mut decoder = Decoder::default();
            decoder.push(&bytes);
            prop_assert!(!matches!(decoder.next_message(), Ok(Some(_))));
        }

        #[test]
        fn anything_is_refused_or_waited_for(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let mut decoder = Decoder::default();
            decoder.push(&bytes);
            let _ = decoder.next_message();
        }
    }
}
