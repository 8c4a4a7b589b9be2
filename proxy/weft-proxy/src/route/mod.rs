//! From a dialled address to routes and endpoints, as discovery says, compiled once for each change.

pub mod budget;

use std::cell::{Cell, OnceCell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::Response;
use http::request::Parts;
use tokio::sync::watch;

use crate::balance::node::Group;
use crate::balance::{Balancer, Lots};
use crate::discovery::{
    Breaker, Destination, DstLabels, Endpoint, EndpointSet, Outbound, Protocol, Route, ServiceDestination,
    WeightedBackend,
};
use crate::error::Error;
use crate::http::headers;
use crate::metrics::{Metrics, Peer, Requests, Retries, Tls};
use crate::worker::Worker;
use budget::Budget;

/// What a worker knows of an address that its application dials.
pub struct Target {
    pub dst: SocketAddr,
    updates: RefCell<watch::Receiver<Arc<Outbound>>>,
    plan: RefCell<Rc<Plan>>,
    /// A port that spoke HTTP is waited for, never taken for opaque because of silence.
    pub spoke_http: Cell<bool>,
    /// The server spoke first: the next client's silence need not be waited for.
    pub server_first: Cell<bool>,
    pub used: Cell<Instant>,
}

/// An `Outbound`, ready to use.
pub struct Plan {
    pub protocol: Protocol,
    /// As errors name it: `svc/web.shop:80` or an address.
    pub name: String,
    /// Labels for requests that reach no endpoint.
    pub dst: Arc<DstLabels>,
    routes: Vec<Planned>,
    default: Backends,
    budget: Option<Rc<Budget>>,
    unreached: OnceCell<Rc<Requests>>,
}

struct Planned {
    route: Route,
    backends: Backends,
    retry: Option<Rc<Retry>>,
}

/// How failed requests of a route are retried.
pub struct Retry {
    pub budget: Rc<Budget>,
    pub counters: Retries,
}

/// Balancers with the sum of weights up to each.
struct Backends(Vec<(u64, Rc<Balancer>)>);

/// Where one request goes.
pub struct Chosen {
    pub route: Option<Arc<str>>,
    pub timeout: Option<Duration>,
    pub retry: Option<Rc<Retry>>,
    pub balancer: Rc<Balancer>,
}

impl Target {
    pub async fn new(
        worker: &Worker,
        dst: SocketAddr,
        mut updates: watch::Receiver<Arc<Outbound>>,
    ) -> Result<Self, Error> {
        let outbound = updates.borrow_and_update().clone();
        let plan = Plan::new(worker, dst, &outbound, None).await?;
        Ok(Self {
            dst,
            updates: RefCell::new(updates),
            plan: RefCell::new(Rc::new(plan)),
            spoke_http: Cell::new(false),
            server_first: Cell::new(false),
            used: Cell::new(Instant::now()),
        })
    }

    /// The plan for now; a change that cannot be followed yet leaves the old one.
    pub async fn plan(&self, worker: &Worker) -> Rc<Plan> {
        let changed = self.updates.borrow().has_changed().unwrap_or(false);
        if changed {
            let outbound = self.updates.borrow_mut().borrow_and_update().clone();
            let budget = self.plan.borrow().budget.clone();
            match Box::pin(Plan::new(worker, self.dst, &outbound, budget)).await {
                Ok(plan) => *self.plan.borrow_mut() = Rc::new(plan),
                Err(error) => {
                    self.updates.borrow_mut().mark_changed();
                    tracing::warn!(%error, dst = %self.dst, "keeps its old routes");
                }
            }
        }
        self.plan.borrow().clone()
    }

    /// A response came: the server's own, and not what a proxy has to say, shows that the port speaks HTTP.
    pub fn heard<B>(&self, response: &Response<B>) {
        if !response.headers().contains_key(headers::ERROR) {
            self.spoke_http.set(true);
        }
    }

    /// Closes idle connections to its endpoints.
    pub fn sweep(&self, now: Instant) {
        let plan = self.plan.borrow();
        for (_, balancer) in plan.routes.iter().map(|p| &p.backends).chain([&plan.default]).flat_map(|b| &b.0)
        {
            balancer.nodes().iter().for_each(|node| node.pool.sweep(now));
        }
    }
}

impl Plan {
    /// `budget`: what is left of the retries by the plan before.
    async fn new(
        worker: &Worker,
        dst: SocketAddr,
        outbound: &Outbound,
        budget: Option<Rc<Budget>>,
    ) -> Result<Self, Error> {
        match &outbound.destination {
            Destination::Service(service) => {
                Self::of_service(worker, service, outbound.protocol, budget).await
            }
            Destination::Pod(endpoint) => Ok(Self::of_one(worker, endpoint.clone(), outbound.protocol)),
            Destination::NotInMesh => {
                let labels = Arc::new(DstLabels::default());
                let endpoint = Endpoint { addr: dst, weight: 1, identity: None, zone: "".into(), labels };
                Ok(Self::of_one(worker, Arc::new(endpoint), outbound.protocol))
            }
        }
    }

    async fn of_service(
        worker: &Worker,
        to: &ServiceDestination,
        protocol: Protocol,
        budget: Option<Rc<Budget>>,
    ) -> Result<Self, Error> {
        let own = [WeightedBackend { service: to.service.clone(), weight: 1 }];
        let dst = DstLabels {
            namespace: to.service.namespace.to_string(),
            service: to.service.name.to_string(),
            ..DstLabels::default()
        };
        let fresh = |rules| Rc::new(Budget::new(rules, Instant::now()));
        let budget = to
            .retry_budget
            .map(|rules| budget.filter(|old| old.rules == rules).unwrap_or_else(|| fresh(rules)));
        let mut routes = Vec::with_capacity(to.routes.len());
        for route in to.routes.iter() {
            let backends = if route.backends.is_empty() { &own[..] } else { &route.backends[..] };
            let backends = Backends::new(worker, backends, to.breaker).await?;
            let counters = || worker.shared.metrics.retries(&dst, &route.name);
            let retry = budget.clone().filter(|_| route.retryable);
            let retry = retry.map(|budget| Rc::new(Retry { budget, counters: counters() }));
            routes.push(Planned { route: route.clone(), backends, retry });
        }
        Ok(Self {
            protocol,
            name: to.service.to_string(),
            dst: Arc::new(dst),
            routes,
            default: Backends::new(worker, &own, to.breaker).await?,
            budget,
            unreached: OnceCell::new(),
        })
    }

    fn of_one(worker: &Worker, endpoint: Arc<Endpoint>, protocol: Protocol) -> Self {
        let (name, dst) = (endpoint.addr.to_string(), endpoint.labels.clone());
        let set = EndpointSet { version: String::new(), endpoints: Arc::new([endpoint]), exists: true };
        let (_, fixed) = watch::channel(Arc::new(set));
        let group = Group::new(Breaker::default(), worker.shared.metrics.service(&dst));
        let balancer = Rc::new(Balancer::new(fixed, worker.shared.own_ips.clone(), group));
        let default = Backends(vec![(1, balancer)]);
        Self { protocol, name, dst, routes: Vec::new(), default, budget: None, unreached: OnceCell::new() }
    }

    /// The first route that matches, and one of its backends by lot.
    /// `default`: the timeout of requests whose route has none.
    pub fn choose(&self, head: &Parts, lots: &Lots, default: Option<Duration>) -> Chosen {
        let found = self.routes.iter().find(|p| p.route.matches(head.method.as_str(), head.uri.path()));
        match found {
            Some(planned) => Chosen {
                route: Some(planned.route.name.clone()),
                timeout: planned.route.request_timeout.or(default),
                retry: planned.retry.clone(),
                balancer: planned.backends.draw(lots),
            },
            None => Chosen { route: None, timeout: default, retry: None, balancer: self.default.draw(lots) },
        }
    }

    /// Counters for requests that reach no endpoint.
    pub fn unreached(&self, metrics: &Metrics) -> Rc<Requests> {
        let peer = || Peer::new("outbound", Tls::NoIdentity, None, &self.dst);
        self.unreached.get_or_init(|| Rc::new(metrics.requests(&peer(), ""))).clone()
    }

    /// Where a connection goes that is no HTTP.
    pub fn connection(&self, lots: &Lots) -> Rc<Balancer> {
        self.default.draw(lots)
    }
}

impl Backends {
    /// `breaker` holds for all of them: the Service that is dialled decides.
    async fn new(worker: &Worker, backends: &[WeightedBackend], breaker: Breaker) -> Result<Self, Error> {
        let mut sum = 0;
        let mut all = Vec::with_capacity(backends.len());
        for backend in backends {
            sum += u64::from(backend.weight);
            let balancer = worker.balancer(&backend.service).await?;
            balancer.group.rules.set(breaker);
            all.push((sum, balancer));
        }
        Ok(Self(all))
    }

    fn draw(&self, lots: &Lots) -> Rc<Balancer> {
        let sum = self.0.last().map_or(0, |(sum, _)| *sum);
        let lot = if self.0.len() == 1 || sum == 0 { 0 } else { lots.below(sum as usize) as u64 };
        self.0[self.0.partition_point(|(up_to, _)| *up_to <= lot).min(self.0.len() - 1)].1.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn balancer() -> Rc<Balancer> {
        let counters = Metrics::default().service(&DstLabels::default());
        let group = Group::new(Breaker::default(), counters);
        Rc::new(Balancer::new(watch::channel(Arc::new(EndpointSet::default())).1, Arc::new([]), group))
    }

    /// Backends get requests by their weights; weight zero gets none.
    #[test]
    fn backends_share_by_weight() {
        let all = [balancer(), balancer(), balancer()];
        let backends = Backends(vec![(90, all[0].clone()), (90, all[1].clone()), (100, all[2].clone())]);
        let lots = Lots::new(7);
        let mut counts = [0; 3];
        for _ in 0..1000 {
            let drawn = backends.draw(&lots);
            counts[all.iter().position(|b| Rc::ptr_eq(b, &drawn)).unwrap()] += 1;
        }
        assert_eq!(0, counts[1]);
        assert!((850..950).contains(&counts[0]), "{counts:?}");
    }
}
