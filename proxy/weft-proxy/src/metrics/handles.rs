//! Handles of counters: looked up once, then counting is an addition.

use std::cell::RefCell;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;

use super::Series;
use super::labels::{Answered, OVERFLOW, Routed};

/// Distinct results of one peer and route, of all their handles; hostile status codes end here.
pub(super) const MAX_RESULTS: usize = 64;

/// How an exchange ended: `result`, HTTP status (0: none came), gRPC status.
pub type Answer = (&'static str, u16, Option<u16>);

/// Requests to one peer by one route. Belongs to one worker; the counters behind it are shared.
pub struct Requests {
    pub(super) series: Arc<Series>,
    pub(super) family: Family<Answered, Counter>,
    pub(super) routed: Routed,
    pub(super) latency: Histogram,
    pub(super) results: RefCell<Vec<(Answer, Counter)>>,
}

impl Requests {
    /// Whether others are counted here as well, because there was no room for series of its own.
    pub fn is_overflow(&self) -> bool {
        self.routed.route == OVERFLOW
    }

    /// Counts an exchange that ended.
    pub fn count(&self, answer: Answer) {
        let mut results = self.results.borrow_mut();
        if let Some((_, counter)) = results.iter().find(|(known, _)| *known == answer) {
            counter.inc();
            return;
        }
        let (labels, own) = self.admit(answer);
        let counter = self.family.get_or_create_owned(&labels);
        counter.inc();
        if own {
            results.push((answer, counter));
        }
    }

    /// The labels of a result, and whether they are its own: once there are too many they are those of `overflow`.
    fn admit(&self, answer: Answer) -> (Answered, bool) {
        let mut known = self.series.lock().unwrap_or_else(PoisonError::into_inner);
        let mut labels = self.labels(answer, false);
        let own = known.contains(&labels) || known.len() < MAX_RESULTS;
        if !own {
            labels = self.labels(answer, true);
        }
        if !known.contains(&labels) {
            known.push(labels.clone());
        }
        (labels, own)
    }

    /// Notes the time to a response's head.
    pub fn observe(&self, latency: Duration) {
        self.latency.observe(latency.as_secs_f64());
    }

    fn labels(&self, (result, status, grpc_status): Answer, full: bool) -> Answered {
        let status = match status {
            _ if full => OVERFLOW.to_owned(),
            0 => String::new(),
            known => known.to_string(),
        };
        let grpc_status = grpc_status.filter(|_| !full).map(|g| g.to_string()).unwrap_or_default();
        Answered { routed: self.routed.clone(), result, status, grpc_status }
    }
}

/// Counters of the connections with one peer.
#[derive(Clone)]
pub struct Connections {
    pub(super) _series: Arc<Series>,
    pub(super) open: Gauge,
    pub(super) opened: Counter,
    pub(super) read: Counter,
    pub(super) written: Counter,
}

impl Connections {
    /// One connection begins; it ends when the meter is dropped.
    pub fn open(&self) -> Meter {
        self.open.inc();
        self.opened.inc();
        Meter(self.clone())
    }
}

/// Counts the bytes of one connection while it lives.
pub struct Meter(Connections);

impl Meter {
    pub fn read(&self, n: usize) {
        self.0.read.inc_by(n as u64);
    }

    pub fn written(&self, n: usize) {
        self.0.written.inc_by(n as u64);
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        self.0.open.dec();
    }
}
