//! What one worker thread keeps to itself, and what all of them share.

use std::cell::{OnceCell, RefCell};
use std::collections::{HashMap, HashSet};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::net::TcpStream;

use crate::balance::node::{Group, Node};
use crate::balance::{Balancer, Lots};
use crate::config::Config;
use crate::denial::Denials;
use crate::discovery::{Breaker, Discovery, DstLabels, Endpoint, ServicePort};
use crate::drain::Drain;
use crate::error::{Code, Error};
use crate::held;
use crate::identity::Identity;
use crate::metrics::{Metrics, PROBE, Peer, Requests, Tls};
use crate::ports::PortSet;
use crate::route::Target;
use crate::tap::Ring;
use crate::vigil::Vigils;

/// How the original destination of a connection is found; tests inject their own.
pub type OriginalDst = Arc<dyn Fn(&TcpStream) -> io::Result<SocketAddr> + Send + Sync>;

/// Dialled addresses and endpoint sets unused for this long are forgotten.
const KEEP: Duration = Duration::from_secs(600);
const SWEEP: Duration = Duration::from_millis(500);
/// Dialled addresses that are remembered. Beyond, the older half of those not in use is forgotten.
const MAX_TARGETS: usize = 2048;
const MAX_OUTSIDERS: usize = 1024;

/// Shared by all threads.
pub struct Shared {
    pub config: Config,
    pub identity: Arc<Identity>,
    pub discovery: Discovery,
    pub ring: Arc<Ring>,
    pub metrics: Metrics,
    pub drain: Drain,
    pub denials: Denials,
    /// This pod, as the `dst_*` labels of inbound traffic.
    pub own: Arc<DstLabels>,
    pub own_ips: Arc<[IpAddr]>,
    /// Ports of the application that have answered in HTTP: nothing else gets through to them in plain text.
    pub http_ports: PortSet,
    pub original_dst: OriginalDst,
}

impl Shared {
    pub fn new(
        config: Config,
        identity: Arc<Identity>,
        discovery: Discovery,
        original_dst: OriginalDst,
    ) -> Self {
        let (kind, name) = config.workload.split_once('/').unwrap_or_default();
        let own = DstLabels {
            namespace: config.pod_namespace.clone(),
            service: String::new(),
            workload_kind: kind.to_owned(),
            workload: name.to_owned(),
            pod: config.pod_name.clone(),
        };
        Self {
            own_ips: config.pod_ips.clone().into(),
            own: Arc::new(own),
            ring: Ring::new(),
            metrics: Metrics::default(),
            http_ports: PortSet::default(),
            drain: Drain::default(),
            denials: Denials::default(),
            config,
            identity,
            discovery,
            original_dst,
        }
    }
}

/// Belongs to one thread; nothing in it is locked.
pub struct Worker {
    pub shared: Arc<Shared>,
    pub lots: Lots,
    targets: RefCell<HashMap<SocketAddr, Rc<Target>>>,
    /// By whose endpoints, and by the Service that is dialled: its breaker holds for them.
    balancers: RefCell<HashMap<(ServicePort, ServicePort), Rc<Balancer>>>,
    apps: RefCell<HashMap<SocketAddr, Rc<Node>>>,
    callers: RefCell<HashMap<(Tls, Option<Arc<str>>), Rc<Requests>>>,
    probes: OnceCell<Rc<Requests>>,
    outsiders: RefCell<HashSet<IpAddr>>,
    pub vigils: Vigils,
}

impl Worker {
    pub fn new(shared: Arc<Shared>, seed: u64) -> Rc<Self> {
        Rc::new(Self {
            vigils: Vigils::default(),
            shared,
            lots: Lots::new(seed),
            targets: RefCell::default(),
            balancers: RefCell::default(),
            apps: RefCell::default(),
            callers: RefCell::default(),
            probes: OnceCell::new(),
            outsiders: RefCell::default(),
        })
    }

    /// What the address leads to; asked of discovery once.
    pub async fn target(&self, dst: SocketAddr) -> Result<Rc<Target>, Error> {
        if let Some(known) = self.targets.borrow().get(&dst) {
            known.used.set(Instant::now());
            return Ok(known.clone());
        }
        let updates = self.shared.discovery.outbound(dst).await.map_err(unknown)?;
        let made = Rc::new(Target::new(self, dst, updates).await?);
        if self.targets.borrow().len() >= MAX_TARGETS {
            self.forget_older();
        }
        Ok(self.targets.borrow_mut().entry(dst).or_insert(made).clone())
    }

    fn forget_older(&self) {
        let mut targets = self.targets.borrow_mut();
        let mut used: Vec<_> =
            targets.values().filter(|t| Rc::strong_count(t) == 1).map(|t| t.used.get()).collect();
        used.sort_unstable();
        if let Some(middle) = used.get(used.len() / 2) {
            targets.retain(|_, target| Rc::strong_count(target) > 1 || target.used.get() > *middle);
        }
    }

    /// The endpoints of a Service port, for requests to `dialled`; asked of discovery once.
    pub async fn balancer(
        &self,
        service: &ServicePort,
        dialled: &ServicePort,
    ) -> Result<Rc<Balancer>, Error> {
        let key = (service.clone(), dialled.clone());
        if let Some(known) = self.balancers.borrow().get(&key) {
            return Ok(known.clone());
        }
        let updates = self.shared.discovery.endpoints(service).await.map_err(unknown)?;
        let dst = DstLabels {
            namespace: service.namespace.to_string(),
            service: service.name.to_string(),
            ..DstLabels::default()
        };
        let group = Group::new(Breaker::default(), self.shared.metrics.service(&dst));
        let made = Rc::new(Balancer::new(updates, self.shared.own_ips.clone(), group));
        Ok(self.balancers.borrow_mut().entry(key).or_insert(made).clone())
    }

