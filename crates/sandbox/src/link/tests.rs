//! The link against a sidecar that the test plays, honest or not.

use std::io::IoSlice;
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;

use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage};

use super::*;

/// A sidecar that does as the test says.
struct Sidecar {
    _directory: tempfile::TempDir,
    socket: OwnedFd,
}

impl Sidecar {
    async fn meet() -> (Self, Arc<Link>) {
        let (sidecar, link) = Self::greet(PROTOCOL).await;
        let (link, pid, state) = link.unwrap();
        assert_eq!((pid, state), (7, AgentState::Starting));
        assert!(matches!(sidecar.hear(), ToSidecar::Hello { .. }));
        (sidecar, Arc::new(link))
    }

    /// Says hello in this version of the link, and returns what the host thinks of it.
    async fn greet(protocol: u32) -> (Self, io::Result<(Link, i32, AgentState)>) {
        let directory = tempfile::tempdir().unwrap();
        let listener = rustix::net::socket(AddressFamily::UNIX, SocketType::SEQPACKET, None).unwrap();
        rustix::net::bind(&listener, &SocketAddrUnix::new(directory.path().join(SOCKET_FILE)).unwrap()).unwrap();
        rustix::net::listen(&listener, 1).unwrap();
        let id = SandboxId::generate();
        let (name, path) = (id.clone(), directory.path().to_owned());
        let link = tokio::task::spawn_blocking(move || rustix::net::accept(&listener).unwrap());
        let (socket, link) = tokio::join!(
            async {
                let socket = link.await.unwrap();
                let hello = ToHost::Hello { protocol, build: String::new(), sandbox: name, agent_pid: 7 };
                for message in [hello, ToHost::State(AgentState::Starting)] {
                    send(&socket, &serde_json::to_vec(&message).unwrap(), &[]);
                }
                socket
            },
            Link::connect(&path, &id)
        );
        (Self { _directory: directory, socket }, link)
    }

    fn say(&self, message: &ToHost, descriptors: &[&OwnedFd]) {
        send(&self.socket, &serde_json::to_vec(message).unwrap(), descriptors);
    }

    fn hear(&self) -> ToSidecar {
        let mut frame = [0; 256];
        let n = rustix::net::recv(&self.socket, &mut frame, RecvFlags::empty()).unwrap().1;
        serde_json::from_slice(&frame[..n]).unwrap()
    }
}

fn send(socket: &OwnedFd, frame: &[u8], descriptors: &[&OwnedFd]) {
    let descriptors: Vec<_> = descriptors.iter().map(|fd| fd.as_fd()).collect();
    let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(8))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !descriptors.is_empty() {
        assert!(control.push(SendAncillaryMessage::ScmRights(&descriptors)));
    }
    rustix::net::sendmsg(socket, &[IoSlice::new(frame)], &mut control, SendFlags::empty()).unwrap();
}

fn connection() -> (OwnedFd, TcpStream, u16) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let client = TcpStream::connect(("127.0.0.1", port)).unwrap();
    (client.into(), listener.accept().unwrap().0, port)
}

#[tokio::test]
async fn a_sidecar_of_a_newer_server_is_not_guessed_at() {
    assert!(Sidecar::greet(PROTOCOL - 1).await.1.is_ok());
    let refused = Sidecar::greet(PROTOCOL + 1).await.1.unwrap_err().to_string();
    assert!(refused.contains("newer innkeep"), "{refused}");
}

