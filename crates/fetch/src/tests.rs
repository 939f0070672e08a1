//! The client against servers that behave and servers that do not.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;

const SHORT: Deadlines = Deadlines {
    connect: Duration::from_secs(5),
    head: Duration::from_millis(200),
    stall: Duration::from_millis(200),
    window: Duration::from_secs(5),
};

fn client(deadlines: Deadlines) -> Http {
    Http::new(Reach::Anywhere, Roots::default(), deadlines)
}

/// Serves one connection: reads the head, sends `answer`, then holds the connection or closes it. Returns what the client got.
async fn ask(scheme: &str, answer: &'static [u8], hold: bool) -> (Result<Vec<u8>, Error>, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let uri: Uri = format!("{scheme}://{}/a%2Fb?c=d", listener.local_addr().unwrap()).parse().unwrap();
    let client = async {
        let mut answer = client(SHORT).get(&uri, HeaderMap::new()).await?;
        answer.body.collect(8).await
    };
    let mut seen = Vec::new();
    let server = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        read_head(&mut stream, &mut seen).await;
        stream.write_all(answer).await.unwrap();
        if hold {
            std::future::pending::<()>().await;
        }
        drop(stream);
        std::future::pending::<()>().await;
    };
    let got = tokio::select! { got = client => got, () = server => unreachable!() };
    (got, String::from_utf8_lossy(&seen).into_owned())
}

async fn read_head(stream: &mut TcpStream, seen: &mut Vec<u8>) {
    while !seen.ends_with(b"\r\n\r\n") && seen.first() != Some(&0x16) {
        let mut byte = [0];
        if stream.read(&mut byte).await.unwrap() == 0 {
            return;
        }
        seen.extend(byte);
    }
}

#[tokio::test]
async fn an_answer_is_returned_as_it_came() {
    let (got, seen) = ask("http", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", true).await;
    assert_eq!(got.unwrap(), b"hello");
    assert!(seen.starts_with("GET /a%2Fb?c=d HTTP/1.1\r\n"), "{seen}");
    assert!(seen.to_lowercase().contains("\r\nhost: 127.0.0.1:"), "{seen}");
}

#[tokio::test]
async fn silence_is_bounded_before_the_head_and_within_the_body() {
    let (got, _) = ask("http", b"", true).await;
    assert!(matches!(got, Err(Error::Late { doing: "did not answer", .. })), "{got:?}");
    let (got, _) = ask("http", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhe", true).await;
    assert!(matches!(got, Err(Error::Late { doing: "sent nothing", .. })), "{got:?}");
}

/// Never silent for long, and never through.
#[tokio::test]
async fn a_body_that_drips_is_given_up() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let uri: Uri = format!("http://{}/", listener.local_addr().unwrap()).parse().unwrap();
    let deadlines = Deadlines { stall: Duration::from_secs(5), window: Duration::from_millis(300), ..SHORT };
    let client = async { client(deadlines).get(&uri, HeaderMap::new()).await?.body.collect(1 << 20).await };
    let server = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        read_head(&mut stream, &mut Vec::new()).await;
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n").await.unwrap();
        while stream.write_all(b"x").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        std::future::pending::<()>().await;
    };
    let got = tokio::select! { got = client => got, () = server => unreachable!() };
    assert!(matches!(got, Err(Error::Slow { .. })), "{got:?}");
}

#[test]
fn only_a_window_with_too_little_is_too_slow() {
    let window = Duration::from_secs(60);
    let mut pace = Pace { window, left: window, bytes: 0 };
    let enough = usize::try_from(WINDOW_BYTES).unwrap();
    for (bytes, secs, goes_on) in [
        (enough, 59, true),
        (1, 30, true),
        (enough, 29, true),
        // What comes at once is not counted for later.
        (10 * enough, 0, true),
        (1, 59, true),
        (1, 1, false),
    ] {
        assert_eq!(pace.note(bytes, Duration::from_secs(secs)), goes_on, "{bytes} bytes, {secs} s");
    }
}

#[tokio::test]
async fn what_breaks_off_or_is_too_large_is_told() {
    let (got, _) = ask("http", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhe", false).await;
    assert!(matches!(got, Err(Error::Broken { .. })), "{got:?}");
    let (got, _) = ask("http", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhellohell", true).await;
    assert!(matches!(got, Err(Error::TooLarge { limit: 8, .. })), "{got:?}");
}

#[tokio::test]
async fn a_server_without_tls_is_told_from_one_that_is_not_there() {
    let (got, _) = ask("https", b"HTTP/1.0 400 Bad Request\r\n\r\n", true).await;
    assert!(matches!(got, Err(Error::NotTls { .. } | Error::NoCertificates)), "{got:?}");
    let port = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    let nobody = format!("http://127.0.0.1:{port}/").parse().unwrap();
    let got = Http::default().get(&nobody, HeaderMap::new()).await;
    assert!(matches!(got, Err(Error::Unreachable { .. })), "{got:?}");
}

#[test]
fn loopback_is_told_by_the_name_alone() {
    for (uri, expect) in [
        ("http://localhost:5000/", true),
        ("http://127.9.9.9/", true),
        ("http://[::1]:80/", true),
        ("http://localhost.example/", false),
        ("http://10.0.0.1/", false),
        ("/relative", false),
    ] {
        assert_eq!(crate::is_loopback(&uri.parse().unwrap()), expect, "{uri}");
    }
}
