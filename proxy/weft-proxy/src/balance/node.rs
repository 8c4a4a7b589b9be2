//! An endpoint as one worker sees it: its load, its connections, its counters, and whether it was reachable.

use std::cell::{Cell, OnceCell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::ewma::Load;
use crate::discovery::{DstLabels, Endpoint};
use crate::http::pool::Pool;
use crate::metrics::{Connections, Metrics, Peer, Requests, Tls};

/// An endpoint that could not be reached is avoided first for this long, then twice as long each time.
const PENALTY: Duration = Duration::from_millis(500);
const MAX_PENALTY: Duration = Duration::from_secs(10);

pub struct Node {
    pub endpoint: Arc<Endpoint>,
    /// "outbound", or "inbound" for the pod's own application.
    pub direction: &'static str,
    /// The `tls` label of what goes to it.
    pub tls: Tls,
    pub load: Load,
    pub pool: Pool,
    unreachable: Cell<u32>,
    avoid_until: Cell<Option<Instant>>,
    requests: RefCell<Vec<(Option<Arc<str>>, Rc<Requests>)>>,
    connections: OnceCell<Connections>,
}

impl Node {
    pub fn new(endpoint: Arc<Endpoint>, tls: Tls, guess: Duration, now: Instant) -> Self {
        Self {
            endpoint,
            direction: "outbound",
            tls,
            load: Load::new(guess, now),
            pool: Pool::default(),
            unreachable: Cell::new(0),
            avoid_until: Cell::new(None),
            requests: RefCell::default(),
            connections: OnceCell::new(),
        }
    }

    /// The pod's own application.
    pub fn app(endpoint: Arc<Endpoint>) -> Self {
        Self {
            direction: "inbound",
            ..Self::new(endpoint, Tls::NoIdentity, super::ewma::UNKNOWN, Instant::now())
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
        let mut known = self.requests.borrow_mut();
        if let Some((_, found)) = known.iter().find(|(name, _)| name.as_ref() == route) {
            return found.clone();
        }
        let made = Rc::new(metrics.requests(&self.peer(self.tls), route.map_or("", |r| r)));
        known.push((route.cloned(), made.clone()));
        made
    }

    pub fn connections(&self, metrics: &Metrics) -> &Connections {
        self.connections.get_or_init(|| metrics.connections(&self.peer(self.tls)))
    }

    /// The labels of this endpoint, with another reason for the lack of mesh TLS if need be.
    pub fn peer(&self, tls: Tls) -> Peer {
        Peer::new(self.direction, tls, self.identity().map(|id| &**id), self.labels())
    }

    pub fn is_avoided(&self, now: Instant) -> bool {
        self.avoid_until.get().is_some_and(|until| now < until)
    }

    /// A connection came about.
    pub fn reached(&self) {
        self.unreachable.set(0);
        self.avoid_until.set(None);
    }

    /// No connection came about.
    pub fn missed(&self, now: Instant) {
        let n = self.unreachable.get();
        self.unreachable.set(n.saturating_add(1));
        self.avoid_until.set(Some(now + MAX_PENALTY.min(PENALTY * 2u32.saturating_pow(n))));
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
