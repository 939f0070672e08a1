//! From a connection to a TLS connection, or to a word of advice for who speaks plain HTTP to a port of TLS.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;
use tokio::io::AsyncWriteExt;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::paced::Paced;

/// The first byte of a handshake. Source: RFC 8446 section 5.1.
const HANDSHAKE: u8 = 22;

/// What plain HTTP is answered with. Its request is not read: it may be anything.
const USE_HTTPS: &str = "HTTP/1.1 400 Bad Request\r\ncontent-type: application/json\r\nx-amzn-errortype: ValidationException\r\n\
     connection: close\r\ncontent-length: 78\r\n\r\n\
     {\"message\":\"This port speaks TLS: the URL must begin with https://, not http\"}";

/// Returns the connection once both sides have agreed, within `patience`; none if the client wanted none.
pub(super) async fn accept(
    stream: Paced,
    config: Arc<ServerConfig>,
    patience: Duration,
) -> io::Result<Option<TlsStream<Paced>>> {
    let accepted = timeout(patience, async {
        match stream.begins_with(HANDSHAKE).await? {
            Some(true) => TlsAcceptor::from(config).accept(stream).await.map(Some),
            Some(false) => advise(stream).await.map(|()| None),
            None => Ok(None),
        }
    });
    accepted.await.unwrap_or_else(|elapsed| Err(elapsed.into()))
}

/// Tells whether the client takes HTTP/2.
pub(super) fn chose_http2(stream: &TlsStream<Paced>) -> bool {
    stream.get_ref().1.alpn_protocol() == Some(b"h2")
}

async fn advise(mut stream: Paced) -> io::Result<()> {
    stream.write_all(USE_HTTPS.as_bytes()).await?;
    stream.shutdown().await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_advice_is_as_long_as_it_says() {
        let (head, body) = USE_HTTPS.split_once("\r\n\r\n").unwrap();
        assert!(head.ends_with(&format!("content-length: {}", body.len())));
    }
}
