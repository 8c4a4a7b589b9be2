//! What the data path knows of the world: `discovery/v1` as plain types, checked and compiled once when they arrive.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

pub use routes::{
    Filter, Goal, HeaderChange, Instead, PathChange, PathMatch, Pattern, Redirect, ResponseClass, Retry,
    RetryBudget, Rewrite, Route, RouteMatch, Timeout, ValueMatch, WeightedBackend,
};

mod routes;

use crate::policy::{Access, Egress};
use crate::route::{Budget, Table};

/// A port of a Service, the key of an endpoint set.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ServicePort {
    pub namespace: Arc<str>,
    pub name: Arc<str>,
    pub port: u16,
}

impl ServicePort {
    pub fn new(namespace: &str, name: &str, port: u16) -> Self {
        Self { namespace: namespace.into(), name: name.into(), port }
    }
}

impl std::fmt::Display for ServicePort {
    /// As error messages spell it: `svc/web.shop:80`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "svc/{}.{}:{}", self.name, self.namespace, self.port)
    }
}

/// How a port speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// Found out from the first bytes.
    #[default]
    Detect,
    Http1,
    Http2,
    Grpc,
    /// Bytes are carried, never looked at.
    Opaque,
}

/// Where an address that the application dialled leads.
#[derive(Clone, Debug)]
pub struct Outbound {
    pub destination: Destination,
    pub protocol: Protocol,
}

impl Outbound {
    /// Neither Service nor meshed pod: on to the address as dialled, in plain text.
    pub fn not_in_mesh() -> Self {
        Self { destination: Destination::NotInMesh(None), protocol: Protocol::Detect }
    }

    /// With what `before` has left of its retries, if there may be as many.
    pub fn after(mut self, before: &Self) -> Self {
        if let (Destination::Service(new), Destination::Service(old)) =
            (&mut self.destination, &before.destination)
            && let (Some(budget), Some(spent)) = (&mut new.retry_budget, &old.retry_budget)
            && budget.rules == spent.rules
        {
            *budget = spent.clone();
        }
        self
    }
}

#[derive(Clone, Debug)]
pub enum Destination {
    Service(ServiceDestination),
    /// That pod and no other.
    Pod(Arc<Endpoint>),
    /// What may be called there; none: anything.
    NotInMesh(Option<Arc<Egress>>),
}

#[derive(Clone, Debug)]
pub struct ServiceDestination {
    pub service: ServicePort,
    /// In order of precedence; none matching: `service` itself, or 404 if `no_match_not_found`.
    pub routes: Arc<[Route]>,
    /// Of `routes`, made once for all workers.
    pub table: Arc<Table>,
    pub no_match_not_found: bool,
    /// Shared by all routes that retry, and by all workers; absent: no retries.
    pub retry_budget: Option<Arc<Budget>>,
    pub breaker: Breaker,
}

/// When endpoints are left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Breaker {
    /// Consecutive failures after which an endpoint is left out; 0: never for those.
    pub max_failures: u32,
    pub min_penalty: Duration,
    pub max_penalty: Duration,
    /// Share of successes, in thousandths, below which it is left out; 0: never for that.
    pub min_success_permille: u32,
    /// Responses of so long are judged, if there are so many.
    pub window: Duration,
    pub min_requests: u32,
}

impl Default for Breaker {
    /// What holds when the control plane says nothing.
    fn default() -> Self {
        Self {
            max_failures: 7,
            min_penalty: Duration::from_secs(1),
            max_penalty: Duration::from_secs(60),
            min_success_permille: 0,
            window: Duration::from_secs(10),
            min_requests: 10,
        }
    }
}

/// One address behind a Service, or a pod dialled directly.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Endpoint {
    pub addr: SocketAddr,
    pub weight: u32,
    /// SPIFFE ID to verify; none: not in the mesh, or the port is not intercepted.
    pub identity: Option<Arc<str>>,
    pub zone: Arc<str>,
    pub labels: Arc<DstLabels>,
}

impl Endpoint {
    /// Whether a Service leads out of the mesh here, by an EndpointSlice that names no pod. That of the API server is its own.
    pub fn is_outside(&self) -> bool {
        let DstLabels { namespace, service, pod, .. } = &*self.labels;
        let written = self.identity.is_none() && pod.is_empty() && !service.is_empty();
        written && (&**namespace, &**service) != ("default", "kubernetes")
    }
}

/// The `dst_*` labels of metrics and tap.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct DstLabels {
    pub namespace: String,
    /// Empty when a pod was dialled directly.
    pub service: String,
    pub workload_kind: String,
    pub workload: String,
    pub pod: String,
}

/// The endpoints of a port of a Service, sorted by address.
#[derive(Clone, Debug, Default)]
pub struct EndpointSet {
    /// Hash of the content; equal versions hold equal endpoints.
    pub version: String,
    pub endpoints: Arc<[Arc<Endpoint>]>,
    /// False: the Service was deleted or never there.
    pub exists: bool,
}

/// A port of the proxy's own pod.
#[derive(Clone, Default)]
pub struct Inbound {
    pub protocol: Protocol,
    /// None: anyone may call.
    pub access: Option<Arc<Access>>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outside(service: [&str; 2], pod: &str, identity: Option<&str>) -> bool {
        let labels = DstLabels {
            namespace: service[0].into(),
            service: service[1].into(),
            pod: pod.into(),
            ..DstLabels::default()
        };
        let addr = "10.1.2.3:80".parse().unwrap();
        let (identity, zone) = (identity.map(Into::into), "".into());
        Endpoint { addr, weight: 1, identity, zone, labels: Arc::new(labels) }.is_outside()
    }

    /// What somebody wrote down leads out; pods do not, nor does the API server, and what no Service leads to is judged as it is
    /// dialled.
    #[test]
    fn services_lead_out_where_no_pod_is() {
        assert!(outside(["shop", "db"], "", None) && outside(["shop", "kubernetes"], "", None));
        assert!(!outside(["shop", "db"], "db-1", None) && !outside(["shop", "db"], "", Some("spiffe://a/b")));
        assert!(!outside(["default", "kubernetes"], "", None) && !outside(["", ""], "", None));
    }
}
