//! The process's own log, and its level, which can be changed while it runs.

use std::sync::OnceLock;

use tracing::level_filters::LevelFilter;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::reload::Handle;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Registry, fmt, reload};

use crate::config::Config;

/// `release_max_level_debug`: for more there is nothing in the program.
const MOST: LevelFilter = LevelFilter::DEBUG;
const TOO_MUCH: &str = "trace is not compiled in, debug is the most";

static FILTER: OnceLock<Handle<EnvFilter, Registry>> = OnceLock::new();

/// Begins to log to standard error.
pub fn start(config: &Config) {
    start_to(config, std::io::stderr);
}

fn start_to(config: &Config, to: impl for<'a> MakeWriter<'a> + Send + Sync + 'static) {
    let filter = EnvFilter::builder().parse_lossy(&config.log);
    let too_much = is_too_much(&filter);
    let (filter, handle) = reload::Layer::new(filter);
    let _ = FILTER.set(handle);
    let lines = fmt::layer().with_writer(to);
    let log = tracing_subscriber::registry().with(filter);
    if config.log_json {
        log.with(lines.json().flatten_event(true)).init();
    } else {
        log.with(lines.with_ansi(false)).init();
    }
    if too_much {
        tracing::warn!("WEFT_LOG: {TOO_MUCH}");
    }
}

/// What is logged now: `info,h2=warn`.
pub fn filter() -> String {
    FILTER.get().and_then(|handle| handle.with_current(ToString::to_string).ok()).unwrap_or_default()
}

/// Logs by `filter` from now on; the error says what is wrong with it.
pub fn set_filter(filter: &str) -> Result<(), String> {
    let filter = EnvFilter::builder().parse(filter).map_err(|e| e.to_string())?;
    if is_too_much(&filter) {
        return Err(TOO_MUCH.into());
    }
    let handle = FILTER.get().ok_or("this process does not log")?;
    handle.reload(filter).map_err(|e| e.to_string())
}

fn is_too_much(filter: &EnvFilter) -> bool {
    filter.max_level_hint().is_some_and(|level| level > MOST)
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Heard(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Heard {
        fn write(&mut self, line: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(line)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Heard {
        fn has(&self, word: &str) -> bool {
            String::from_utf8_lossy(&self.0.lock().unwrap()).contains(word)
        }
    }

    /// A level that is raised while the process runs is logged from then on; one that is not there is refused, and warned
    /// of where it was asked for from the start.
    #[test]
    fn levels_are_what_they_say() {
        let (heard, log) = (Heard::default(), "info,nobody=trace".to_owned());
        let to = heard.clone();
        start_to(&Config { log, ..Config::parse([].into()).unwrap() }, move || to.clone());
        tracing::debug!("too early");
        assert_eq!(Err(TOO_MUCH.to_owned()), set_filter("info,weft_proxy=trace"));
        tracing::debug!("too early");
        assert_eq!(Ok(()), set_filter("info,weft_proxy=debug"));
        tracing::debug!("in time");
        let told = ["WEFT_LOG: trace is not", "too early", "in time"].map(|words| heard.has(words));
        assert_eq!([true, false, true], told);
    }
}
