//! HTTP/2: many requests on one connection, and clients that abuse it.

use std::future::poll_fn;

use bytes::Bytes;
use h2::client::{Connection, ResponseFuture, SendRequest};
use h2::{Reason, SendStream};
use http::{HeaderMap, Request};
use innkeep_server::Config;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::client::TlsStream;

use crate::tls::world;
use crate::wire::{SOON, Wire};
use crate::world::World;

/// One HTTP/2 connection, driven in a task of its own.
struct Client {
    send: SendRequest<Bytes>,
    driver: JoinSet<Result<(), h2::Error>>,
}

impl Client {
    async fn new(world: &World) -> Self {
        let stream = world.tls(&["h2"]).await;
        // One answer that is not read must not take the room of all.
        let mut builder = h2::client::Builder::new();
        builder.initial_connection_window_size(1 << 20);
        let (send, connection): (_, Connection<TlsStream<TcpStream>, Bytes>) = builder.handshake(stream).await.unwrap();
        let mut driver = JoinSet::new();
        driver.spawn(connection);
        Self { send, driver }
    }

    /// Sends a request whose head this is, as [`World::head_for`] returns it.
    async fn ask(&mut self, head: &str, ended: bool) -> Result<(ResponseFuture, SendStream<Bytes>), h2::Error> {
        poll_fn(|cx| self.send.poll_ready(cx)).await?;
        self.send.send_request(request(head), ended)
    }

    async fn is_told_to_go(&mut self) -> Result<(), h2::Error> {
        timeout(SOON, self.driver.join_next()).await.expect("the connection's end").unwrap().unwrap()
    }
}

fn request(head: &str) -> Request<()> {
    let mut lines = head.lines();
    let mut first = lines.next().unwrap().split(' ');
    let (method, target) = (first.next().unwrap(), first.next().unwrap());
    let headers = || lines.clone().filter_map(|line| line.split_once(": "));
    let host = headers().find(|(name, _)| *name == "host").unwrap().1;
    let request = Request::builder().method(method).uri(format!("https://{host}{target}"));
    headers()
        .filter(|(name, _)| *name != "host")
        .fold(request, |r, (name, value)| r.header(name, value))
        .body(())
        .unwrap()
}

async fn read(answer: ResponseFuture) -> Result<(u16, String), h2::Error> {
    let (head, mut body) = timeout(SOON, answer).await.expect("an answer")?.into_parts();
    let mut text = Vec::new();
    while let Some(piece) = timeout(SOON, body.data()).await.expect("a body") {
        let piece = piece?;
        body.flow_control().release_capacity(piece.len()).unwrap();
        text.extend_from_slice(&piece);
    }
    Ok((head.status.as_u16(), String::from_utf8(text).unwrap()))
}

/// Asks for an answer without end. Nobody reads it.
async fn ask_for_endless(world: &World, client: &mut Client) -> h2::RecvStream {
    let head = world.head_for(innkeep_auth::digest(b""), &[("accept", "endless")]);
    let (answer, _) = client.ask(&head, true).await.unwrap();
    timeout(SOON, answer).await.unwrap().unwrap().into_body()
}

async fn hello(world: &World, client: &mut Client) -> Result<(u16, String), h2::Error> {
    let (answer, mut body) = client.ask(&world.head_for(innkeep_auth::digest(b"hello"), &[]), false).await?;
    body.send_data(Bytes::from_static(b"hello"), false)?;
    // Trailers are part of no request here.
    body.send_trailers(HeaderMap::from_iter([(http::header::DATE, "late".parse().unwrap())]))?;
    read(answer).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_connection_serves_many_and_is_let_go_when_idle() {
    let world = world(Config { head_timeout_secs: 1, ..Config::default() }).await;
    let mut client = Client::new(&world).await;
    for _ in 0..3 {
        assert_eq!(hello(&world, &mut client).await.unwrap(), (200, "5".to_owned()));
    }
    client.is_told_to_go().await.unwrap();
    drop(client);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_agrees_on_http2_and_does_not_speak_it_is_cut_off() {
    let world = world(Config { head_timeout_secs: 1, ..Config::default() }).await;
    for said in
        [&b""[..], b"PRI * HTTP/2.0\r\n", b"GET / HTTP/1.1\r\n\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\x08\x01"]
    {
        let mut wire = Wire::new(world.tls(&["h2"]).await);
        wire.send(said).await;
        wire.is_cut().await;
    }
    world.finish().await;
}

/// Opens an answer that is not read, beside one that is; the one is reset, the other and the connection go on.
async fn the_one_that_is_not_read_is_reset(settings: Config, limit: &str) {
    let world = world(settings).await;
    let mut client = Client::new(&world).await;
    let mut unread = ask_for_endless(&world, &mut client).await;
    assert_eq!(hello(&world, &mut client).await.unwrap(), (200, "5".to_owned()));
    let reset = async {
        loop {
            // What has come is taken, but no room is made for more.
            match unread.data().await {
                Some(Ok(_)) => {}
                Some(Err(error)) => return error,
                None => panic!("it has no end"),
            }
        }
    };
    let reset = timeout(SOON, reset).await.expect("a reset");
    assert!(reset.is_reset(), "{reset}");
    world.crosses(limit, 1).await;
    assert_eq!(hello(&world, &mut client).await.unwrap(), (200, "5".to_owned()));
    drop((unread, client));
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_the_write_stall_limit() {
    let limits = Config { write_stall_timeout_secs: 1, ..Config::default() };
    Box::pin(the_one_that_is_not_read_is_reset(limits, "write_stall_timeout_secs")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn at_the_latest_when_the_stream_must_be_over() {
    let limits = Config { stream_timeout_secs: 1, write_stall_timeout_secs: 8, ..Config::default() };
    Box::pin(the_one_that_is_not_read_is_reset(limits, "stream_timeout_secs")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_resets_what_it_asked_ends_what_was_done_for_it() {
    let world = world(Config::default()).await;
    let mut client = Client::new(&world).await;
    let unread = ask_for_endless(&world, &mut client).await;
    drop(unread);
    assert_eq!(hello(&world, &mut client).await.unwrap(), (200, "5".to_owned()));
    drop(client);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_resets_costs_the_connection() {
    let world = world(Config::default()).await;
    let mut client = Client::new(&world).await;
    let head = world.head_for(innkeep_auth::digest(b"hello"), &[]);
    let flood = async {
        loop {
            match client.ask(&head, false).await {
                Ok((_, mut body)) => body.send_reset(Reason::CANCEL),
                Err(error) => return error,
            }
        }
    };
    let ended = timeout(SOON, flood).await.expect("the connection's end");
    assert_eq!(ended.reason(), Some(Reason::ENHANCE_YOUR_CALM), "{ended}");
    drop(client);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn heads_beyond_the_limits_are_refused() {
    let world = world(Config::default()).await;
    let mut client = Client::new(&world).await;
    let head = world.head_for(innkeep_auth::digest(b""), &[]);
    let many: String = (0..200).map(|i| format!("x-{i}: 1\r\n")).collect();
    let long = format!("x-long: {}\r\n", "x".repeat(70_000));
    for more in [many, long] {
        let (answer, _) = client.ask(&format!("{head}{more}"), true).await.unwrap();
        match read(answer).await {
            Ok((status, _)) => assert_eq!(status, 431),
            Err(error) => assert!(error.is_reset() || error.is_go_away(), "{error}"),
        }
    }
    drop(client);
    world.finish().await;
}
