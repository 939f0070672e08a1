//! A socket to the kernel's network configuration, of the namespace that it was opened in. Knows no message's meaning.
//!
//! Requests go out in batches: one system call, one lock per message and one answer in the end. (The `rtnetlink` crate waits for
//! an answer to each of the twenty messages of a network, through a task of an async runtime.)

use std::io;
use std::os::fd::OwnedFd;

use netlink_packet_core::{NLM_F_ACK, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload};
use netlink_packet_route::RouteNetlinkMessage;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};

/// Longest answer: an error carries the request that it is about. Source: 20 messages of at most 200 bytes are ours.
const ANSWER_BYTES: usize = 8192;

/// One request of a batch.
#[derive(Debug)]
pub(super) struct Request {
    pub message: RouteNetlinkMessage,
    /// Flags besides those that every request has.
    pub flags: u16,
}

/// An open socket.
#[derive(Debug)]
pub(super) struct Netlink {
    socket: OwnedFd,
    sequence: u32,
}

impl Netlink {
    /// Opens one in the network namespace of this thread; from then on it can be used by any.
    pub(super) fn open() -> io::Result<Self> {
        // No protocol is protocol 0, NETLINK_ROUTE.
        let socket = rustix::net::socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, None)?;
        Ok(Self { socket, sequence: 0 })
    }

    /// Has the kernel carry out `requests` in their order. It goes on after one that fails; the first failure is returned.
    pub(super) fn carry_out(&mut self, requests: Vec<Request>) -> io::Result<()> {
        let n_requests = requests.len();
        let mut batch = Vec::new();
        for (idx, request) in requests.into_iter().enumerate() {
            self.sequence = self.sequence.wrapping_add(1);
            // Failures are answered always, success only to the last.
            let answer = if idx + 1 == n_requests { NLM_F_ACK } else { 0 };
            append(&mut batch, request, answer, self.sequence);
        }
        rustix::net::send(&self.socket, &batch, SendFlags::empty())?;
        self.answer(self.sequence)
    }

    /// Asks for one thing, which the answer describes.
    pub(super) fn ask(&mut self, message: RouteNetlinkMessage) -> io::Result<RouteNetlinkMessage> {
        self.sequence = self.sequence.wrapping_add(1);
        let mut question = Vec::new();
        append(&mut question, Request { message, flags: 0 }, 0, self.sequence);
        rustix::net::send(&self.socket, &question, SendFlags::empty())?;
        let mut buffer = [0; ANSWER_BYTES];
        let n = rustix::net::recv(&self.socket, &mut buffer, RecvFlags::DONTWAIT)?.0;
        let answer = buffer.get(..n).unwrap_or_default();
        let answer = NetlinkMessage::<RouteNetlinkMessage>::deserialize(answer).map_err(io::Error::other)?;
        match answer.payload {
            NetlinkPayload::InnerMessage(message) => Ok(message),
            NetlinkPayload::Error(error) => Err(error.to_io()),
            other => Err(io::Error::other(format!("an answer of another kind: {other:?}"))),
        }
    }

    /// Reads answers up to that of request `last`. They are there when `send` returns, so nothing here waits.
    fn answer(&self, last: u32) -> io::Result<()> {
        let mut buffer = [0; ANSWER_BYTES];
        let mut outcome = Ok(());
        loop {
            let n = rustix::net::recv(&self.socket, &mut buffer, RecvFlags::DONTWAIT)?.0;
            let answer = buffer.get(..n).unwrap_or_default();
            let answer = NetlinkMessage::<RouteNetlinkMessage>::deserialize(answer).map_err(io::Error::other)?;
            if let NetlinkPayload::Error(error) = &answer.payload
                && error.code.is_some()
                && outcome.is_ok()
            {
                outcome = Err(error.to_io());
            }
            if answer.header.sequence_number == last {
                return outcome;
            }
        }
    }
}

fn append(batch: &mut Vec<u8>, request: Request, answer: u16, sequence: u32) {
    let mut header = NetlinkHeader::default();
    header.flags = NLM_F_REQUEST | request.flags | answer;
    header.sequence_number = sequence;
    let mut message = NetlinkMessage::new(header, NetlinkPayload::from(request.message));
    message.finalize();
    let start = batch.len();
    // Every message starts at a multiple of four. Source: netlink(7), NLMSG_ALIGN.
    batch.resize(start + message.buffer_len().next_multiple_of(4), 0);
    message.serialize(batch.get_mut(start..).unwrap_or_default());
}
