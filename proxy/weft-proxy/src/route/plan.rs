//! An `Outbound`, ready to use: where each request goes.

use std::cell::OnceCell;
use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::try_join_all;
use http::request::Parts;
use http::{HeaderMap, StatusCode};
use tokio::sync::watch;

use super::budget::Budget;
use super::filters;
use super::table::Table;
use crate::balance::node::Group;
use crate::balance::{Balancer, Lots};
use crate::discovery::{
    self, Breaker, Destination, DstLabels, Endpoint, EndpointSet, Filter, Goal, Instead, Outbound, Protocol,
    Redirect, ResponseClass, Route, ServiceDestination, ServicePort, WeightedBackend,
};
use crate::error::{Code, Error};
use crate::metrics::{Metrics, Peer, Requests, Retries, Tls};
use crate::policy::Egress;
use crate::worker::Worker;

pub struct Plan {
    pub protocol: Protocol,
    /// Labels for requests that reach no endpoint.
    pub dst: Arc<DstLabels>,
    table: Arc<Table>,
    /// It leads out of the mesh; with what may be called there, unless that is anything.
    pub exit: Option<Option<Arc<Egress>>>,
    /// By the table's numbers.
    rules: Vec<Rule>,
    /// For requests that no rule matches.
    unmatched: Backend,
    /// What is dialled.
    own: Rc<Upstream>,
    balancers: Vec<Rc<Balancer>>,
    unreached: OnceCell<Rc<Requests>>,
}

/// A route.
pub struct Rule {
    pub name: Arc<str>,
    /// Its own, or that of the client's settings.
    pub timeout: Option<Duration>,
    /// Of one try.
    pub try_timeout: Option<Duration>,
    pub retry: Option<Retry>,
    pub single_try: bool,
    pub classes: Option<Arc<[ResponseClass]>>,
    pub filters: Vec<Filter>,
    backends: Backends,
    unreached: OnceCell<Rc<Requests>>,
}

/// How failed requests of a route are retried.
pub struct Retry {
    pub rules: discovery::Retry,
    pub budget: Arc<Budget>,
    pub counters: Retries,
}

/// What a request can come to.
pub enum Backend {
    Service(Rc<Upstream>),
    Instead(Reply),
}

/// What no application answers.
pub enum Reply {
    Error(StatusCode, Error),
    Redirect(Redirect),
}

pub struct Upstream {
    /// As errors name it: `svc/web.shop:80` or an address.
    pub name: String,
    pub balancer: Rc<Balancer>,
    pub filters: Vec<Filter>,
}

struct Backends {
    /// Each with the sum of weights up to it.
    others: Vec<(u64, Backend)>,
    last: Backend,
    sum: u64,
}

/// Where one request goes.
#[derive(Clone, Copy)]
pub struct Chosen<'plan> {
    pub rule: Option<&'plan Rule>,
    /// Length of the path's prefix that the rule matched.
    pub prefix: usize,
    pub backend: &'plan Backend,
}

impl<'plan> Chosen<'plan> {
    pub fn route(&self) -> Option<&'plan Arc<str>> {
        self.rule.map(|rule| &rule.name)
    }

    pub fn retry(&self) -> Option<&'plan Retry> {
        self.rule.and_then(|rule| rule.retry.as_ref())
    }

    /// Nothing is sent again, not even what reached nobody.
    pub fn single_try(&self) -> bool {
        self.rule.is_some_and(|rule| rule.single_try)
    }

    /// Rules first, then backends; the other way on the way back.
    pub fn change_request(&self, upstream: &Upstream, head: &mut Parts) -> Result<(), Error> {
        if let Some(rule) = self.rule {
            filters::change_request(&rule.filters, head, self.prefix)?;
        }
        filters::change_request(&upstream.filters, head, self.prefix)
    }

    pub fn change_response(&self, upstream: Option<&Upstream>, headers: &mut HeaderMap) {
        if let Some(upstream) = upstream {
            filters::change_response(&upstream.filters, headers);
        }
        if let Some(rule) = self.rule {
            filters::change_response(&rule.filters, headers);
        }
    }
}

impl Plan {
    pub async fn new(worker: &Worker, dst: SocketAddr, outbound: &Outbound) -> Result<Self, Error> {
        match &outbound.destination {
            Destination::Service(service) => Self::of_service(worker, service, outbound.protocol).await,
            Destination::Pod(endpoint) => Ok(Self::of_one(worker, endpoint.clone(), outbound.protocol)),
            Destination::NotInMesh(egress) => {
                let labels = Arc::new(DstLabels::default());
                let endpoint = Endpoint { addr: dst, weight: 1, identity: None, zone: "".into(), labels };
                let exit = Some(egress.clone());
                Ok(Self { exit, ..Self::of_one(worker, Arc::new(endpoint), outbound.protocol) })
            }
        }
    }

