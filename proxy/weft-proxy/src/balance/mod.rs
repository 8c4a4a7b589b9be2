//! Which endpoint of a Service gets the next request: of two drawn by lot, the one that costs less.

pub mod ewma;
pub mod node;

use std::cell::{Cell, RefCell};
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;

use crate::discovery::{Endpoint, EndpointSet};
use crate::metrics::Tls;
use node::Node;

/// A small generator of lots; belongs to one worker.
pub struct Lots(Cell<u64>);

impl Lots {
    pub fn new(seed: u64) -> Self {
        Self(Cell::new(seed | 1))
    }

    /// A number below `n` (xorshift64*).
    pub fn below(&self, n: usize) -> usize {
        let mut x = self.0.get();
        x ^= x >> 12;
        x ^= x << 25;
        x ^= x >> 27;
        self.0.set(x);
        let spread = x.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32;
        ((spread * n as u64) >> 32) as usize
    }
}

/// The endpoints of one Service port, as one worker sees them.
pub struct Balancer {
    updates: RefCell<watch::Receiver<Arc<EndpointSet>>>,
    nodes: RefCell<Rc<[Rc<Node>]>>,
    own_ips: Arc<[IpAddr]>,
}

impl Balancer {
    pub fn new(updates: watch::Receiver<Arc<EndpointSet>>, own_ips: Arc<[IpAddr]>) -> Self {
        let balancer = Self { updates: RefCell::new(updates), nodes: RefCell::new(Rc::new([])), own_ips };
        balancer.rebuild();
        balancer
    }

    /// The endpoints now.
    pub fn nodes(&self) -> Rc<[Rc<Node>]> {
        // An error means that nobody updates any more: what is known stays.
        if self.updates.borrow().has_changed().unwrap_or(false) {
            self.rebuild();
        }
        self.nodes.borrow().clone()
    }

    /// The endpoint for the next request, if there is one that was not `tried` yet.
    pub fn pick(&self, lots: &Lots, tried: &[Rc<Node>]) -> Option<Rc<Node>> {
        pick(&self.nodes(), lots, tried, Instant::now())
    }

    /// Waits until the set of endpoints differs, but at most `limit`.
    pub async fn changed(&self, limit: Duration) {
        let mut updates = self.updates.borrow().clone();
        let _ = tokio::time::timeout(limit, updates.changed()).await;
    }

    /// Takes the newest set; endpoints that stay keep their connections and what is known of them.
    fn rebuild(&self) {
        let set = self.updates.borrow_mut().borrow_and_update().clone();
        let old = self.nodes.borrow().clone();
        let now = Instant::now();
        let guess = guess(&old, now);
        let keep = |e: &Arc<Endpoint>| old.iter().find(|n| n.endpoint == *e).cloned();
        let fresh = |e: &Arc<Endpoint>| Rc::new(Node::new(e.clone(), tls_of(e, &self.own_ips), guess, now));
        *self.nodes.borrow_mut() =
            set.endpoints.iter().map(|e| keep(e).unwrap_or_else(|| fresh(e))).collect();
    }
}

/// A pod that calls itself stays in plain text: its own traffic over `lo` is not redirected.
pub fn tls_of(endpoint: &Endpoint, own_ips: &[IpAddr]) -> Tls {
    match &endpoint.identity {
        _ if own_ips.contains(&endpoint.addr.ip()) => Tls::Loopback,
        Some(_) => Tls::True,
        None => Tls::NoIdentity,
    }
}

/// What a new endpoint probably takes: as long as the others do.
fn guess(nodes: &[Rc<Node>], now: Instant) -> Duration {
    match u32::try_from(nodes.len()) {
        Ok(n @ 1..) => nodes.iter().map(|node| node.load.latency(now)).sum::<Duration>() / n,
        _ => ewma::UNKNOWN,
    }
}

/// Of two endpoints drawn by lot the cheaper; unreachable ones only when there are no others.
pub fn pick(nodes: &[Rc<Node>], lots: &Lots, tried: &[Rc<Node>], now: Instant) -> Option<Rc<Node>> {
    let open = |n: &&Rc<Node>| !tried.iter().any(|t| Rc::ptr_eq(t, n)) && n.endpoint.weight > 0;
    if tried.is_empty()
        && let Some(found) = draw(nodes, lots, now).filter(|n| open(n) && !n.is_avoided(now))
    {
        return Some(found.clone());
    }
    // The slow way: somebody is to be left out.
    let good: Vec<_> = nodes.iter().filter(open).filter(|n| !n.is_avoided(now)).cloned().collect();
    if !good.is_empty() {
        return draw(&good, lots, now).cloned();
    }
    let rest: Vec<_> = nodes.iter().filter(open).cloned().collect();
    draw(&rest, lots, now).cloned()
}

