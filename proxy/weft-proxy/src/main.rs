//! The sidecar proxy of weft. Settings come from the environment; see `config.rs`.

use std::process::ExitCode;

use tracing_subscriber::EnvFilter;
use weft_proxy::app;
use weft_proxy::config::Config;

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
    log(&config);
    match app::run(config) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(error = format!("{error:#}"), "ended");
            ExitCode::FAILURE
        }
    }
}

fn log(config: &Config) {
    let filter = EnvFilter::builder().parse_lossy(&config.log);
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    if config.log_json { lines.json().flatten_event(true).init() } else { lines.with_ansi(false).init() }
}
