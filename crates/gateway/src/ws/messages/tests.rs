//! Messages come out as they were said, however their frames are cut and arrive; and no more is held than may be.

use proptest::prelude::*;

use super::*;

const MAX: usize = 1000;

fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = frame(first & 0x0F, payload);
    bytes[0] = first;
    bytes[1] |= 0x80;
    let at = bytes.len() - payload.len();
    let mask = [0xA5, 0, 0x0F, 7];
    for (byte, mask) in bytes[at..].iter_mut().zip(mask.iter().cycle()) {
        *byte ^= mask;
    }
    bytes.splice(at..at, mask);
    bytes
}

/// Returns what is said, and what is wrong with the rest.
fn hear(bytes: &[u8]) -> (Vec<Message>, Option<Violation>) {
    let mut assembler = Assembler::new(MAX as u64);
    assembler.add(bytes);
    let mut heard = Vec::new();
    loop {
        match assembler.take() {
            Ok(Some(message)) => heard.push(message),
            Ok(None) => return (heard, None),
            Err(violation) => return (heard, Some(violation)),
        }
    }
}

#[test]
fn a_message_may_come_in_parts_with_control_frames_between() {
    let said = [masked(0x02, b"in "), masked(0x89, b"there?"), masked(0x00, b"two "), masked(0x80, b"parts")].concat();
    let heard = vec![Message::Ping(b"there?".to_vec()), Message::Binary(b"in two parts".to_vec())];
    assert_eq!(hear(&said), (heard, None));
    let said = [masked(0x01, b"te"), masked(0x80, b"xt"), masked(0x8A, b""), masked(0x88, b"\x03\xe8")].concat();
    assert_eq!(hear(&said), (vec![Message::Text, Message::Pong, Message::Close], None));
}

#[test]
fn a_message_is_no_longer_than_a_frame_may_be() {
    let part = vec![7; MAX / 2];
    let most = [masked(0x02, &part), masked(0x80, &part)].concat();
    assert_eq!(hear(&most).0, [Message::Binary(vec![7; MAX])]);
    let more = [masked(0x02, &part), masked(0x00, &part), masked(0x80, b"1")].concat();
    assert_eq!(hear(&more), (vec![], Some(Violation::TooLong(MAX as u64))));
    assert_eq!(hear(&masked(0x82, &vec![7; MAX + 1])[..4]).1, Some(Violation::TooLong(MAX as u64)));
    // Of text nothing is kept, so it may go on.
    let text = [masked(0x01, &part), masked(0x00, &part), masked(0x00, &part), masked(0x80, &part)].concat();
    assert_eq!(hear(&text), (vec![Message::Text], None));
}

#[test]
fn what_is_no_clients_frame_is_refused() {
    assert_eq!(hear(&frame(BINARY, b"bare")).1, Some(Violation::Masking));
    assert_eq!(hear(&masked(0x80, b"of nothing")).1, Some(Violation::Continuation));
    assert_eq!(hear(&[masked(0x88, b""), masked(0x82, b"late")].concat()).1, Some(Violation::AfterClose));
    let mut assembler = Assembler::new(10);
    assembler.allow(1);
    assembler.add(&[masked(0x82, b"a"), masked(0x82, b"b")].concat());
    assert_eq!(assembler.take(), Ok(Some(Message::Binary(b"a".to_vec()))));
    assert_eq!(assembler.take(), Err(Violation::TooMany));
}

proptest! {
    #[test]
    fn messages_are_heard_as_they_were_said(
        said in prop::collection::vec((prop::collection::vec(any::<u8>(), 0..MAX), 1_usize..5), 0..6),
        cuts in prop::collection::vec(1_usize..400, 1..20),
    ) {
        let mut bytes = Vec::new();
        for (message, n_parts) in &said {
            let parts: Vec<_> = message.chunks(message.len().div_ceil(*n_parts).max(1)).collect();
            let parts = if parts.is_empty() { vec![&[][..]] } else { parts };
            for (idx, part) in parts.iter().enumerate() {
                let (first, last) = (if idx == 0 { BINARY } else { 0 }, if idx + 1 == parts.len() { 0x80 } else { 0 });
                bytes.extend(masked(first | last, part));
            }
        }
        let mut assembler = Assembler::new(MAX as u64);
        let (mut heard, mut rest) = (Vec::new(), bytes.as_slice());
        for cut in cuts.into_iter().cycle() {
            let (part, later) = rest.split_at(cut.min(rest.len()));
            rest = later;
            assembler.add(part);
            while let Some(message) = assembler.take().unwrap() {
                heard.push(message);
            }
            prop_assert!(assembler.held() < 2 * MAX + 14);
            if rest.is_empty() {
                break;
            }
        }
        prop_assert_eq!(heard, said.into_iter().map(|(message, _)| Message::Binary(message)).collect::<Vec<_>>());
    }

    #[test]
    fn any_bytes_come_to_an_end(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        hear(&bytes);
    }
}