#[tokio::test]
async fn answers_find_their_dials_in_any_order() {
    let (sidecar, link) = Sidecar::meet().await;
    let state = watch::Sender::new(AgentState::Starting);
    let script = async {
        let ids: Vec<u64> = std::iter::repeat_with(|| match sidecar.hear() {
            ToSidecar::Dial { id, .. } => id,
            other => panic!("{other:?}"),
        })
        .take(2)
        .collect();
        let (client, server, port) = connection();
        sidecar.say(&ToHost::DialFailed { id: ids[1], error: "refused".to_owned() }, &[]);
        sidecar.say(&ToHost::Dialled { id: ids[0], port }, &[&client]);
        server
    };
    let dials = async {
        let (first, second) = (link.dial(None), link.dial(None));
        tokio::pin!(first, second);
        // Both ask before the script listens.
        assert!(std::future::poll_fn(|cx| std::task::Poll::Ready(first.as_mut().poll(cx).is_pending())).await);
        assert!(std::future::poll_fn(|cx| std::task::Poll::Ready(second.as_mut().poll(cx).is_pending())).await);
        let _server = script.await;
        assert!(matches!(second.await, Err(DialError::Refused(why)) if why == "refused"));
        first.await.unwrap();
    };
    tokio::select! {
        end = link.receive(&state, Some) => panic!("{end:?}"),
        () = dials => {}
    }
    assert!(link.dials.lock().waiting.as_ref().unwrap().is_empty());
}

#[tokio::test]
async fn an_agent_that_resets_its_connections_fails_the_dial_and_not_the_link() {
    let (sidecar, link) = Sidecar::meet().await;
    let (client, server, port) = connection();
    rustix::net::sockopt::set_socket_linger(&server, Some(Duration::ZERO)).unwrap();
    drop(server);
    sidecar.say(&ToHost::Dialled { id: 0, port }, &[&client]);
    let state = watch::Sender::new(AgentState::Starting);
    let dialled = tokio::select! {
        // First: it has to wait before its answer is taken in.
        biased;
        dialled = link.dial(None) => dialled,
        end = link.receive(&state, Some) => panic!("{end:?}"),
    };
    assert!(matches!(&dialled, Err(DialError::Refused(why)) if why.contains("closed")), "{dialled:?}");
}

/// Runs the link with one dial under way until the link ends, and returns why it did.
async fn end_of(link: &Link) -> String {
    let state = watch::Sender::new(AgentState::Starting);
    tokio::select! {
        // First: it has to wait before its answer is taken in.
        biased;
        dialled = link.dial(None) => panic!("{dialled:?}"),
        end = link.receive(&state, Some) => end.unwrap_err().to_string(),
    }
}

fn json(message: &ToHost) -> Vec<u8> {
    serde_json::to_vec(message).unwrap()
}

