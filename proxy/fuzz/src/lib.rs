//! What must hold for any bytes of a stranger, for every parser that sees them first. libFuzzer looks for bytes for which it
//! does not (`fuzz_targets`, `make fuzz`); `cargo test` tries some (`weft-proxy/tests/strangers.rs`).

pub mod certificate;
pub mod connect;
pub mod detect;
pub mod discovery;
pub mod hello;
pub mod http1;
pub mod tap;
