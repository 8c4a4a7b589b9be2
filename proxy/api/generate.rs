//! Writes `src/generated` from `/proto`: `cargo run -p weft-api --features generate`.
//!
//! Channels are made by whoever dials (`build_transport(false)`). protox compiles the contracts in pure Rust, so nobody needs a `protoc`.

use std::path::PathBuf;

const CONTRACTS: [&str; 3] = ["identity", "discovery", "tap"];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let here = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let protos = here.join("../../proto");
    let files = CONTRACTS.map(|name| protos.join(format!("{name}/v1/{name}.proto")));
    let out = std::env::args().nth(1).map_or(here.join("src/generated"), PathBuf::from);
    std::fs::create_dir_all(&out)?;
    let descriptors = protox::compile(&files, [&protos])?;
    tonic_prost_build::configure().build_transport(false).out_dir(&out).compile_fds(descriptors)?;
    Ok(())
}
