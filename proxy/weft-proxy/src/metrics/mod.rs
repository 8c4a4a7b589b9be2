//! What the proxy counts: a handle is looked up once for a route and an endpoint, then counting is an addition.

mod egress;
mod handles;
mod known;
mod labels;
mod memory;
mod policy;
mod service;

use std::cell::RefCell;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;

use crate::discovery::DstLabels;
use crate::error::Code;
use known::Known;
use labels::{Answered, Coded, OVERFLOW, Routed};

pub use handles::{Answer, Connections, Meter, Requests};
pub use labels::{PROBE, Peer, Tls};
pub use service::{Retries, Retry, Service};

/// Seconds; from a local cache to a request that somebody waits for.
const BUCKETS: [f64; 16] =
    [0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.02, 0.03, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0];
/// Distinct peers and routes a proxy keeps apart; later ones share the labels `overflow`.
const MAX_PEERS: usize = 1000;

/// What is read afresh at each scrape.
#[derive(Clone, Copy, Default)]
pub struct Control {
    pub identity_expiry: i64,
    pub discovery_connected: bool,
    /// How old the newest word of the control plane is.
    pub discovery_age: Duration,
}

/// All metrics of this process.
pub struct Metrics {
    registry: Registry,
    requests: Family<Answered, Counter>,
    latency: Family<Routed, Histogram, fn() -> Histogram>,
    open: Family<Peer, Gauge>,
    opened: Family<Peer, Counter>,
    read: Family<Peer, Counter>,
    written: Family<Peer, Counter>,
    errors: Family<Coded, Counter>,
    identity_expiry: Gauge,
    discovery_connected: Gauge,
    discovery_age: Gauge<f64, std::sync::atomic::AtomicU64>,
    services: service::Services,
    policies: policy::Policies,
    egress: egress::Egress,
    known: Known<Routed, Series>,
    /// Of all that is not known.
    overflow: Arc<Series>,
}

/// What the handles of one peer and route share: the results that have series.
type Series = Mutex<Vec<Answered>>;

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::default();
        let mut metrics = Self {
            services: service::Services::new(&mut registry),
            policies: policy::Policies::new(&mut registry),
            egress: egress::Egress::new(&mut registry),
            registry,
            requests: Family::default(),
            latency: Family::new_with_constructor(|| Histogram::new(BUCKETS)),
            open: Family::default(),
            opened: Family::default(),
            read: Family::default(),
            written: Family::default(),
            errors: Family::default(),
            identity_expiry: Gauge::default(),
            discovery_connected: Gauge::default(),
            discovery_age: Gauge::default(),
            known: Known::new(MAX_PEERS),
            overflow: Arc::default(),
        };
        metrics.register();
        metrics
    }
}

impl Metrics {
    fn register(&mut self) {
        let r = &mut self.registry;
        let start = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
        let started = Gauge::<f64, std::sync::atomic::AtomicU64>::default();
        started.set(start);
        r.register(
            "weft_proxy",
            "Version of the proxy",
            Info::new(vec![("version", env!("CARGO_PKG_VERSION"))]),
        );
        r.register("process_start_time_seconds", "When the proxy started, since the epoch", started);
        r.register_collector(Box::new(memory::Memory));
        r.register("weft_requests", "Requests that ended", self.requests.clone());
        r.register(
            "weft_response_duration_seconds",
            "Time to the head of the response",
            self.latency.clone(),
        );
        r.register("weft_tcp_open_connections", "Connections open now", self.open.clone());
        r.register("weft_tcp_opened", "Connections opened", self.opened.clone());
        r.register("weft_tcp_read_bytes", "Bytes read from the peer", self.read.clone());
        r.register("weft_tcp_written_bytes", "Bytes written to the peer", self.written.clone());
        r.register("weft_proxy_errors", "Errors of the proxy itself, by code", self.errors.clone());
        r.register(
            "weft_identity_expiry_timestamp_seconds",
            "When the certificate ends, since the epoch; 0 without one",
            self.identity_expiry.clone(),
        );
        r.register(
            "weft_discovery_connected",
            "1 while there is a stream to the control plane",
            self.discovery_connected.clone(),
        );
        r.register(
            "weft_discovery_age_seconds",
            "Since the control plane was last heard",
            self.discovery_age.clone(),
        );
    }