    async fn of_service(worker: &Worker, to: &ServiceDestination, protocol: Protocol) -> Result<Self, Error> {
        let dst = DstLabels {
            namespace: to.service.namespace.to_string(),
            service: to.service.name.to_string(),
            ..DstLabels::default()
        };
        let balancers = balancers(worker, to).await?;
        let own = Upstream::new(&to.service, &balancers, Vec::new());
        let rule = |route: &Route| {
            let counters = || worker.shared.metrics.retries(&dst, &route.name);
            let retry = route.retry.clone().zip(to.retry_budget.clone());
            let retry = retry.map(|(rules, budget)| Retry { rules, budget, counters: counters() });
            let timeout = route.request_timeout.or(worker.shared.config.request_timeout);
            Rule::new(route, timeout, retry, Backends::of(route, &own, &balancers))
        };
        let unmatched =
            || Error::new(Code::NoRoute, format!("no route of {} matches the request", to.service));
        Ok(Self {
            protocol,
            table: to.table.clone(),
            rules: to.routes.iter().map(rule).collect(),
            unmatched: if to.no_match_not_found { unmatched().into() } else { Backend::Service(own.clone()) },
            own,
            balancers: balancers.into_values().collect(),
            exit: None,
            unreached: OnceCell::new(),
            dst: Arc::new(dst),
        })
    }

    fn of_one(worker: &Worker, endpoint: Arc<Endpoint>, protocol: Protocol) -> Self {
        let (name, dst) = (endpoint.addr.to_string(), endpoint.labels.clone());
        let set = EndpointSet { version: String::new(), endpoints: Arc::new([endpoint]), exists: true };
        let (_, fixed) = watch::channel(Arc::new(set));
        let group = Group::new(Breaker::default(), worker.shared.metrics.service(&dst));
        let balancer = Rc::new(Balancer::new(fixed, worker.shared.own_ips.clone(), group));
        let own = Rc::new(Upstream { name, balancer: balancer.clone(), filters: Vec::new() });
        Self {
            protocol,
            dst,
            table: Arc::new(Table::new(Arc::default())),
            rules: Vec::new(),
            unmatched: Backend::Service(own.clone()),
            own,
            balancers: vec![balancer],
            exit: None,
            unreached: OnceCell::new(),
        }
    }

    /// The first rule that matches, and one of its backends by lot.
    pub fn choose(&self, head: &Parts, lots: &Lots) -> Chosen<'_> {
        let found = self.table.find(head);
        match found.and_then(|found| Some((self.rules.get(found.route)?, found.prefix))) {
            Some((rule, prefix)) => Chosen { rule: Some(rule), prefix, backend: rule.backends.draw(lots) },
            None => Chosen { rule: None, prefix: 0, backend: &self.unmatched },
        }
    }

    /// Counters for requests that reach no endpoint.
    pub fn unreached(&self, rule: Option<&Rule>, metrics: &Metrics) -> Rc<Requests> {
        let peer = || Peer::new("outbound", Tls::NoIdentity, None, &self.dst);
        let (known, route) = rule.map_or((&self.unreached, ""), |rule| (&rule.unreached, &rule.name));
        known.get_or_init(|| Rc::new(metrics.requests(&peer(), route))).clone()
    }

    /// Where a connection goes that is no HTTP.
    pub fn connection(&self) -> &Upstream {
        &self.own
    }

    /// The names of its routes.
    pub fn routes(&self) -> HashSet<&str> {
        self.rules.iter().map(|rule| &*rule.name).collect()
    }

    pub fn balancers(&self) -> &[Rc<Balancer>] {
        &self.balancers
    }
}

/// Of all Services that requests may go to, asked for at once. The breaker of the one that is dialled holds for them.
async fn balancers(
    worker: &Worker,
    to: &ServiceDestination,
) -> Result<HashMap<ServicePort, Rc<Balancer>>, Error> {
    let backends = to.routes.iter().filter(|route| route.instead.is_none()).flat_map(|route| &route.backends);
    let named = backends.filter_map(|backend| match &backend.goal {
        Goal::Service(service, _) => Some(service),
        Goal::Instead(_) => None,
    });
    let mut services: Vec<_> = named.chain([&to.service]).collect();
    services.sort_unstable();
    services.dedup();
    let found = try_join_all(services.iter().map(|service| worker.balancer(service, &to.service))).await?;
    found.iter().for_each(|balancer| balancer.group.rules.set(to.breaker));
    Ok(services.into_iter().cloned().zip(found).collect())
}

