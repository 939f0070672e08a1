//! A registry in this process: as many oddities as a test asks for.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;

use crate::tars::sha256;

/// What was asked.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    /// `GET /v2/…`
    pub(crate) line: String,
    pub(crate) headers: HashMap<String, String>,
    pub(crate) body: String,
}

impl Asked {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }
}

/// Raw bytes that are sent before the connection is closed.
pub(crate) type Answer = Vec<u8>;

/// A server on loopback, gone with this value.
pub(crate) struct Registry {
    pub(crate) address: SocketAddr,
    asked: Arc<Mutex<Vec<Asked>>>,
    gone: Arc<AtomicBool>,
}

impl Registry {
    /// Starts a server that answers what `answer` returns.
    pub(crate) fn start(answer: impl Fn(&Asked) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let registry = Self { address: listener.local_addr().unwrap(), asked: Arc::default(), gone: Arc::default() };
        let (asked, gone, answer) = (registry.asked.clone(), registry.gone.clone(), Arc::new(answer));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if gone.load(Ordering::SeqCst) {
                    return;
                }
                let (asked, answer, stream) = (asked.clone(), answer.clone(), stream.unwrap());
                std::thread::spawn(move || serve(stream, &asked, answer.as_ref()));
            }
        });
        registry
    }

    /// Returns `HOST:PORT/IMAGE`.
    pub(crate) fn reference(&self, image: &str) -> String {
        format!("{}/{image}", self.address)
    }

    /// Returns what was asked for, in order, besides the check of the version.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().iter().filter(|asked| asked.line != "GET /v2/").cloned().collect()
    }

    /// Returns how often something with `part` in it was asked for.
    pub(crate) fn count(&self, part: &str) -> usize {
        self.asked().iter().filter(|asked| asked.line.contains(part)).count()
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        self.gone.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address);
    }
}

fn serve(mut stream: TcpStream, log: &Mutex<Vec<Asked>>, answer: &dyn Fn(&Asked) -> Answer) {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        if stream.read(&mut byte).unwrap_or(0) == 0 {
            return;
        }
        head.push(byte[0]);
        if head == [0x16] {
            // TLS: what Go's server says.
            let _ = stream.write_all(b"HTTP/1.0 400 Bad Request\r\n\r\n");
            return;
        }
    }
    let head = String::from_utf8(head).unwrap();
    let mut lines = head.trim_end().lines();
    let line = lines.next().unwrap().trim_end_matches(" HTTP/1.1").to_owned();
    let split = |line: &str| line.split_once(": ").map(|(name, value)| (name.to_lowercase(), value.to_owned()));
    let headers: HashMap<String, String> = lines.filter_map(split).collect();
    let mut body = vec![0; headers.get("content-length").map_or(0, |length| length.parse().unwrap())];
    stream.read_exact(&mut body).unwrap();
    let asked = Asked { line, headers, body: String::from_utf8(body).unwrap() };
    let bytes = if asked.line == "GET /v2/" { respond("200 OK", &[], b"{}") } else { answer(&asked) };
    log.lock().push(asked);
    let _ = stream.write_all(&bytes);
}

/// Returns an answer with its length.
pub(crate) fn respond(status: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
    let mut answer = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n", body.len());
    for (name, value) in headers {
        answer += &format!("{name}: {value}\r\n");
    }
    [answer.as_bytes(), b"\r\n", body].concat()
}

/// Returns an answer that breaks off after `n` bytes of its body.
pub(crate) fn cut(answer: Answer, n: usize) -> Answer {
    let head = answer.windows(4).position(|window| window == b"\r\n\r\n").unwrap() + 4;
    answer[..(head + n).min(answer.len())].to_vec()
}

/// The content of a registry, by digest and by tag.
#[derive(Debug, Clone, Default)]
pub(crate) struct Contents(HashMap<String, Vec<u8>>);

impl Contents {
    /// Holds `blobs` by their digests, and the last by the tag `1`.
    pub(crate) fn of(blobs: &[Vec<u8>]) -> Self {
        let mut contents = Self::default();
        for blob in blobs {
            contents.0.insert(format!("sha256:{}", sha256(blob)), blob.clone());
        }
        contents.tag("1", blobs.last().unwrap())
    }

    pub(crate) fn tag(mut self, tag: &str, blob: &[u8]) -> Self {
        self.0.insert(format!("sha256:{}", sha256(blob)), blob.to_vec());
        self.0.insert(tag.to_owned(), blob.to_vec());
        self
    }

    /// Answers as a registry does, ranges included.
    pub(crate) fn answer(&self, asked: &Asked) -> Answer {
        let name = asked.line.rsplit('/').next().unwrap();
        let Some(blob) = self.0.get(name) else {
            return respond(
                "404 Not Found",
                &[],
                br#"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}"#,
            );
        };
        let from = asked.header("range").strip_prefix("bytes=").and_then(|range| range.strip_suffix('-'));
        match from.map(|from| from.parse::<usize>().unwrap()) {
            Some(from) if from >= blob.len() => respond("416 Range Not Satisfiable", &[], b""),
            Some(from) => {
                let range = format!("bytes {from}-{}/{}", blob.len() - 1, blob.len());
                respond("206 Partial Content", &[("Content-Range", &range)], &blob[from..])
            }
            None => respond("200 OK", &[("Docker-Content-Digest", &format!("sha256:{}", sha256(blob)))], blob),
        }
    }
}