    /// Counters of requests to `peer` by `route`.
    pub fn requests(&self, peer: &Peer, route: &str) -> Requests {
        let (routed, series) = self.admit(peer, route);
        Requests {
            series,
            family: self.requests.clone(),
            latency: self.latency.get_or_create_owned(&routed),
            routed,
            results: RefCell::default(),
        }
    }

    /// Counters of connections with `peer`.
    pub fn connections(&self, peer: &Peer) -> Connections {
        let (Routed { peer, .. }, series) = self.admit(peer, "");
        Connections {
            _series: series,
            open: self.open.get_or_create_owned(&peer),
            opened: self.opened.get_or_create_owned(&peer),
            read: self.read.get_or_create_owned(&peer),
            written: self.written.get_or_create_owned(&peer),
        }
    }

    pub fn error(&self, code: Code) {
        self.errors.get_or_create(&Coded { code: code.as_str() }).inc();
    }

    /// The numbers of a Service that the application calls.
    pub fn service(&self, dst: &DstLabels) -> Service {
        self.services.service(dst)
    }

    /// Counts the retries of a Service's route.
    pub fn retries(&self, dst: &DstLabels, route: &str) -> Retries {
        self.services.retries(dst, route)
    }

    /// A policy denied a request or connection, or would; `mode`: `enforce` or `audit`.
    pub fn denied(&self, policy: &str, mode: &'static str, identity: Option<&str>) {
        self.policies.denied(policy, mode, identity);
    }

    pub fn limited(&self, policy: &str, identity: Option<&str>) {
        self.policies.limited(policy, identity);
    }

    /// Something leaves the mesh, or would; `verdict`: `allow`, `audit` or `enforce`.
    pub fn egress(&self, destination: &str, verdict: &'static str) {
        self.egress.count(destination, verdict);
    }

    /// The labels to use: those asked for, or `overflow` once there are too many.
    fn admit(&self, peer: &Peer, route: &str) -> (Routed, Arc<Series>) {
        let routed = Routed { peer: peer.clone(), route: route.to_owned() };
        match self.known.admit(&routed) {
            Some(series) => (routed, series),
            None => {
                let routed = Routed { peer: Peer::overflow(peer.direction), route: OVERFLOW.to_owned() };
                (routed, self.overflow.clone())
            }
        }
    }

    /// Removes the series that nothing has counted in for an hour; call it regularly.
    pub fn expire(&self, now: Instant) {
        for (routed, series) in self.known.expire(now) {
            for answered in series.lock().unwrap_or_else(PoisonError::into_inner).iter() {
                self.requests.remove(answered);
            }
            self.latency.remove(&routed);
            if routed.route.is_empty() {
                self.open.remove(&routed.peer);
                self.opened.remove(&routed.peer);
                self.read.remove(&routed.peer);
                self.written.remove(&routed.peer);
            }
        }
        self.services.expire(now);
        self.policies.expire(now);
        self.egress.expire(now);
    }

    /// The text that Prometheus scrapes (OpenMetrics).
    pub fn render(&self, control: Control) -> String {
        self.identity_expiry.set(control.identity_expiry);
        self.discovery_connected.set(control.discovery_connected.into());
        self.discovery_age.set(control.discovery_age.as_secs_f64());
        let mut text = String::new();
        // Writing into a String does not fail.
        let _ = encode(&mut text, &self.registry);
        text
    }
}

#[cfg(test)]
mod tests {
    use super::handles::MAX_RESULTS;
    use super::*;
    use crate::discovery::DstLabels;

    fn peer(workload: &str) -> Peer {
        let dst = DstLabels { workload: workload.into(), ..DstLabels::default() };
        Peer::new("outbound", Tls::True, Some("spiffe://x"), &dst)
    }

    /// Names and labels are those of docs/metrics.md.
    #[test]
    fn requests_are_rendered_with_their_labels() {
        let metrics = Metrics::default();
        metrics.requests(&peer("web"), "home").count(("success", 200, Some(0)));
        let text = metrics.render(Control::default());
        let line = text.lines().find(|l| l.starts_with("weft_requests_total")).unwrap();
        assert_eq!(
            "weft_requests_total{direction=\"outbound\",tls=\"true\",peer_identity=\"spiffe://x\",dst_namespace=\"\",\
             dst_service=\"\",dst_workload_kind=\"\",dst_workload=\"web\",route=\"home\",result=\"success\",\
             status=\"200\",grpc_status=\"0\"} 1",
            line
        );
    }