impl Rule {
    fn new(route: &Route, timeout: Option<Duration>, retry: Option<Retry>, backends: Backends) -> Self {
        Self {
            name: route.name.clone(),
            timeout,
            try_timeout: route.backend_timeout,
            retry,
            single_try: route.single_try,
            classes: route.classes.clone(),
            filters: route.filters.clone(),
            backends,
            unreached: OnceCell::new(),
        }
    }
}

impl Upstream {
    fn new(
        service: &ServicePort,
        balancers: &HashMap<ServicePort, Rc<Balancer>>,
        filters: Vec<Filter>,
    ) -> Rc<Self> {
        Rc::new(Self { name: service.to_string(), balancer: balancers[service].clone(), filters })
    }
}

impl From<Error> for Backend {
    fn from(error: Error) -> Self {
        Self::Instead(Reply::Error(error.code.status(), error))
    }
}

impl From<&Instead> for Backend {
    fn from(instead: &Instead) -> Self {
        Self::Instead(match instead {
            Instead::Answer { status, message } => Reply::Error(*status, Error::new(Code::Route, message)),
            Instead::Redirect(redirect) => Reply::Redirect(redirect.clone()),
        })
    }
}

impl Backends {
    fn of(route: &Route, own: &Rc<Upstream>, balancers: &HashMap<ServicePort, Rc<Balancer>>) -> Self {
        if let Some(instead) = &route.instead {
            return Self::only(instead.into());
        }
        if route.backends.is_empty() {
            return Self::only(Backend::Service(own.clone()));
        }
        let backend = |backend: &WeightedBackend| match &backend.goal {
            Goal::Instead(instead) => instead.into(),
            Goal::Service(service, filters) => {
                Backend::Service(Upstream::new(service, balancers, filters.clone()))
            }
        };
        Self::weighted(route.backends.iter().map(|b| (b.weight, backend(b))))
    }

    fn weighted(backends: impl Iterator<Item = (u32, Backend)>) -> Self {
        let mut sum = 0;
        let mut others: Vec<_> = backends
            .filter(|(weight, _)| *weight > 0)
            .map(|(weight, backend)| {
                sum += u64::from(weight);
                (sum, backend)
            })
            .collect();
        match others.pop() {
            Some((sum, last)) => Self { others, last, sum },
            None => Self::only(Error::new(Code::Route, "no backend of the route has a weight").into()),
        }
    }

    fn only(last: Backend) -> Self {
        Self { others: Vec::new(), last, sum: 1 }
    }

    fn draw(&self, lots: &Lots) -> &Backend {
        if self.others.is_empty() {
            return &self.last;
        }
        let lot = lots.below(self.sum as usize) as u64;
        let place = self.others.partition_point(|(up_to, _)| *up_to <= lot);
        self.others.get(place).map_or(&self.last, |(_, backend)| backend)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn backend(n: u16) -> Backend {
        Backend::Instead(Reply::Error(StatusCode::from_u16(n).unwrap(), Error::new(Code::Route, "")))
    }

    fn status(backend: &Backend) -> usize {
        let Backend::Instead(Reply::Error(status, _)) = backend else { panic!("something else") };
        status.as_u16().into()
    }

    fn shares(weights: &[u32]) -> Vec<usize> {
        let number = |n: usize| n as u16 + 200;
        let backends = Backends::weighted(weights.iter().enumerate().map(|(n, w)| (*w, backend(number(n)))));
        let lots = Lots::new(7);
        let mut counts = vec![0; weights.len()];
        for _ in 0..1000 {
            counts[status(backends.draw(&lots)) - 200] += 1;
        }
        counts
    }

    /// Backends get requests by their weights; weight zero gets none.
    #[test]
    fn backends_share_by_weight() {
        let shares = shares(&[90, 0, 10]);
        assert!((850..950).contains(&shares[0]) && shares[1] == 0, "{shares:?}");
    }

    /// When nobody has a weight, nobody gets the request.
    #[test]
    fn no_weights_no_backend() {
        let backends = Backends::weighted([(0, backend(200))].into_iter());
        assert_eq!(500, status(backends.draw(&Lots::new(1))));
    }
}
