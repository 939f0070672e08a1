//! Numbers events, so that who loses the connection can ask for the rest. An event's id is where it ends in the agent's answer: bytes
//! from its beginning. Agents may give ids of their own, or none; ours comes last in each event, and so is the one that counts.
//! Source: HTML standard, section "Server-sent events", interpreting an event stream.

/// Numbers the events of one stream, which comes in pieces of any size.
#[derive(Debug)]
pub(crate) struct Numbering {
    /// Bytes of the answer that have passed.
    at: u64,
    is_line_start: bool,
    /// Whether the event has a line yet: empty ones between events are none.
    has_lines: bool,
    /// A line feed now belongs to the end of the line before.
    after_return: bool,
}

impl Numbering {
    /// Returns what numbers a stream from `at`, the beginning of an event, on. `last` is the byte before it, if any.
    pub(crate) fn from(at: u64, last: Option<u8>) -> Self {
        Self { at, is_line_start: true, has_lines: false, after_return: last == Some(b'\r') }
    }

    /// Returns the next piece with ids.
    pub(crate) fn number(&mut self, piece: &[u8]) -> Vec<u8> {
        let mut numbered = Vec::with_capacity(piece.len() + piece.len() / 4 + 32);
        for byte in piece {
            self.at += 1;
            let is_end = match byte {
                b'\r' => true,
                b'\n' => !self.after_return,
                _ => false,
            };
            if is_end && self.is_line_start && std::mem::take(&mut self.has_lines) {
                numbered.extend_from_slice(format!("id: {}\n", self.at).as_bytes());
            }
            numbered.push(*byte);
            self.after_return = *byte == b'\r';
            self.is_line_start = matches!(byte, b'\r' | b'\n');
            self.has_lines |= !self.is_line_start;
        }
        numbered
    }
}

/// Tells whether an event may begin behind these two bytes: a line's end and an empty line. With CR LF the ids lead to the LF of the
/// empty line, which to clients is another empty line.
pub(crate) fn is_boundary(before: [u8; 2]) -> bool {
    matches!(&before, b"\n\n" | b"\r\r" | b"\n\r")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(stream: &str, expect: &str) {
        for piece in [1, 3, stream.len().max(1)] {
            let mut numbering = Numbering::from(0, None);
            let pieces = stream.as_bytes().chunks(piece).flat_map(|piece| numbering.number(piece));
            assert_eq!(String::from_utf8(pieces.collect()).unwrap(), expect, "in pieces of {piece}");
        }
    }

    #[test]
    fn every_event_has_an_id_at_its_end() {
        check("", "");
        check("data: a\n\ndata: b\n\n", "data: a\nid: 9\n\ndata: b\nid: 18\n\n");
        check("data: a\r\n\r\nx", "data: a\r\nid: 10\n\r\nx");
        check("data: a\r\rdata: b", "data: a\rid: 9\n\rdata: b");
        check("id: own\ndata: a\n\n", "id: own\ndata: a\nid: 17\n\n");
        check("data: cut", "data: cut");
    }

    /// Returns the events that a client sees, and the last id that it remembers after each.
    fn read(stream: &[u8]) -> Vec<(String, u64)> {
        let text = String::from_utf8_lossy(stream).replace("\r\n", "\n").replace('\r', "\n");
        let (mut events, mut data, mut id) = (Vec::new(), Vec::new(), 0);
        for line in text.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n')) {
            if line.is_empty() {
                if !data.is_empty() {
                    events.push((std::mem::take(&mut data).join("\n"), id));
                }
            } else if let Some(value) = line.strip_prefix("data: ") {
                data.push(value.to_owned());
            } else if let Some(value) = line.strip_prefix("id: ") {
                id = value.parse().unwrap_or(id);
            }
        }
        events
    }

    proptest! {
        /// Whoever comes again with an id gets exactly the events behind it.
        #[test]
        fn the_rest_begins_at_the_id(
            parts in prop::collection::vec(prop::sample::select(vec!["data: a", "data: bc", ": note", "id: x", "\n", "\n\n", "\r\n", "\r\n\r\n", "\r", "z"]), 0..40),
            piece in 1usize..9,
        ) {
            let stream = parts.concat().into_bytes();
            let numbered = |from: usize| -> Vec<u8> {
                let mut numbering = Numbering::from(from as u64, from.checked_sub(1).map(|last| stream[last]));
                stream[from..].chunks(piece).flat_map(|piece| numbering.number(piece)).collect()
            };
            let all = read(&numbered(0));
            let data = |events: Vec<(String, u64)>| events.into_iter().map(|(data, _)| data).collect::<Vec<_>>();
            prop_assert_eq!(data(all.clone()), data(read(&stream)));
            for (nth, (_, id)) in all.iter().enumerate() {
                let id = usize::try_from(*id).unwrap();
                prop_assert!(id == 1 || is_boundary([stream[id - 2], stream[id - 1]]));
                prop_assert_eq!(&read(&numbered(id)), &all[nth + 1..]);
            }
        }
    }
}