#[tokio::test]
async fn whatever_breaks_the_rules_ends_the_link_and_leaks_nothing() {
    let (client, server, port) = connection();
    let dialled = json(&ToHost::Dialled { id: 0, port });
    let elsewhere = json(&ToHost::Dialled { id: 0, port: port.wrapping_add(1) });
    let failed = json(&ToHost::DialFailed { id: 0, error: String::new() });
    let state = json(&ToHost::State(AgentState::Starting));
    let hello =
        json(&ToHost::Hello { protocol: 1, build: String::new(), sandbox: SandboxId::generate(), agent_pid: 1 });
    let half = dialled.get(..dialled.len() / 2).unwrap();
    let two = [state.clone(), state.clone()].concat();
    let deep = [br#"{"t":"state","x":"#.as_slice(), &[b'['; 30_000]].concat();
    let huge_port = br#"{"t":"dialled","id":0,"port":65536}"#;
    let hostile: [(&str, &[u8], &[&OwnedFd], &str); 16] = [
        ("no JSON", b"{", &[], "EOF"),
        ("no text", &[0xff; 64], &[], "expected value"),
        ("half a message", half, &[&client], "EOF"),
        ("two messages", &two, &[], "trailing characters"),
        ("a deep one", &deep, &[], "recursion limit"),
        ("no such word", br#"{"t":"launch"}"#, &[], "unknown variant"),
        ("a number beyond its type", huge_port, &[&client], "65536"),
        ("too long", &[b' '; MAX_FRAME + 1], &[], "too much"),
        ("two descriptors", &dialled, &[&client, &client], "too much"),
        ("eight descriptors", &dialled, &[&client; 8], "too much"),
        ("a descriptor in a bad frame", b"{", &[&client], "EOF"),
        ("no descriptor", &dialled, &[], "must not send"),
        ("a failure with a descriptor", &failed, &[&client], "must not send"),
        ("a state with a descriptor", &state, &[&client], "must not send"),
        ("a second hello", &hello, &[], "must not send"),
        ("a connection to another port", &elsewhere, &[&client], "no TCP connection"),
    ];
    for (what, frame, descriptors, why) in hostile {
        let (sidecar, link) = Sidecar::meet().await;
        send(&sidecar.socket, frame, descriptors);
        let end = end_of(&link).await;
        assert!(end.contains(why), "{what}: {end}");
        link.close();
        assert!(matches!(link.dial(None).await, Err(DialError::Closed)), "{what}");
    }
    drop(client);
    let mut server = server;
    assert_eq!(std::io::Read::read(&mut server, &mut [0; 1]).unwrap(), 0, "no copy of the client is left open");
}

#[tokio::test]
async fn a_descriptor_that_is_no_connection_to_the_agent_ends_the_link() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let udp = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    udp.connect(("127.0.0.1", port)).unwrap();
    let link_to_us = rustix::net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::empty(), None);
    let hostile: [(&str, OwnedFd); 6] = [
        ("a file", std::fs::File::open("/proc/self/stat").unwrap().into()),
        ("a pipe", std::io::pipe().unwrap().0.into()),
        ("a unix stream", std::os::unix::net::UnixStream::pair().unwrap().0.into()),
        ("a unix socket like the link's own", link_to_us.unwrap().0),
        ("the listener itself", listener.try_clone().unwrap().into()),
        ("udp", udp.into()),
    ];
    for (what, descriptor) in hostile {
        let (sidecar, link) = Sidecar::meet().await;
        sidecar.say(&ToHost::Dialled { id: 0, port }, &[&descriptor]);
        let end = end_of(&link).await;
        assert!(end.contains("no TCP connection"), "{what}: {end}");
    }
}

#[tokio::test]
async fn a_socket_that_was_never_connected_fails_the_dial() {
    let (sidecar, link) = Sidecar::meet().await;
    let unconnected = rustix::net::socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
    sidecar.say(&ToHost::Dialled { id: 0, port: 1 }, &[&unconnected]);
    let state = watch::Sender::new(AgentState::Starting);
    tokio::select! {
        biased;
        dialled = link.dial(None) => assert!(matches!(dialled, Err(DialError::Refused(_))), "{dialled:?}"),
        end = link.receive(&state, Some) => panic!("{end:?}"),
    }
}

#[tokio::test]
async fn answers_to_nobody_end_the_link_and_late_ones_do_not() {
    let (client, _server, port) = connection();
    let (sidecar, link) = Sidecar::meet().await;
    // Asked, but nobody waits any more.
    assert!(timeout(Duration::ZERO, link.dial(None)).await.is_err());
    for _ in 0..2 {
        sidecar.say(&ToHost::Dialled { id: 0, port }, &[&client]);
    }
    let end = link.receive(&watch::Sender::new(AgentState::Starting), Some).await.unwrap_err().to_string();
    assert!(end.contains("not made"), "{end}");
    assert_eq!(link.dials.lock().owed, 0, "the first was taken");

    let (sidecar, link) = Sidecar::meet().await;
    sidecar.say(&ToHost::DialFailed { id: u64::MAX, error: String::new() }, &[]);
    let end = link.receive(&watch::Sender::new(AgentState::Starting), Some).await.unwrap_err().to_string();
    assert!(end.contains("not made"), "{end}");
}