fn draw<'a>(nodes: &'a [Rc<Node>], lots: &Lots, now: Instant) -> Option<&'a Rc<Node>> {
    match nodes {
        [] => None,
        [only] => Some(only),
        many => {
            let first = lots.below(many.len());
            let second = (first + 1 + lots.below(many.len() - 1)) % many.len();
            let cost = |i: usize| many[i].load.cost(now) / f64::from(many[i].endpoint.weight.max(1));
            Some(&many[if cost(second) < cost(first) { second } else { first }])
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::discovery::DstLabels;

    fn endpoint(n: u8, weight: u32) -> Arc<Endpoint> {
        let addr = ([10, 0, 0, n], 80).into();
        Arc::new(Endpoint {
            addr,
            weight,
            identity: None,
            zone: "".into(),
            labels: Arc::new(DstLabels::default()),
        })
    }

    fn nodes(weights: &[u32]) -> Vec<Rc<Node>> {
        let now = Instant::now();
        let make = |(n, w): (usize, &u32)| {
            Rc::new(Node::new(endpoint(n as u8, *w), Tls::NoIdentity, Duration::from_millis(1), now))
        };
        weights.iter().enumerate().map(make).collect()
    }

    fn shares(nodes: &[Rc<Node>]) -> Vec<usize> {
        let lots = Lots::new(42);
        let mut counts = vec![0; nodes.len()];
        for _ in 0..1000 {
            let picked = pick(nodes, &lots, &[], Instant::now()).unwrap();
            counts[nodes.iter().position(|n| Rc::ptr_eq(n, &picked)).unwrap()] += 1;
        }
        counts
    }

    /// Equal endpoints get equal shares.
    #[test]
    fn equals_share() {
        assert!(shares(&nodes(&[1, 1, 1, 1])).iter().all(|n| (150..350).contains(n)));
    }

    /// The slowest of three gets nothing while it is the slowest.
    #[test]
    fn slowest_is_left_alone() {
        let nodes = nodes(&[1, 1, 1]);
        nodes[1].load.observe(Duration::from_secs(1), Instant::now());
        assert_eq!(0, shares(&nodes)[1]);
    }

    /// An endpoint that does not connect is avoided, unless it is all there is.
    #[test]
    fn unreachable_is_avoided() {
        let nodes = nodes(&[1, 1]);
        nodes[0].missed(Instant::now());
        assert_eq!(vec![0, 1000], shares(&nodes));
        assert_eq!(vec![1000], shares(&nodes[..1]));
    }

    /// Weight zero takes an endpoint out.
    #[test]
    fn no_weight_no_requests() {
        assert_eq!(vec![0, 1000], shares(&nodes(&[0, 1])));
    }

    /// What was tried is not tried again.
    #[test]
    fn tried_are_left_out() {
        let nodes = nodes(&[1, 1]);
        let lots = Lots::new(1);
        assert!(Rc::ptr_eq(&nodes[1], &pick(&nodes, &lots, &nodes[..1], Instant::now()).unwrap()));
        assert!(pick(&nodes, &lots, &nodes, Instant::now()).is_none());
    }

    /// An update keeps what is known of endpoints that stay.
    #[test]
    fn updates_keep_nodes() {
        let set = |ids: &[u8]| {
            let endpoints = ids.iter().map(|n| endpoint(*n, 1)).collect();
            Arc::new(EndpointSet { version: String::new(), endpoints, exists: true })
        };
        let (tx, rx) = watch::channel(set(&[1, 2]));
        let balancer = Balancer::new(rx, Arc::new([]));
        let before = balancer.nodes();
        tx.send_replace(set(&[2, 3]));
        let after = balancer.nodes();
        assert!(Rc::ptr_eq(&before[1], &after[0]));
        assert_eq!(2, after.len());
    }

    /// A pod that is its own endpoint is called in plain text.
    #[test]
    fn own_address_is_loopback() {
        let mut e = Endpoint::clone(&endpoint(1, 1));
        e.identity = Some("spiffe://x".into());
        assert_eq!(Tls::True, tls_of(&e, &[]));
        assert_eq!(Tls::Loopback, tls_of(&e, &[e.addr.ip()]));
    }
}
