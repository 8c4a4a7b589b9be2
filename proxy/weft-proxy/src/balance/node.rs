//! An endpoint as one worker sees it: its load, its connections, its counters, its breaker.

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;

use super::breaker::{Breaker, Reason};
use super::ewma::Load;
use crate::connect::MAX_DIALS;
use crate::discovery::{self, DstLabels, Endpoint};
use crate::http::pool::Pool;
use crate::metrics::{Connections, Metrics, Peer, Requests, Service, Tls};
use crate::tap::Direction;

/// What the endpoints of one Service have in common.
pub struct Group {
    pub rules: Cell<discovery::Breaker>,
    pub counters: Service,
}

impl Group {
    pub fn new(rules: discovery::Breaker, counters: Service) -> Rc<Self> {
        Rc::new(Self { rules: Cell::new(rules), counters })
    }
}

pub struct Node {
    pub endpoint: Arc<Endpoint>,
    /// Inbound: the pod's own application.
    pub direction: Direction,
    /// The `tls` label of what goes to it.
    pub tls: Tls,
    pub load: Load,
    pub pool: Pool,
    /// Turns to connect.
    pub dials: Semaphore,
    breaker: Breaker,
    /// None: the own application, which there is no way around.
    group: Option<Rc<Group>>,
    requests: RefCell<Option<Rc<Requests>>>,
    /// Of requests by a route, of which there may be many.
    routed: RefCell<HashMap<Arc<str>, Rc<Requests>>>,
    connections: OnceCell<Connections>,
}

impl Node {
    pub fn new(
        endpoint: Arc<Endpoint>,
        tls: Tls,
        guess: Duration,
        group: Option<Rc<Group>>,
        now: Instant,
    ) -> Self {
        Self {
            endpoint,
            direction: Direction::Outbound,
            tls,
            load: Load::new(guess, now),
            pool: Pool::default(),
            dials: Semaphore::new(MAX_DIALS),
            breaker: Breaker::new(now),
            group,
            requests: RefCell::default(),
            routed: RefCell::default(),
            connections: OnceCell::new(),
        }
    }

    /// The pod's own application.
    pub fn app(endpoint: Arc<Endpoint>) -> Self {
        Self {
            direction: Direction::Inbound,
            ..Self::new(endpoint, Tls::NoIdentity, super::ewma::UNKNOWN, None, Instant::now())
        }
    }

    /// The SPIFFE ID that must be shown; none: plain text.
    pub fn identity(&self) -> Option<&Arc<str>> {
        self.endpoint.identity.as_ref().filter(|_| self.tls == Tls::True)
    }

    pub fn labels(&self) -> &Arc<DstLabels> {
        &self.endpoint.labels
    }

    /// Counters for requests by `route`, looked up once.
    pub fn requests(&self, route: Option<&Arc<str>>, metrics: &Metrics) -> Rc<Requests> {
        let make = |route: &str| Rc::new(metrics.requests(&self.peer(self.tls), route));
        let Some(route) = route else {
            return self.requests.borrow_mut().get_or_insert_with(|| make("")).clone();
        };
        let mut known = self.routed.borrow_mut();
        if let Some(found) = known.get(route) {
            return found.clone();
        }
        known.entry(route.clone()).or_insert(make(route)).clone()
    }

    /// Lets go of the counters of routes that are gone, and of those for which there was no room: perhaps there is now.
    pub fn trim(&self, stays: impl Fn(&str) -> bool) {
        self.requests.borrow_mut().take_if(|requests| requests.is_overflow());
        self.routed.borrow_mut().retain(|route, requests| stays(route) && !requests.is_overflow());
    }

    pub fn connections(&self, metrics: &Metrics) -> &Connections {
        self.connections.get_or_init(|| metrics.connections(&self.peer(self.tls)))
    }

    /// The labels of this endpoint, with another reason for the lack of mesh TLS if need be.
    pub fn peer(&self, tls: Tls) -> Peer {
        Peer::new(self.direction.as_str(), tls, self.identity().map(|id| &**id), self.labels())
    }

    /// Whether the breaker is open: requests go elsewhere if they can.
    pub fn is_open(&self, now: Instant) -> bool {
        self.breaker.is_open(now)
    }

    /// It was picked; perhaps as the probe after a penalty.
    pub fn begin(&self, now: Instant) {
        self.breaker.begin(now);
    }

    /// A connection came about.
    pub fn reached(&self) {
        self.breaker.connected();
    }

    /// No connection came about.
    pub fn missed(&self, now: Instant) {
        if let Some(group) = &self.group
            && self.breaker.unreachable(rand::random(), now)
        {
            self.opened(group, Reason::Unreachable);
        }
    }

    /// A response was a success or a failure, by the one classifier.
    pub fn judge(&self, success: bool, now: Instant) {
        let Some(group) = &self.group else { return };
        if success {
            return self.breaker.succeeded(&group.rules.get(), now);
        }
        if let Some(reason) = self.breaker.failed(&group.rules.get(), rand::random(), now) {
            self.opened(group, reason);
        }
    }

    fn opened(&self, group: &Group, reason: Reason) {
        tracing::info!(endpoint = %self.endpoint.addr, reason = reason.as_str(), "breaker opens");
        group.counters.tripped(reason);
    }
}

/// One request or connection under way to a node.
pub struct InFlight(pub Rc<Node>);

impl InFlight {
    pub fn new(node: Rc<Node>) -> Self {
        node.load.begin();
        Self(node)
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.load.end();
    }
}