#[tokio::test]
async fn a_flood_of_states_ends_the_link() {
    let (sidecar, link) = Sidecar::meet().await;
    let flood = std::thread::spawn(move || {
        let frame = json(&ToHost::State(AgentState::Starting));
        let mut n_sent = 0;
        // Until the host has hung up.
        while rustix::net::send(&sidecar.socket, &frame, SendFlags::NOSIGNAL).is_ok() {
            n_sent += 1;
        }
        n_sent
    });
    let end = link.receive(&watch::Sender::new(AgentState::Starting), Some).await.unwrap_err().to_string();
    assert!(end.contains("floods"), "{end}");
    drop(link);
    assert!(flood.join().unwrap() >= 1000);
}

#[tokio::test]
async fn a_link_to_another_sandboxs_socket_is_not_followed() {
    let (other, ours) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let listener = rustix::net::socket(AddressFamily::UNIX, SocketType::SEQPACKET, None).unwrap();
    rustix::net::bind(&listener, &SocketAddrUnix::new(other.path().join(SOCKET_FILE)).unwrap()).unwrap();
    rustix::net::listen(&listener, 1).unwrap();
    std::os::unix::fs::symlink(other.path().join(SOCKET_FILE), ours.path().join(SOCKET_FILE)).unwrap();
    Link::connect(ours.path(), &SandboxId::generate()).await.unwrap_err();
    rustix::io::ioctl_fionbio(&listener, true).unwrap();
    assert_eq!(rustix::net::accept(&listener).unwrap_err(), rustix::io::Errno::AGAIN, "nobody came");
}

#[tokio::test]
async fn a_sandbox_is_bound_once_its_sidecar_says_so() {
    let (sidecar, link) = Sidecar::meet().await;
    let state = watch::Sender::new(AgentState::Starting);
    sidecar.say(&ToHost::Bound, &[]);
    let bound = tokio::select! {
        // First: it has to wait before its answer is taken in.
        biased;
        bound = link.bind(UnixMillis(7)) => bound,
        end = link.receive(&state, Some) => panic!("{end:?}"),
    };
    bound.unwrap();
    assert_eq!(sidecar.hear(), ToSidecar::Bind { ends_at: UnixMillis(7) });
    sidecar.say(&ToHost::Bound, &[]);
    let end = link.receive(&state, Some).await.unwrap_err().to_string();
    assert!(end.contains("not bound"), "nobody asked twice: {end}");
}

#[tokio::test(start_paused = true)]
async fn a_sidecar_that_does_not_answer_is_not_bound_nor_one_that_is_too_old_nor_one_that_is_gone() {
    let (_sidecar, link) = Sidecar::meet().await;
    assert_eq!(link.bind(UnixMillis(7)).await.unwrap_err().kind(), io::ErrorKind::TimedOut);
    let (_older, link) = Sidecar::greet(BINDING_PROTOCOL - 1).await;
    assert_eq!(link.unwrap().0.bind(UnixMillis(7)).await.unwrap_err().kind(), io::ErrorKind::Unsupported);
    let (_sidecar, link) = Sidecar::meet().await;
    let (bound, ()) = tokio::join!(link.bind(UnixMillis(7)), async { link.close() });
    assert_eq!(bound.unwrap_err().kind(), io::ErrorKind::ConnectionAborted);
}

#[tokio::test]
async fn a_sidecar_that_is_too_old_is_asked_for_no_program() {
    let socket = || rustix::net::socket(AddressFamily::UNIX, SocketType::SEQPACKET, None).unwrap();
    let (older, link) = Sidecar::greet(EXEC_PROTOCOL - 1).await;
    assert_eq!(link.unwrap().0.exec(socket()).await.unwrap_err().kind(), io::ErrorKind::Unsupported);
    assert!(matches!(older.hear(), ToSidecar::Hello { .. }));
    let (sidecar, link) = Sidecar::meet().await;
    link.exec(socket()).await.unwrap();
    assert_eq!(sidecar.hear(), ToSidecar::Exec);
}
