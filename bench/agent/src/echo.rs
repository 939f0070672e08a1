//! `GET /ws`: a WebSocket that says back whatever it is told. The server's half of RFC 6455, as far as our own clients ask for it.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hyper::body::Incoming;
use hyper::header::{CONNECTION, HeaderValue, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, UPGRADE};
use hyper::{HeaderMap, Request};
use hyper_util::rt::TokioIo;
use ring::digest::{Context, SHA1_FOR_LEGACY_USE_ONLY};
use tokio::io::{AsyncReadExt, AsyncWriteExt, BufStream};

/// Source: RFC 6455, section 1.3.
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// The longest frame, bytes: twice what Innkeep lets through.
const MAX_FRAME_BYTES: usize = 128 << 10;

const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;

/// Returns the headers that agree to a WebSocket; none for a request that asks for none.
pub(crate) fn agree(request: &Request<Incoming>) -> Option<HeaderMap> {
    let mut context = Context::new(&SHA1_FOR_LEGACY_USE_ONLY);
    context.update(request.headers().get(SEC_WEBSOCKET_KEY)?.as_bytes());
    context.update(GUID);
    let accept = HeaderValue::try_from(STANDARD.encode(context.finish())).ok()?;
    let (upgrade, websocket) = (HeaderValue::from_static("Upgrade"), HeaderValue::from_static("websocket"));
    Some(HeaderMap::from_iter([(CONNECTION, upgrade), (UPGRADE, websocket), (SEC_WEBSOCKET_ACCEPT, accept)]))
}

/// Says back every frame, until one that closes.
pub(crate) async fn serve(request: Request<Incoming>) -> std::io::Result<()> {
    let upgraded = hyper::upgrade::on(request).await.map_err(std::io::Error::other)?;
    let mut stream = BufStream::new(TokioIo::new(upgraded));
    let mut payload = Vec::new();
    loop {
        let (first, second) = (stream.read_u8().await?, stream.read_u8().await?);
        let len = match second & 0x7f {
            126 => u64::from(stream.read_u16().await?),
            127 => stream.read_u64().await?,
            len => u64::from(len),
        };
        let len = usize::try_from(len).ok().filter(|len| *len <= MAX_FRAME_BYTES);
        let len = len.ok_or_else(|| std::io::Error::other("a frame is too long"))?;
        let mut mask = [0; 4];
        if second & 0x80 != 0 {
            stream.read_exact(&mut mask).await?;
        }
        payload.resize(len, 0);
        stream.read_exact(&mut payload).await?;
        for (byte, mask) in payload.iter_mut().zip(mask.iter().cycle()) {
            *byte ^= mask;
        }
        let is_close = first & 0xf == CLOSE;
        stream.write_u8(if first & 0xf == PING { 0x80 | PONG } else { first }).await?;
        match (u8::try_from(len), u16::try_from(len)) {
            (Ok(len @ ..126), _) => stream.write_u8(len).await?,
            (_, Ok(len)) => {
                stream.write_u8(126).await?;
                stream.write_u16(len).await?;
            }
            _ => {
                stream.write_u8(127).await?;
                stream.write_u64(len as u64).await?;
            }
        }
        stream.write_all(&payload).await?;
        stream.flush().await?;
        if is_close {
            return Ok(());
        }
    }
}
