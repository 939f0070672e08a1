//! The glance at a JSON-RPC request that was read: never at more than stayed in memory, and off the async workers where it takes time.

use innkeep_protocol::json_rpc::Glance;
use tokio::task::spawn_blocking;

use crate::spool::Spooled;

/// The most that is parsed on an async worker, bytes: some 100 µs. Source: our choice.
const INLINE_PARSE_BYTES: usize = 64 << 10;

/// Returns what is found in a body. One that did not stay in memory is not looked at: it is beyond what messages are.
pub(crate) async fn glance(body: &Spooled) -> Glance {
    let Some(data) = body.in_memory() else { return Glance::default() };
    if data.len() <= INLINE_PARSE_BYTES {
        return Glance::of(&data);
    }
    spawn_blocking(move || Glance::of(&data)).await.unwrap_or_default()
}
