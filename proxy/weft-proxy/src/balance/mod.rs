//! Which endpoint of a Service gets the next request: of two drawn by lot, the one that costs less.

pub mod breaker;
pub mod ewma;
pub mod node;

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;

use crate::discovery::{Endpoint, EndpointSet};
use crate::metrics::Tls;
use node::{Group, Node};

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

/// Draws before all endpoints are looked at: as a rule few of them are to be left out.
const DRAWS: usize = 4;

/// The endpoints of one Service port, as one worker sees them.
pub struct Balancer {
    updates: RefCell<watch::Receiver<Arc<EndpointSet>>>,
    nodes: RefCell<Rc<[Rc<Node>]>>,
    own_ips: Arc<[IpAddr]>,
    pub group: Rc<Group>,
    /// Since when the last endpoint of a Service that there still is has been gone.
    emptied: Cell<Option<Instant>>,
    waiting: Cell<usize>,
}

/// How long and how many requests wait for an endpoint when the last one has just gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Queue {
    pub timeout: Duration,
    /// For one Service port, on each worker.
    pub max: usize,
}

/// What came of waiting for an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waited {
    /// There is one now.
    Ready,
    /// There is none, and none is expected soon.
    Empty,
    /// Too many wait already.
    Full,
}

impl Balancer {
    pub fn new(updates: watch::Receiver<Arc<EndpointSet>>, own_ips: Arc<[IpAddr]>, group: Rc<Group>) -> Self {
        let balancer = Self {
            updates: RefCell::new(updates),
            nodes: RefCell::new(Rc::new([])),
            own_ips,
            group,
            emptied: Cell::new(None),
            waiting: Cell::new(0),
        };
        balancer.rebuild();
        balancer
    }

    /// Waits for an endpoint, if there was one until just now: the next one is probably on its way.
    pub async fn wait(&self, queue: Queue) -> Waited {
        if !self.is_empty() {
            return Waited::Ready;
        }
        let left = self.emptied.get().and_then(|since| queue.timeout.checked_sub(since.elapsed()));
        let Some(left) = left else { return Waited::Empty };
        if self.waiting.get() >= queue.max {
            return Waited::Full;
        }
        let _waiting = Waiting::new(&self.waiting);
        let filled = async {
            while self.is_empty() && self.emptied.get().is_some() {
                let mut updates = self.updates.borrow().clone();
                if updates.changed().await.is_err() {
                    return;
                }
            }
        };
        // Whatever ended it, what counts is whether there is one now.
        let _ = tokio::time::timeout(left, filled).await;
        if self.is_empty() { Waited::Empty } else { Waited::Ready }
    }

    fn is_empty(&self) -> bool {
        self.nodes().iter().all(|node| node.endpoint.weight == 0)
    }

    /// Brings the gauges of endpoints up to now.
    pub fn show(&self, now: Instant) {
        let nodes = self.nodes();
        let open: Vec<_> =
            nodes.iter().filter(|node| node.is_open(now)).map(|node| node.endpoint.addr).collect();
        self.group.counters.show(nodes.len() - open.len(), &open);
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
        let now = Instant::now();
        pick(&self.nodes(), lots, tried, now).inspect(|node| node.begin(now))
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
        let known: HashMap<_, _> = old.iter().map(|node| (node.endpoint.addr, node)).collect();
        let keep = |e: &Arc<Endpoint>| Some(Rc::clone(known.get(&e.addr).filter(|n| n.endpoint == *e)?));
        let fresh = |e: &Arc<Endpoint>| {
            let (tls, group) = (tls_of(e, &self.own_ips), Some(self.group.clone()));
            Rc::new(Node::new(e.clone(), tls, guess, group, now))
        };
        *self.nodes.borrow_mut() =
            set.endpoints.iter().map(|e| keep(e).unwrap_or_else(|| fresh(e))).collect();
        let emptied = set.endpoints.is_empty() && set.exists;
        self.emptied.set(emptied.then(|| self.emptied.get().or((!old.is_empty()).then_some(now))).flatten());
    }
}

/// One who waits for an endpoint.
struct Waiting<'a>(&'a Cell<usize>);

