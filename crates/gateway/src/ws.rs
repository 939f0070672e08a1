//! The WebSocket door to a session's agent: frames pass as they come, in both directions.

mod frames;
