//! What may be a frame, for each sender; and that how bytes arrive makes no difference.

use proptest::prelude::*;

use super::*;

const MAX: u64 = 64 << 10;

/// A frame as its sender would write it.
fn frame(sender: Sender, first: u8, payload: &[u8]) -> Vec<u8> {
    let mask = if sender == Sender::Client { 0x80 } else { 0 };
    let mut frame = vec![first];
    match payload.len() {
        short @ 0..126 => frame.push(mask | u8::try_from(short).unwrap()),
        middle @ 126..65_536 => {
            frame.push(mask | 126);
            frame.extend(u16::try_from(middle).unwrap().to_be_bytes());
        }
        long => {
            frame.push(mask | 127);
            frame.extend(u64::try_from(long).unwrap().to_be_bytes());
        }
    }
    if sender == Sender::Client {
        frame.extend([1, 2, 3, 4]);
    }
    frame.extend_from_slice(payload);
    frame
}

fn refused(sender: Sender, bytes: &[u8]) -> Option<Violation> {
    let mut follower = Follower::new(sender, MAX);
    let mut rest = bytes;
    loop {
        match follower.next(rest) {
            Next::Pass { bytes, .. } => rest = &rest[bytes..],
            Next::Wait => return None,
            Next::Refuse(violation) => return Some(violation),
        }
    }
}

#[test]
fn what_the_protocol_forbids_is_refused_before_it_passes() {
    use Sender::{Agent, Client};
    let agent = |first, payload: &[u8]| refused(Agent, &frame(Agent, first, payload));
    assert_eq!(agent(0x81, b"hello"), None);
    assert_eq!(agent(0xC1, b"compressed"), Some(Violation::Reserved));
    assert_eq!(agent(0x83, b""), Some(Violation::Reserved));
    assert_eq!(agent(0x8B, b""), Some(Violation::Reserved));
    assert_eq!(agent(0x09, b"part of a ping"), Some(Violation::Control));
    assert_eq!(agent(0x89, &[0; 126]), Some(Violation::Control));
    assert_eq!(agent(0x80, b"of nothing"), Some(Violation::Continuation));
    assert_eq!(agent(0x82, &[0; 1 << 16]), None);
    assert_eq!(agent(0x82, &[0; (1 << 16) + 1]), Some(Violation::TooLong(MAX)));
    assert_eq!(refused(Client, &frame(Agent, 0x81, b"bare")), Some(Violation::Masking));
    assert_eq!(refused(Agent, &frame(Client, 0x81, b"masked")), Some(Violation::Masking));
    assert_eq!(refused(Agent, &[0x82, 126, 0, 125]), Some(Violation::Length));
    assert_eq!(refused(Agent, &[0x82, 127, 0, 0, 0, 0, 0, 0, 255, 255]), Some(Violation::Length));
    assert_eq!(refused(Agent, &[0x82, 127, 255, 255, 255, 255, 255, 255, 255, 255]), Some(Violation::TooLong(MAX)));
    let two =
        |a: (u8, &[u8]), b: (u8, &[u8])| refused(Agent, &[frame(Agent, a.0, a.1), frame(Agent, b.0, b.1)].concat());
    assert_eq!(two((0x01, b"begun"), (0x81, b"another")), Some(Violation::Continuation));
    assert_eq!(two((0x01, b"begun"), (0x89, b"ping between")), None);
    assert_eq!(two((0x88, b""), (0x81, b"late")), Some(Violation::AfterClose));
}

#[test]
fn codes_tell_long_frames_from_broken_ones() {
    assert_eq!([Violation::TooLong(1).close_code(), Violation::Masking.close_code()], [1009, 1002]);
}

#[test]
fn our_own_close_frames_are_well_formed() {
    for to in [Sender::Client, Sender::Agent] {
        // What goes to an agent looks as if from a client, and the other way round.
        let from = if to == Sender::Client { Sender::Agent } else { Sender::Client };
        for reason in ["", "frame exceeds 65536 bytes", &"ä".repeat(200)] {
            let bytes = close(to, 1009, reason);
            let mut follower = Follower::new(from, MAX);
            assert_eq!(follower.next(&bytes), Next::Pass { bytes: bytes.len(), frames: 1 });
            assert!(follower.is_closed());
        }
    }
}

proptest! {
    #[test]
    fn frames_pass_unchanged_however_they_arrive(
        messages in prop::collection::vec((prop::sample::select(vec![1_u8, 2, 9, 10]), 0_usize..300), 0..8),
        cuts in prop::collection::vec(1_usize..90, 1..40),
    ) {
        let frames = messages.iter().map(|(opcode, length)| {
            let length = if *opcode > 7 { length % 126 } else { *length };
            frame(Sender::Client, 0x80 | opcode, &vec![7; length])
        });
        let sent: Vec<u8> = frames.flatten().collect();
        let mut follower = Follower::new(Sender::Client, MAX);
        let (mut held, mut passed, mut begun) = (Vec::new(), Vec::new(), 0);
        let mut rest = sent.as_slice();
        for cut in cuts.into_iter().cycle() {
            let (part, later) = rest.split_at(cut.min(rest.len()));
            rest = later;
            held.extend_from_slice(part);
            match follower.next(&held) {
                Next::Pass { bytes, frames } => {
                    passed.extend(held.drain(..bytes));
                    begun += frames;
                }
                Next::Wait => prop_assert!(held.len() < 14),
                Next::Refuse(violation) => prop_assert!(false, "{violation}"),
            }
            if rest.is_empty() {
                break;
            }
        }
        prop_assert_eq!(passed, sent);
        prop_assert!(follower.is_between_frames());
        prop_assert_eq!(usize::try_from(begun).unwrap(), messages.len());
    }

    #[test]
    fn any_bytes_come_to_an_end(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        refused(Sender::Client, &bytes);
        refused(Sender::Agent, &bytes);
    }
}