impl<'a> Waiting<'a> {
    fn new(count: &'a Cell<usize>) -> Self {
        count.set(count.get() + 1);
        Self(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
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

/// Of two endpoints drawn by lot the cheaper; those with an open breaker only when there are no others: better a
/// request that may fail than one that surely does.
pub fn pick(nodes: &[Rc<Node>], lots: &Lots, tried: &[Rc<Node>], now: Instant) -> Option<Rc<Node>> {
    let open = |n: &&Rc<Node>| !tried.iter().any(|t| Rc::ptr_eq(t, n)) && n.endpoint.weight > 0;
    let mut drawn = (0..DRAWS).filter_map(|_| draw(nodes, lots, now));
    if let Some(found) = drawn.find(|n| open(n) && !n.is_open(now)) {
        return Some(found.clone());
    }
    // The slow way: somebody is to be left out.
    let good: Vec<_> = nodes.iter().filter(open).filter(|n| !n.is_open(now)).cloned().collect();
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
            let (first, second) = (many.get(first)?, many.get(second)?);
            let cost = |node: &Node| node.load.cost(now) / f64::from(node.endpoint.weight.max(1));
            Some(if cost(second) < cost(first) { second } else { first })
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

    fn group() -> Option<Rc<Group>> {
        let counters = crate::metrics::Metrics::default().service(&DstLabels::default());
        Some(Group::new(crate::discovery::Breaker::default(), counters))
    }

    fn balancer(ids: &[u8]) -> (watch::Sender<Arc<EndpointSet>>, Balancer) {
        let (tx, rx) = watch::channel(set(ids));
        (tx, Balancer::new(rx, Arc::new([]), group().unwrap()))
    }

    fn set(ids: &[u8]) -> Arc<EndpointSet> {
        let endpoints = ids.iter().map(|n| endpoint(*n, 1)).collect();
        Arc::new(EndpointSet { version: String::new(), endpoints, exists: true })
    }

    const QUEUE: Queue = Queue { timeout: Duration::from_secs(3), max: 1 };

    fn nodes(weights: &[u32]) -> Vec<Rc<Node>> {
        let now = Instant::now();
        let make = |(n, w): (usize, &u32)| {
            Rc::new(Node::new(endpoint(n as u8, *w), Tls::NoIdentity, Duration::from_millis(1), group(), now))
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
        nodes[1].load.answered(Duration::from_secs(1), Instant::now());
        assert_eq!(0, shares(&nodes)[1]);
    }

    /// What each of two endpoints gets of a hundred requests a second: the first answers in 5 ms, the other never, and
    /// the client waits for `patience`.
    fn shares_beside_a_hung_one(patience: Duration) -> [usize; 2] {
        let (nodes, lots, start) = (nodes(&[1, 1]), Lots::new(7), Instant::now());
        let (mut under_way, mut counts) = (Vec::new(), [0; 2]);
        for n in 0..30_000 {
            let now = start + Duration::from_millis(10) * n;
            under_way.retain(|(which, began): &(usize, Instant)| {
                let (load, waited) = (&nodes[*which].load, now.saturating_duration_since(*began));
                match which {
                    0 => load.answered(Duration::from_millis(5), now),
                    _ if waited >= patience => load.given_up(waited, now),
                    _ => return true,
                }
                load.end();
                false
            });
            let picked = pick(&nodes, &lots, &[], now).unwrap();
            let which = usize::from(Rc::ptr_eq(&nodes[1], &picked));
            picked.load.begin();
            picked.load.ask(now);
            under_way.push((which, now));
            counts[which] += 1;
        }
        counts
    }

    /// An endpoint that hangs is only tried now and then, whether its clients give up or wait.
    #[test]
    fn hung_is_left_alone() {
        for patience in [Duration::from_secs(1), Duration::from_millis(50), Duration::from_secs(3600)] {
            let [_, hung] = shares_beside_a_hung_one(patience);
            assert!((1..100).contains(&hung), "{hung} of 30,000 while clients wait {patience:?}");
        }
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
        let (tx, balancer) = balancer(&[1, 2]);
        let before = balancer.nodes();
        tx.send_replace(set(&[2, 3]));
        let after = balancer.nodes();
        assert!(Rc::ptr_eq(&before[1], &after[0]));
        assert_eq!(2, after.len());
    }

    /// A Service that has no endpoint yet is not waited for: the error is told at once.
    #[tokio::test]
    async fn nobody_waits_for_the_first_endpoint() {
        assert_eq!(Waited::Empty, balancer(&[]).1.wait(QUEUE).await);
    }

    /// When the last endpoint has just gone, requests wait for the next one, but not more than so many.
    #[tokio::test(start_paused = true)]
    async fn requests_wait_for_the_next_endpoint() {
        let (tx, balancer) = balancer(&[1]);
        tx.send_replace(set(&[]));
        let late = async {
            tokio::task::yield_now().await;
            let full = balancer.wait(QUEUE).await;
            tx.send_replace(set(&[2]));
            full
        };
        assert_eq!((Waited::Ready, Waited::Full), tokio::join!(balancer.wait(QUEUE), late));
    }

    /// They wait no longer than the timeout, and not for a Service that was deleted.
    #[tokio::test(start_paused = true)]
    async fn waiting_ends() {
        let (tx, balancer) = balancer(&[1]);
        tx.send_replace(set(&[]));
        assert_eq!(Waited::Empty, balancer.wait(QUEUE).await);
        tx.send_replace(set(&[1]));
        balancer.nodes();
        tx.send_replace(Arc::default());
        assert_eq!(Waited::Empty, balancer.wait(QUEUE).await);
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
