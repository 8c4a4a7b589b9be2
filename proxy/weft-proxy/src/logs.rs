//! The process's own log, and its level, which can be changed while it runs.

use std::sync::OnceLock;

use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::reload::Handle;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Registry, fmt, reload};

use crate::config::Config;

static FILTER: OnceLock<Handle<EnvFilter, Registry>> = OnceLock::new();

/// Begins to log to standard error.
pub fn start(config: &Config) {
    let (filter, handle) = reload::Layer::new(EnvFilter::builder().parse_lossy(&config.log));
    let _ = FILTER.set(handle);
    let lines = fmt::layer().with_writer(std::io::stderr);
    let log = tracing_subscriber::registry().with(filter);
    if config.log_json {
        log.with(lines.json().flatten_event(true)).init();
    } else {
        log.with(lines.with_ansi(false)).init();
    }
}

/// What is logged now: `info,h2=warn`.
pub fn filter() -> String {
    FILTER.get().and_then(|handle| handle.with_current(ToString::to_string).ok()).unwrap_or_default()
}

/// Logs by `filter` from now on; the error says what is wrong with it.
pub fn set_filter(filter: &str) -> Result<(), String> {
    let filter = EnvFilter::builder().parse(filter).map_err(|e| e.to_string())?;
    let handle = FILTER.get().ok_or("this process does not log")?;
    handle.reload(filter).map_err(|e| e.to_string())
}
