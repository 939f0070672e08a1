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
            ToSidecar::Dial { id } => id,
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
        let (first, second) = (link.dial(), link.dial());
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
        dialled = link.dial() => dialled,
        end = link.receive(&state, Some) => panic!("{end:?}"),
    };
    assert!(matches!(&dialled, Err(DialError::Refused(why)) if why.contains("closed")), "{dialled:?}");
}

#[tokio::test]
async fn whatever_breaks_the_rules_ends_the_link_and_leaks_nothing() {
    let (client, server, port) = connection();
    let dialled = serde_json::to_vec(&ToHost::Dialled { id: 0, port }).unwrap();
    let elsewhere = serde_json::to_vec(&ToHost::Dialled { id: 0, port: port.wrapping_add(1) }).unwrap();
    let failed = serde_json::to_vec(&ToHost::DialFailed { id: 0, error: String::new() }).unwrap();
    let hostile: [(&str, &[u8], &[&OwnedFd]); 7] = [
        ("no JSON", b"{", &[]),
        ("too long", &[b' '; MAX_FRAME + 1], &[]),
        ("two descriptors", &dialled, &[&client, &client]),
        ("three descriptors", &dialled, &[&client, &client, &client]),
        ("no descriptor", &dialled, &[]),
        ("a descriptor where none belongs", &failed, &[&client]),
        ("a connection to another port", &elsewhere, &[&client]),
    ];
    for (what, frame, descriptors) in hostile {
        let (sidecar, link) = Sidecar::meet().await;
        send(&sidecar.socket, frame, descriptors);
        assert!(link.receive(&watch::Sender::new(AgentState::Starting), Some).await.is_err(), "{what}");
        link.close();
        assert!(matches!(link.dial().await, Err(DialError::Closed)), "{what}");
    }
    drop(client);
    let mut server = server;
    assert_eq!(std::io::Read::read(&mut server, &mut [0; 1]).unwrap(), 0, "no copy of the client is left open");
}
