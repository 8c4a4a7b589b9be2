//! How it is told that a policy denies something, or would: a counter, a line in the log, and for connections that are
//! no HTTP an event of their own in tap.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use http::{HeaderMap, Method, Uri, Version};

use crate::error::Error;
use crate::metrics::Tls;
use crate::tap::{CONNECTION, Direction, Exchange, Outcome};
use crate::worker::Shared;

/// Lines in the log in one second; more are counted in the next line.
const MAX_LINES: u32 = 5;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    Enforce,
    /// Drafts in audit are told, and let through.
    Audit,
}

impl Mode {
    pub fn as_str(self) -> &'static str {
        match self {
            Mode::Enforce => "enforce",
            Mode::Audit => "audit",
        }
    }
}

pub struct Denial<'a> {
    pub mode: Mode,
    /// The rule or default, as metrics and tap name it.
    pub by: &'a Arc<str>,
    /// What the client hears: this name, and nothing else of the rule.
    pub error: Error,
    /// Method and path; none for a connection that is not HTTP.
    pub request: Option<(&'a str, &'a str)>,
    pub direction: Direction,
    pub identity: Option<&'a Arc<str>>,
    pub source: SocketAddr,
    pub destination: SocketAddr,
}

impl Denial<'_> {
    pub fn tell(&self, shared: &Shared) {
        shared.metrics.denied(self.by, self.mode.as_str(), self.identity.map(|id| &**id));
        if let Some(unlogged) = shared.denials.line(Instant::now()) {
            self.log(unlogged);
        }
        if self.request.is_none() {
            shared.ring.record(self.exchange(shared));
        }
    }

    fn log(&self, unlogged: u32) {
        let (method, path) = self.request.unwrap_or_default();
        tracing::warn!(
            error = %self.error,
            mode = self.mode.as_str(),
            identity = self.identity.map_or("", |id| id),
            source = %self.source,
            destination = %self.destination,
            method,
            path,
            unlogged,
            "{}",
            if self.mode == Mode::Enforce { "denied" } else { "would be denied" },
        );
    }

    /// A connection as tap shows it: no request, so its method is none that HTTP has.
    fn exchange(&self, shared: &Shared) -> Exchange {
        let enforced = self.mode == Mode::Enforce;
        Exchange {
            started: SystemTime::now(),
            direction: self.direction,
            source: self.source,
            destination: self.destination,
            tls: if self.identity.is_some() { Tls::True } else { Tls::NoIdentity }.as_str(),
            peer_identity: self.identity.cloned(),
            method: Method::from_bytes(CONNECTION.as_bytes()).unwrap_or_default(),
            uri: Uri::default(),
            host: None,
            version: Version::default(),
            status: None,
            grpc_status: None,
            outcome: if enforced { Outcome::Failure } else { Outcome::Success },
            latency: Duration::ZERO,
            duration: Duration::ZERO,
            request_bytes: 0,
            response_bytes: 0,
            route: None,
            dst: if self.direction == Direction::Inbound { shared.own.clone() } else { Arc::default() },
            request_headers: HeaderMap::new(),
            response_headers: HeaderMap::new(),
            error: enforced.then(|| self.error.to_string()),
            audited: (!enforced).then(|| self.by.clone()),
        }
    }
}

/// Keeps the log readable while somebody is denied all the time.
#[derive(Default)]
pub struct Denials(Mutex<Lines>);

#[derive(Default)]
struct Lines {
    since: Option<Instant>,
    written: u32,
    unlogged: u32,
}

impl Denials {
    /// Whether there may be a line now, and how many were left out before it.
    fn line(&self, now: Instant) -> Option<u32> {
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.since.is_none_or(|since| now.saturating_duration_since(since) >= Duration::from_secs(1)) {
            (lines.since, lines.written) = (Some(now), 0);
        }
        if lines.written >= MAX_LINES {
            lines.unlogged += 1;
            return None;
        }
        lines.written += 1;
        Some(std::mem::take(&mut lines.unlogged))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A few lines a second, and the next one says how many are missing.
    #[test]
    fn the_log_stays_readable() {
        let (denials, start) = (Denials::default(), Instant::now());
        let lines: Vec<_> = (0..20).map(|_| denials.line(start)).collect();
        assert_eq!(vec![Some(0); 5], lines[..5]);
        assert_eq!(vec![None; 15], lines[5..]);
        assert_eq!(Some(15), denials.line(start + Duration::from_secs(1)));
    }
}
