//! How the proxy reaches the control plane: names, back-off, and gRPC channels over mesh TLS.

pub mod accept;
pub mod backoff;
pub mod dial;
pub mod dns;