    /// Handles of several workers add up.
    #[test]
    fn workers_share_counters() {
        let metrics = Metrics::default();
        for _ in 0..2 {
            metrics.requests(&peer("web"), "").count(("success", 204, None));
        }
        assert!(metrics.render(Control::default()).contains("status=\"204\",grpc_status=\"\"} 2"));
    }

    /// However many peers there are, series are bounded, and nothing is left uncounted.
    #[test]
    fn peers_overflow_into_one_series() {
        let metrics = Metrics::default();
        for n in 0..MAX_PEERS + 5 {
            metrics.requests(&peer(&n.to_string()), "").count(("success", 200, None));
        }
        let text = metrics.render(Control::default());
        let (series, overflow): (Vec<_>, Vec<_>) = text
            .lines()
            .filter(|l| l.starts_with("weft_requests_total"))
            .partition(|l| !l.contains(OVERFLOW));
        assert_eq!((MAX_PEERS, 1), (series.len(), overflow.len()));
        assert!(overflow[0].ends_with(" 5"));
    }

    /// However often a peer comes back, it has so many results; those beyond share a series, and are counted.
    #[test]
    fn results_overflow_into_one_series() {
        let metrics = Metrics::default();
        let known: Vec<_> = (0..MAX_PEERS).map(|n| metrics.requests(&peer(&n.to_string()), "")).collect();
        let statuses = 300..300 + 2 * MAX_RESULTS as u16;
        for status in statuses.clone() {
            metrics.requests(&peer("0"), "").count(("success", status, None));
            metrics.requests(&peer("one too many"), "").count(("success", status, None));
        }
        drop(known);
        let text = metrics.render(Control::default());
        for workload in ["0", OVERFLOW] {
            let of = format!("dst_workload=\"{workload}\"");
            let series: Vec<_> =
                text.lines().filter(|l| l.starts_with("weft_requests_total") && l.contains(&of)).collect();
            let beyond: Vec<_> = series.iter().filter(|l| l.contains("status=\"overflow\"")).collect();
            assert_eq!((MAX_RESULTS + 1, 1), (series.len(), beyond.len()));
            assert!(beyond[0].ends_with(&format!(" {}", statuses.len() - MAX_RESULTS)));
        }
    }

    /// Series are kept for an hour after their last handle, and then leave nothing behind.
    #[test]
    fn idle_series_expire() {
        let metrics = Metrics::default();
        // But for what they have: some are the process's own.
        let names = || {
            let text = metrics.render(Control::default());
            text.lines()
                .map(|line| line.rsplit_once(' ').unwrap_or_default().0.to_owned())
                .collect::<Vec<_>>()
        };
        let (empty, now) = (names(), Instant::now());
        let handles = (
            metrics.requests(&peer("web"), "home"),
            metrics.connections(&peer("web")),
            metrics.service(&DstLabels::default()),
        );
        handles.0.count(("success", 200, None));
        metrics.retries(&DstLabels::default(), "home").count(Retry::Success);
        metrics.denied("shop/menu", "enforce", Some("spiffe://x"));
        metrics.limited("shop/menu", None);
        metrics.egress("example.com", "allow");
        drop((handles.1.open(), handles));
        metrics.expire(now);
        assert!(metrics.render(Control::default()).contains("weft_requests_total{"));
        metrics.expire(now + known::KEEP);
        assert_eq!(empty, names());
    }

    /// Bytes count while the connection lives, and an ended one is not open.
    #[test]
    fn meters_count_while_open() {
        let metrics = Metrics::default();
        let meter = metrics.connections(&peer("db")).open();
        meter.read(7);
        assert!(metrics.render(Control::default()).contains("dst_workload=\"db\"} 7"));
        drop(meter);
        let text = metrics.render(Control::default());
        assert!(text.lines().any(|l| l.starts_with("weft_tcp_open_connections") && l.ends_with(" 0")));
    }
}
