//! What is counted for each Service that the application calls: its endpoints, breakers and retries.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::MAX_PEERS;
use super::known::Known;
use super::labels::OVERFLOW;
use crate::balance::breaker::Reason;
use crate::discovery::DstLabels;

/// Of one Service so many endpoints are named while they are left out.
const MAX_NAMED: usize = 16;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    dst_namespace: String,
    dst_service: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Endpoints {
    #[prometheus(flatten)]
    service: Labels,
    state: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct LeftOut {
    #[prometheus(flatten)]
    service: Labels,
    endpoint: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Tripped {
    #[prometheus(flatten)]
    service: Labels,
    reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Retried {
    #[prometheus(flatten)]
    service: Labels,
    route: String,
    result: &'static str,
}

/// What became of a request that failed on a route that retries; the `result` label.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// The retry was a success.
    Success,
    /// The last retry failed as well.
    Failure,
    /// The budget was spent: not retried.
    NoBudget,
    /// More of the body was sent than is kept: not retried.
    TooLarge,
}

impl Retry {
    const ALL: [Retry; 4] = [Retry::Success, Retry::Failure, Retry::NoBudget, Retry::TooLarge];

    fn as_str(self) -> &'static str {
        match self {
            Retry::Success => "success",
            Retry::Failure => "failure",
            Retry::NoBudget => "no_budget",
            Retry::TooLarge => "too_large",
        }
    }
}

/// The families; those of one Service are reached by a handle.
pub struct Services {
    endpoints: Family<Endpoints, Gauge>,
    left_out: Family<LeftOut, Gauge>,
    trips: Family<Tripped, Counter>,
    retries: Family<Retried, Counter>,
    /// A Service, and its routes that retry.
    known: Known<(Labels, Option<String>), ()>,
}

impl Services {
    pub fn new(registry: &mut Registry) -> Self {
        let this = Self {
            endpoints: Family::default(),
            left_out: Family::default(),
            trips: Family::default(),
            retries: Family::default(),
            known: Known::new(MAX_PEERS),
        };
        registry.register(
            "weft_balancer_endpoints",
            "Endpoints of a Service in use, by the state of their breaker",
            this.endpoints.clone(),
        );
        registry.register(
            "weft_balancer_left_out",
            "Workers that leave out this endpoint, whose breaker is open; no series while none does",
            this.left_out.clone(),
        );
        registry.register(
            "weft_breaker_trips",
            "Times that an endpoint was left out, by reason",
            this.trips.clone(),
        );
        registry.register(
            "weft_retries",
            "Failed requests on routes that retry, by what became of them",
            this.retries.clone(),
        );
        this
    }

    pub fn service(&self, dst: &DstLabels) -> Service {
        let (labels, token) = self.admit(dst, None);
        let state = |state| self.endpoints.get_or_create_owned(&Endpoints { service: labels.clone(), state });
        Service {
            closed: state("closed"),
            open: state("open"),
            shown: Cell::default(),
            left_out: self.left_out.clone(),
            named: RefCell::default(),
            trips: self.trips.clone(),
            labels,
            _token: token,
        }
    }

    pub fn retries(&self, dst: &DstLabels, route: &str) -> Retries {
        let (service, token) = self.admit(dst, Some(route));
        let route = if token.is_some() { route } else { OVERFLOW };
        Retries { retries: self.retries.clone(), service, route: route.to_owned(), _token: token }
    }

    fn admit(&self, dst: &DstLabels, route: Option<&str>) -> (Labels, Option<Arc<()>>) {
        let labels = Labels { dst_namespace: dst.namespace.clone(), dst_service: dst.service.clone() };
        let token = self.known.admit(&(labels.clone(), route.map(str::to_owned)));
        if token.is_some() {
            return (labels, token);
        }
        (Labels { dst_namespace: OVERFLOW.to_owned(), dst_service: OVERFLOW.to_owned() }, None)
    }

    pub fn expire(&self, now: Instant) {
        for ((service, route), _) in self.known.expire(now) {
            match route {
                Some(route) => Retry::ALL.iter().for_each(|retry| {
                    let (service, route) = (service.clone(), route.clone());
                    self.retries.remove(&Retried { service, route, result: retry.as_str() });
                }),
                None => self.remove(&service),
            }
        }
    }

    fn remove(&self, service: &Labels) {
        for state in ["closed", "open"] {
            self.endpoints.remove(&Endpoints { service: service.clone(), state });
        }
        for reason in Reason::ALL {
            self.trips.remove(&Tripped { service: service.clone(), reason: reason.as_str() });
        }
    }
}

/// The numbers of one Service, as one worker adds to them.
pub struct Service {
    closed: Gauge,
    open: Gauge,
    /// What this worker has added to the gauges.
    shown: Cell<(i64, i64)>,
    left_out: Family<LeftOut, Gauge>,
    /// What this worker leaves out, as far as it is named.
    named: RefCell<Vec<SocketAddr>>,
    trips: Family<Tripped, Counter>,
    labels: Labels,
    _token: Option<Arc<()>>,
}

impl Service {
    /// So many endpoints have their breakers closed, and these have them open.
    pub fn show(&self, closed: usize, open: &[SocketAddr]) {
        self.name(open);
        let new = (closed as i64, open.len() as i64);
        let old = self.shown.replace(new);
        if new != old {
            self.closed.inc_by(new.0 - old.0);
            self.open.inc_by(new.1 - old.1);
        }
    }

    fn name(&self, open: &[SocketAddr]) {
        let most = if self._token.is_some() { MAX_NAMED } else { 0 };
        let open = open.get(..most).unwrap_or(open);
        let old = self.named.replace(open.to_vec());
        for addr in open.iter().filter(|addr| !old.contains(addr)) {
            self.left_out.get_or_create(&self.without(addr)).inc();
        }
        for addr in old.iter().filter(|addr| !open.contains(addr)) {
            let labels = self.without(addr);
            let before = self.left_out.get_or_create(&labels).dec();
            if before <= 1 {
                self.left_out.remove(&labels);
            }
        }
    }

    fn without(&self, addr: &SocketAddr) -> LeftOut {
        LeftOut { service: self.labels.clone(), endpoint: addr.to_string() }
    }

    pub fn tripped(&self, reason: Reason) {
        let labels = Tripped { service: self.labels.clone(), reason: reason.as_str() };
        self.trips.get_or_create(&labels).inc();
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.show(0, &[]);
    }
}

/// Counts the retries of one route.
pub struct Retries {
    retries: Family<Retried, Counter>,
    service: Labels,
    route: String,
    _token: Option<Arc<()>>,
}

impl Retries {
    pub fn count(&self, retry: Retry) {
        let (service, route) = (self.service.clone(), self.route.clone());
        self.retries.get_or_create(&Retried { service, route, result: retry.as_str() }).inc();
    }
}
