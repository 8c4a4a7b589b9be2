//! HTTP on the data path: serving the client's side, sending to an endpoint, and what lies between.

pub mod body;
pub mod classify;
pub mod client;
pub mod forward;
pub mod frames;
pub mod headers;
pub mod http1;
pub mod http2;
pub mod piece;
pub mod pool;
pub mod received;
pub mod record;
pub mod respond;
pub mod server;
pub mod upgrade;
