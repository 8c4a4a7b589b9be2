//! The sidecar proxy of weft. Settings come from the environment; see `config.rs`.

use std::process::ExitCode;

use weft_proxy::config::Config;
use weft_proxy::{app, logs};

/// Gives memory back to the kernel after a surge, which glibc's does not; `.cargo/config.toml` says how soon.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// `EX_USAGE` of sysexits.h.
const BAD_SETTINGS: u8 = 64;

fn main() -> ExitCode {
    let config = match Config::from_env() {
        Ok(config) => config,
        Err(faults) => {
            faults.iter().for_each(|fault| eprintln!("weft-proxy: {fault}"));
            return ExitCode::from(BAD_SETTINGS);
        }
    };
    logs::start(&config);
    match app::run(config) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(error = format!("{error:#}"), "ended");
            ExitCode::FAILURE
        }
    }
}