    /// The application of the own pod at `addr`.
    pub fn app(&self, addr: SocketAddr) -> Rc<Node> {
        let make = || {
            let labels = self.shared.own.clone();
            let endpoint = Endpoint { addr, weight: 1, identity: None, zone: "".into(), labels };
            Rc::new(Node::app(Arc::new(endpoint)))
        };
        self.apps.borrow_mut().entry(addr).or_insert_with(make).clone()
    }

    /// The labels of what comes in from a client.
    pub fn caller_peer(&self, tls: Tls, identity: Option<&str>) -> Peer {
        Peer::new("inbound", tls, identity, &self.shared.own)
    }

    /// Counters for the requests of a client, looked up once.
    pub fn caller(&self, tls: Tls, identity: Option<Arc<str>>) -> Rc<Requests> {
        let peer = self.caller_peer(tls, identity.as_deref());
        let make = || Rc::new(self.shared.metrics.requests(&peer, ""));
        self.callers.borrow_mut().entry((tls, identity)).or_insert_with(make).clone()
    }

    /// Counters for the kubelet's probes, which are no request of anybody's.
    pub fn probes(&self) -> Rc<Requests> {
        let peer = self.caller_peer(Tls::NoIdentity, None);
        self.probes.get_or_init(|| Rc::new(self.shared.metrics.requests(&peer, PROBE))).clone()
    }

    /// Whether clients at `ip` were outside the mesh when last heard of.
    pub fn is_outsider(&self, ip: IpAddr) -> bool {
        self.outsiders.borrow().contains(&ip)
    }

    pub fn set_outsider(&self, ip: IpAddr, is: bool) {
        let mut outsiders = self.outsiders.borrow_mut();
        if !is {
            outsiders.remove(&ip);
            return;
        }
        // Whoever goes is only waited for once more.
        if outsiders.len() >= MAX_OUTSIDERS
            && let Some(other) = outsiders.iter().next().copied()
        {
            outsiders.remove(&other);
        }
        outsiders.insert(ip);
    }

    /// Closes idle connections and forgets what is not dialled any more, for ever. It looks at all connections: each time
    /// in a task of its own, so that a panic there ends none of them.
    pub async fn sweep(self: Rc<Self>) {
        let mut ticks = tokio::time::interval(SWEEP);
        loop {
            ticks.tick().await;
            let worker = self.clone();
            let swept = tokio::task::spawn_local(async move { worker.sweep_once(Instant::now()).await });
            if let Err(error) = swept.await {
                tracing::error!(%error, "a look at the connections did not come to its end");
            }
        }
    }

    /// What was broken off because slow readers let too much pile up.
    fn tell_refused(&self, count: u64) {
        if count > 0 {
            tracing::warn!(count, "broken off: {}", held::TooMuch);
            (0..count).for_each(|_| self.shared.metrics.error(Code::Overloaded));
        }
    }

    async fn sweep_once(&self, now: Instant) {
        self.vigils.look(self.shared.config.limits, now);
        self.tell_refused(held::refused());
        let idle =
            |t: &Rc<Target>| Rc::strong_count(t) == 1 && now.saturating_duration_since(t.used.get()) >= KEEP;
        self.targets.borrow_mut().retain(|_, target| !idle(target));
        let targets: Vec<_> = self.targets.borrow().values().cloned().collect();
        for target in targets {
            target.sweep(now).await;
        }
        // No target leads there any more.
        self.balancers.borrow_mut().retain(|_, balancer| Rc::strong_count(balancer) > 1);
        self.balancers.borrow().values().for_each(|balancer| balancer.show(now));
        self.callers.borrow_mut().retain(|_, requests| Rc::strong_count(requests) > 1);
        self.apps.borrow_mut().retain(|_, app| {
            app.pool.sweep(now);
            Rc::strong_count(app) > 1 || !app.pool.is_empty()
        });
    }
}

/// As the client is told.
pub fn unknown(e: crate::discovery::DiscoveryError) -> Error {
    Error::new(Code::Unknown, e.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::socket;

    fn worker() -> Rc<Worker> {
        let config = Config::parse([].into()).unwrap();
        let identity = Identity::new(&config.own_id(), &config.trust_domain);
        let original = Arc::new(socket::original_dst);
        Worker::new(Arc::new(Shared::new(config, identity, Discovery::new(vec![]), original)), 1)
    }

    /// A panic in a look at the connections ends that look, and there is a next one.
    #[tokio::test(start_paused = true)]
    async fn sweeps_survive_panics() {
        let worker = worker();
        // Whatever wants to change them panics.
        std::mem::forget(worker.targets.borrow());
        let local = tokio::task::LocalSet::new();
        let swept = local.run_until(tokio::time::timeout(5 * SWEEP, worker.sweep()));
        assert!(swept.await.is_err());
    }

    /// However many clients outside the mesh there are, one is forgotten for each that comes, and never all.
    #[test]
    fn outsiders_are_forgotten_one_by_one() {
        let worker = worker();
        let ip = |n: usize| IpAddr::from((n as u32).to_be_bytes());
        (0..2 * MAX_OUTSIDERS).for_each(|n| worker.set_outsider(ip(n), true));
        assert!(worker.is_outsider(ip(2 * MAX_OUTSIDERS - 1)));
        let known = (0..2 * MAX_OUTSIDERS).filter(|n| worker.is_outsider(ip(*n)));
        assert_eq!(MAX_OUTSIDERS, known.count());
    }
}
