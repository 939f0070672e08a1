//! Descriptors that are no connection to the agent, and what a stream does when its peer misbehaves.

use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::unix::net::UnixStream;

use super::*;

fn pair() -> (TcpStream, TcpStream, u16) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let client = TcpStream::connect(address).unwrap();
    (client, listener.accept().unwrap().0, address.port())
}

#[tokio::test]
async fn only_a_connection_to_the_agents_port_is_taken() {
    let (client, _server, port) = pair();
    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    udp.connect(("127.0.0.1", port)).unwrap();
    let hostile: [(&str, OwnedFd); 5] = [
        ("file", std::fs::File::open("/proc/self/stat").unwrap().into()),
        ("pipe", std::io::pipe().unwrap().0.into()),
        ("unix socket", UnixStream::pair().unwrap().0.into()),
        ("listener", TcpListener::bind("127.0.0.1:0").unwrap().into()),
        ("udp", udp.into()),
    ];
    for (what, descriptor) in hostile {
        assert!(matches!(DialStream::from_descriptor(descriptor, port), Err(Error::Foreign { .. })), "{what}");
    }
    let other_port = client.try_clone().unwrap();
    assert!(DialStream::from_descriptor(other_port.into(), port.wrapping_add(1)).is_err());
    assert!(DialStream::from_descriptor(client.into(), port).is_ok());
}

#[tokio::test]
async fn a_connection_that_its_peer_has_reset_is_no_breach() {
    let (client, server, port) = pair();
    sockopt::set_socket_linger(&server, Some(std::time::Duration::ZERO)).unwrap();
    drop(server);
    let taken = DialStream::from_descriptor(client.into(), port);
    assert!(matches!(taken, Err(Error::Closed)), "{taken:?}");
    let unconnected = rustix::net::socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
    assert!(matches!(DialStream::from_descriptor(unconnected, port), Err(Error::Closed)));
}

#[tokio::test]
async fn a_monitor_sees_bytes_and_the_peers_close_and_keeps_nothing_open() {
    use std::io::{Read, Write};
    let (client, mut server, port) = pair();
    let mut stream = DialStream::from_descriptor(client.into(), port).unwrap();
    let monitor = stream.monitor();
    assert!(monitor.is_quiet());

    let parts = [IoSlice::new(b"ab"), IoSlice::new(b"c")];
    let n = std::future::poll_fn(|cx| hyper::rt::Write::poll_write_vectored(Pin::new(&mut stream), cx, &parts)).await;
    assert_eq!((n.unwrap(), monitor.bytes_sent()), (3, 3));
    server.read_exact(&mut [0; 3]).unwrap();

    server.write_all(b"x").unwrap();
    let mut space = [0; 8];
    let mut read = hyper::rt::ReadBuf::new(&mut space);
    std::future::poll_fn(|cx| hyper::rt::Read::poll_read(Pin::new(&mut stream), cx, read.unfilled())).await.unwrap();
    assert_eq!(read.filled(), b"x");
    assert!(monitor.is_quiet());

    drop(stream);
    assert!(!monitor.is_quiet());
    assert_eq!(server.read(&mut [0; 8]).unwrap(), 0, "dropping the stream closed it");
}

#[tokio::test]
async fn a_sender_that_clears_nonblock_does_not_block_us() {
    let (client, _server, port) = pair();
    let theirs = client.try_clone().unwrap();
    let mut stream = DialStream::from_descriptor(client.into(), port).unwrap();
    theirs.set_nonblocking(false).unwrap();
    let mut space = [0; 8];
    let mut read = hyper::rt::ReadBuf::new(&mut space);
    let poll = std::future::poll_fn(|cx| {
        Poll::Ready(hyper::rt::Read::poll_read(Pin::new(&mut stream), cx, read.unfilled()).is_pending())
    });
    assert!(poll.await);
}
