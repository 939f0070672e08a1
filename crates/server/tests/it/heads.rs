//! Heads that no client library would send.

use http::Method;
use innkeep_server::Config;

use crate::wire::{Draft, Wire};
use crate::world::World;

/// What becomes of a head that is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Status(u16),
    Cut,
}

use Outcome::{Cut, Status};

/// Sends bytes, no more after them, and checks what comes back; meanwhile another client is served on its old connection.
async fn check(world: &World, neighbour: &mut Wire, bytes: impl AsRef<[u8]>, expect: Outcome) {
    let mut wire = world.wire().await;
    wire.send(bytes.as_ref()).await;
    neighbour.send(world.request("neighbour")).await;
    let shown = String::from_utf8_lossy(&bytes.as_ref()[..bytes.as_ref().len().min(300)]).into_owned();
    // A head that is not finished is waited for; this client has nothing more to say.
    if expect == Cut {
        let _ = tokio::io::AsyncWriteExt::shutdown(&mut wire.stream).await;
        assert!(wire.is_cut().await, "{shown}");
    } else {
        let status = wire.answer().await.map(|answer| answer.status);
        assert_eq!(status.map_or(Cut, Status), expect, "{shown}");
    }
    assert_eq!(neighbour.answer().await.unwrap().status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn malformed_heads_are_refused_and_nobody_else_notices() {
    let world = World::new(Config::default()).await;
    let mut neighbour = world.wire().await;
    let garbage: Vec<u8> = (0..=255).cycle().take(4096).collect();
    check(&world, &mut neighbour, garbage, Status(400)).await;
    let head = "POST /healthz HTTP/1.1\r\nhost: localhost\r\n";
    for (bytes, expect) in [
        ("", Cut),
        ("\r\n\r\n", Cut),
        ("GET", Cut),
        ("GET /healthz HTTP/1.1\r\nhost: loc", Cut),
        ("hello\r\n\r\n", Status(400)),
        ("GET /healthz\r\n\r\n", Status(400)),
        ("GET  /healthz HTTP/1.1\r\n\r\n", Status(400)),
        ("GET /healthz HTTP/9.9\r\n\r\n", Status(400)),
        ("GET /heal\0thz HTTP/1.1\r\n\r\n", Status(400)),
        ("GET healthz HTTP/1.1\r\n\r\n", Status(404)),
        ("GET http:// HTTP/1.1\r\n\r\n", Status(400)),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", Cut),
        ("\x16\x03\x01\x02\x00\x01\x00\x01\x02", Status(400)),
        ("OPTIONS * HTTP/1.1\r\nhost: localhost\r\n\r\n", Status(404)),
        ("CONNECT localhost:80 HTTP/1.1\r\nhost: localhost\r\n\r\n", Status(404)),
        ("ABSURD /runtimes/x/invocations HTTP/1.1\r\nhost: localhost\r\n\r\n", Status(404)),
        ("GET http://elsewhere/healthz HTTP/1.1\r\nhost: localhost\r\n\r\n", Status(200)),
        ("GET /healthz HTTP/1.0\r\n\r\n", Status(200)),
    ] {
        check(&world, &mut neighbour, bytes, expect).await;
    }
    for (header, expect) in [
        ("x: a\0b", 400),
        ("x: a\r\n b", 400),
        ("x : a", 400),
        (": a", 400),
        ("x", 400),
        ("ä: a", 400),
        ("content-length: -1", 400),
        ("content-length: 1\r\ncontent-length: 2", 400),
        ("transfer-encoding: chunked, identity", 400),
        // Odd, but HTTP.
        ("x: ä", 200),
        ("x:", 200),
        ("x: a\r\nx: a\r\nx: b", 200),
    ] {
        check(&world, &mut neighbour, format!("{head}{header}\r\n\r\n"), Status(expect)).await;
    }
    drop(neighbour);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn heads_that_are_too_large_are_refused() {
    let world = World::new(Config::default()).await;
    let mut neighbour = world.wire().await;
    let head = "GET /healthz HTTP/1.1\r\n";
    let fits = "x: x\r\n".repeat(128);
    check(&world, &mut neighbour, format!("{head}{fits}\r\n"), Status(200)).await;
    check(&world, &mut neighbour, format!("{head}{fits}x: x\r\n\r\n"), Status(431)).await;
    check(&world, &mut neighbour, format!("{head}x: {}", "x".repeat(70_000)), Status(431)).await;
    check(&world, &mut neighbour, format!("{head}{}", "x".repeat(70_000)), Status(431)).await;
    check(&world, &mut neighbour, format!("GET /{} HTTP/1.1\r\n\r\n", "x".repeat(70_000)), Status(414)).await;
    drop(neighbour);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn signatures_that_are_wrong_are_refused_on_every_plane() {
    let world = World::new(Config::default()).await;
    let mut neighbour = world.wire().await;
    let digest = innkeep_auth::digest(b"");
    let draft = |method: Method, target: &str| Draft { method, target: target.to_owned(), digest, headers: Vec::new() };
    let signed = [
        world.head_for(digest, &[]),
        world.sign(draft(Method::POST, "/runtimes/")),
        world.sign(draft(Method::GET, "/innkeep/v1/sessions")),
        world.sign(draft(Method::POST, "/innkeep/v1/artifacts?kind=zip")),
    ];
    for head in signed {
        let at = head.find("Signature=").unwrap() + "Signature=".len();
        let (before, after) = (&head[..at], &head[at + 64..]);
        let authorization = head.find("authorization: ").unwrap();
        let line = authorization + head[authorization..].find("\r\n").unwrap() + 2;
        for spoilt in [
            format!("{before}{}{after}", "0".repeat(64)),
            format!("{before}{after}"),
            format!("{before}{}{after}", "\u{e4}".repeat(64)),
            format!("{before}{}{after}", "0".repeat(20_000)),
            head[..authorization].to_owned() + &head[line..],
            format!("{head}{}", &head[authorization..line]),
            head.replace("x-amz-date: 2", "x-amz-date: 1"),
            head.replace("SignedHeaders=", "SignedHeaders=;;;"),
            head.replace(" HTTP/1.1", if head.contains('?') { "&a=b HTTP/1.1" } else { "?a=b HTTP/1.1" }),
        ] {
            check(&world, &mut neighbour, format!("{spoilt}content-length: 0\r\n\r\n"), Status(403)).await;
        }
    }
    drop(neighbour);
    world.finish().await;
}
