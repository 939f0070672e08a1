//! One GET over one connection, bounded in every direction: all that a health check needs of HTTP. Agents answer with anything
//! from HTTP/1.0 without a length to chunks.

use std::io;
use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// The longest head of an answer, bytes.
const MAX_HEAD: usize = 16 * 1024;

/// The most that is received of an answer before it has said what is wanted, bytes: chunks can be all framing and no content,
/// and interim answers can go on for ever.
const MAX_RECEIVED: usize = 64 * 1024;

/// An answer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// The body of a 200, at most as long as was asked for; empty for any other status.
    pub(crate) body: Vec<u8>,
}

/// Asks `address` for `path`. The caller bounds it in time.
pub(crate) async fn get(address: SocketAddr, path: &str, max_body: usize) -> io::Result<Answer> {
    let mut stream = TcpStream::connect(address).await?;
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: localhost\r\nUser-Agent: innkeep-sidecar\r\nAccept: */*\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await?;
    let mut received = Vec::with_capacity(1024);
    loop {
        let n = stream.read_buf(&mut received).await?;
        if let Some(answer) = parse(&received, n == 0, max_body)? {
            return Ok(answer);
        }
        if received.len() > MAX_RECEIVED {
            return Err(invalid("the answer is too long"));
        }
    }
}

/// Returns the answer in what was received so far; none if more has to come.
fn parse(mut received: &[u8], ended: bool, max_body: usize) -> io::Result<Option<Answer>> {
    let (status, head, body) = loop {
        let Some((head, rest)) = split_head(received) else {
            return match (ended, received.is_empty()) {
                (true, true) => Err(invalid("the connection was closed without an answer")),
                (true, false) => Err(invalid("the answer ended within its head")),
                (false, _) if received.len() > MAX_HEAD => Err(invalid("the head of the answer is too long")),
                (false, _) => Ok(None),
            };
        };
        match status(head.lines().next().unwrap_or_default())? {
            // An interim answer; the real one follows.
            100..200 => received = rest,
            status => break (status, head, rest),
        }
    };
    let lines = head.lines().skip(1);
    let header = |name: &str| {
        let value = |line: &&str| line.split_once(':').filter(|(key, _)| key.eq_ignore_ascii_case(name)).is_some();
        lines.clone().find(value).and_then(|line| line.split_once(':')).map(|(_, value)| value.trim())
    };
    if status != 200 {
        return Ok(Some(Answer { status, body: Vec::new() }));
    }
    let cut = |body: &[u8], len: usize| body.get(..len).map(<[u8]>::to_vec);
    let body = if header("transfer-encoding").is_some_and(|coding| coding.eq_ignore_ascii_case("chunked")) {
        unchunk(body, max_body)?
    } else if let Some(length) = header("content-length") {
        let length: usize = length.parse().map_err(|_| invalid("the content length is no number"))?;
        cut(body, length.min(max_body))
    } else if ended {
        cut(body, body.len().min(max_body))
    } else {
        cut(body, max_body)
    };
    match body {
        Some(body) => Ok(Some(Answer { status, body })),
        None if ended => Err(invalid("the answer ended within its body")),
        None => Ok(None),
    }
}

fn split_head(received: &[u8]) -> Option<(String, &[u8])> {
    let ends = [b"\r\n\r\n".as_slice(), b"\n\n"];
    let (at, end) =
        (0..received.len()).find_map(|at| Some((at, ends.iter().find(|e| received[at..].starts_with(e))?)))?;
    let (head, rest) = received.split_at(at);
    Some((String::from_utf8_lossy(head).into_owned(), rest.get(end.len()..).unwrap_or_default()))
}

fn status(line: &str) -> io::Result<u16> {
    let code = line.strip_prefix("HTTP/1.").and_then(|rest| rest.split(' ').nth(1));
    code.and_then(|code| code.parse().ok()).ok_or_else(|| invalid("the answer is not HTTP"))
}

/// Returns the first `max_body` bytes out of their chunks; none if they are not all there yet.
fn unchunk(mut rest: &[u8], max_body: usize) -> io::Result<Option<Vec<u8>>> {
    let mut body = Vec::new();
    while body.len() < max_body {
        let Some(line_end) = rest.iter().position(|&byte| byte == b'\n') else { return Ok(None) };
        let (line, after) = rest.split_at(line_end + 1);
        let size = String::from_utf8_lossy(line);
        let size = size.split(';').next().unwrap_or_default().trim();
        let size = u32::from_str_radix(size, 16).ok().and_then(|size| usize::try_from(size).ok());
        let size = size.ok_or_else(|| invalid("a chunk has no size"))?;
        if size == 0 {
            break;
        }
        let wanted = size.min(max_body - body.len());
        let Some(chunk) = after.get(..wanted) else { return Ok(None) };
        body.extend_from_slice(chunk);
        let Some(next) =
            after.get(size..).and_then(|next| next.iter().position(|&b| b == b'\n').and_then(|at| next.get(at + 1..)))
        else {
            return Ok((body.len() == max_body).then_some(body));
        };
        rest = next;
    }
    Ok(Some(body))
}

fn invalid(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds `answer` in two pieces, cut at every place, then its end.
    fn check(answer: &str, expect: Result<(u16, &str), &str>) {
        for cut in 0..=answer.len() {
            let outcome = [(cut, false), (answer.len(), false), (answer.len(), true)]
                .into_iter()
                .find_map(|(len, ended)| parse(&answer.as_bytes()[..len], ended, 10).transpose());
            let outcome = outcome.expect("an ended answer is never incomplete");
            match (&outcome, expect) {
                (Ok(got), Ok((status, body))) => {
                    assert_eq!((got.status, got.body.as_slice()), (status, body.as_bytes()), "{answer:?} cut at {cut}");
                }
                (Err(got), Err(text)) => assert!(got.to_string().contains(text), "{got} in {answer:?}"),
                _ => panic!("{outcome:?} for {answer:?} cut at {cut}"),
            }
        }
    }

    #[test]
    fn bodies_end_by_length_by_chunks_or_by_close() {
        check("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nOK", Ok((200, "OK")));
        check("HTTP/1.0 200 OK\r\nServer: SimpleHTTP/0.6\r\n\r\n", Ok((200, "")));
        check("HTTP/1.1 200 OK\ncontent-length: 0\n\n", Ok((200, "")));
        check("HTTP/1.1 200\r\nTransfer-Encoding: Chunked\r\n\r\n2;x=y\r\n{}\r\n1\r\n \r\n0\r\n\r\n", Ok((200, "{} ")));
        check("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", Ok((200, "{}")));
    }

    #[test]
    fn bodies_are_cut_and_those_of_other_statuses_left_unread() {
        check("HTTP/1.1 200 OK\r\nContent-Length: 9999999\r\n\r\n0123456789", Ok((200, "0123456789")));
        check("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfff\r\n0123456789", Ok((200, "0123456789")));
        check("HTTP/1.0 501 Unsupported method ('GET')\r\nContent-Length: 999\r\n\r\n", Ok((501, "")));
    }

    #[test]
    fn what_is_no_answer_is_named() {
        check("", Err("without an answer"));
        check("SSH-2.0-OpenSSH\r\n\r\n", Err("not HTTP"));
        check("HTTP/1.1 200 OK\r\nContent-Le", Err("within its head"));
        check("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabc", Err("within its body"));
        check("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", Err("no size"));
    }

    #[tokio::test]
    async fn an_answer_that_never_says_anything_is_given_up() {
        for endless in ["HTTP/1.1 100 Continue\r\n\r\n", "1;"] {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap();
            let agent = async {
                let mut stream = listener.accept().await.unwrap().0;
                if endless == "1;" {
                    stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").await.unwrap();
                }
                while stream.write_all(endless.repeat(1000).as_bytes()).await.is_ok() {}
            };
            let answer = tokio::select! {
                answer = get(address, "/ping", 10) => answer,
                () = agent => unreachable!("the agent talks on"),
            };
            assert!(answer.unwrap_err().to_string().contains("too long"), "{endless}");
        }
    }
}
