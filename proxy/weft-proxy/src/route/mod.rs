//! From a dialled address to routes and endpoints, as discovery says, compiled once for each change.

mod budget;
mod filters;
mod plan;
mod redirect;
mod table;

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::Response;
use tokio::sync::{Mutex, watch};

use crate::discovery::Outbound;
use crate::error::Error;
use crate::http::headers;
use crate::worker::Worker;
pub use budget::Budget;
pub use plan::{Backend, Chosen, Plan, Reply, Retry, Upstream};
pub use redirect::location;
pub use table::Table;

/// Endpoints whose connections are looked at before others have their turn.
const SWEPT_AT_ONCE: usize = 256;
/// Between looks for counters of routes that are gone: their series stay much longer.
const TRIM: Duration = Duration::from_secs(60);

/// What a worker knows of an address that its application dials.
pub struct Target {
    pub dst: SocketAddr,
    updates: RefCell<watch::Receiver<Arc<Outbound>>>,
    plan: RefCell<Rc<Plan>>,
    /// Held while a change is followed: one plan is made at a time.
    planning: Mutex<()>,
    /// A port that spoke HTTP is waited for, never taken for opaque because of silence.
    pub spoke_http: Cell<bool>,
    /// The server spoke first: the next client's silence need not be waited for.
    pub server_first: Cell<bool>,
    pub used: Cell<Instant>,
    trimmed: Cell<Instant>,
}

impl Target {
    pub async fn new(
        worker: &Worker,
        dst: SocketAddr,
        mut updates: watch::Receiver<Arc<Outbound>>,
    ) -> Result<Self, Error> {
        let outbound = updates.borrow_and_update().clone();
        let plan = Plan::new(worker, dst, &outbound).await?;
        Ok(Self {
            dst,
            updates: RefCell::new(updates),
            plan: RefCell::new(Rc::new(plan)),
            planning: Mutex::default(),
            spoke_http: Cell::new(false),
            server_first: Cell::new(false),
            used: Cell::new(Instant::now()),
            trimmed: Cell::new(Instant::now()),
        })
    }

    /// What discovery says of it, from now on.
    pub fn updates(&self) -> watch::Receiver<Arc<Outbound>> {
        self.updates.borrow().clone()
    }

    /// The plan for now; a change that cannot be followed yet leaves the old one.
    pub async fn plan(&self, worker: &Worker) -> Rc<Plan> {
        let changed = self.updates.borrow().has_changed().unwrap_or(false);
        if changed && let Ok(_turn) = self.planning.try_lock() {
            Box::pin(self.follow(worker)).await;
        }
        self.plan.borrow().clone()
    }

    /// A change counts as seen when its plan is there: whoever makes it may be cancelled, then the next one does.
    async fn follow(&self, worker: &Worker) {
        let mut updates = self.updates();
        let outbound = updates.borrow_and_update().clone();
        match Plan::new(worker, self.dst, &outbound).await {
            Ok(plan) => {
                *self.plan.borrow_mut() = Rc::new(plan);
                *self.updates.borrow_mut() = updates;
            }
            Err(error) => tracing::warn!(%error, dst = %self.dst, "keeps its old routes"),
        }
    }

    /// A response came: the server's own, and not what a proxy has to say, shows that the port speaks HTTP.
    pub fn heard<B>(&self, response: &Response<B>) {
        if !response.headers().contains_key(headers::ERROR) {
            self.spoke_http.set(true);
        }
    }

    /// Whether it is time to look for counters of routes that are gone.
    fn trims(&self, now: Instant) -> bool {
        let due = now.saturating_duration_since(self.trimmed.get()) >= TRIM;
        if due {
            self.trimmed.set(now);
        }
        due
    }

    /// Closes idle connections to its endpoints, and lets go of what was counted of routes that are gone. Of many it looks at some at a time: requests go on meanwhile.
    pub async fn sweep(&self, now: Instant) {
        let plan = self.plan.borrow().clone();
        let routes = self.trims(now).then(|| plan.routes());
        for balancer in plan.balancers() {
            for some in balancer.nodes().chunks(SWEPT_AT_ONCE) {
                for node in some {
                    node.pool.sweep(now);
                    if let Some(routes) = &routes {
                        node.trim(|route| routes.contains(route));
                    }
                }
                if some.len() == SWEPT_AT_ONCE {
                    tokio::task::yield_now().await;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use weft_api::discovery as api;
    use weft_api::discovery::target::Kind;
    use weft_api::discovery::update::State;

    use super::*;
    use crate::balance::node::Node;
    use crate::config::Config;
    use crate::discovery::{Discovery, DstLabels, Endpoint, ServicePort};
    use crate::identity::Identity;
    use crate::metrics::Control;
    use crate::socket;
    use crate::worker::Shared;

    const HOUR: Duration = Duration::from_secs(3600);

    fn worker() -> Rc<Worker> {
        let config = Config::parse([].into()).unwrap();
        let identity = Identity::new(&config.own_id(), &config.trust_domain);
        let original = Arc::new(socket::original_dst);
        Worker::new(Arc::new(Shared::new(config, identity, Discovery::new(vec![]), original)), 1)
    }

    /// The only endpoint of the Service that is dialled, whose requests all take the route `name`.
    async fn routed(worker: &Worker, name: &str) -> (Rc<Target>, Rc<Node>) {
        let (dst, labels) = (SocketAddr::from(([10, 0, 0, 1], 80)), Arc::new(DstLabels::default()));
        let endpoint = Endpoint { addr: dst, weight: 1, identity: None, zone: "".into(), labels };
        worker.shared.discovery.put_endpoints(&ServicePort::new("shop", "api", 80), vec![endpoint]);
        let service = api::ServicePort { namespace: "shop".into(), name: "api".into(), port: 80 };
        let to = api::ServiceDestination {
            service: Some(service),
            routes: vec![api::Route { name: name.into(), ..Default::default() }],
            ..Default::default()
        };
        let outbound = api::Outbound {
            destination: Some(api::outbound::Destination::Service(to)),
            ..Default::default()
        };
        let address = api::SocketAddress { ip: vec![10, 0, 0, 1], port: 80 };
        worker.shared.discovery.put_outbound(dst, Outbound::not_in_mesh());
        worker.shared.discovery.hear(api::Update {
            target: Some(api::Target { kind: Some(Kind::Outbound(address)) }),
            state: Some(State::Outbound(outbound)),
            ..Default::default()
        });
        let target = worker.target(dst).await.unwrap();
        let node = target.plan(worker).await.connection().balancer.nodes()[0].clone();
        (target, node)
    }

    /// Counts one request by the route, and says which routes have series.
    fn count(worker: &Worker, node: &Node, name: &str) -> Vec<String> {
        node.requests(Some(&name.into()), &worker.shared.metrics).count(("success", 200, None));
        let text = worker.shared.metrics.render(Control::default());
        let counted = text.lines().filter(|line| line.starts_with("weft_requests_total"));
        let mut routes: Vec<_> = counted
            .map(|line| line.split("route=\"").nth(1).unwrap().split('"').next().unwrap().into())
            .collect();
        routes.sort();
        routes
    }

    /// The series of a route that was renamed are gone an hour later, however long its endpoints live.
    #[tokio::test]
    async fn routes_that_are_gone_expire() {
        let (worker, now) = (worker(), Instant::now());
        let (_, node) = routed(&worker, "old").await;
        assert_eq!(vec!["old"], count(&worker, &node, "old"));
        let (target, same) = routed(&worker, "new").await;
        assert!(Rc::ptr_eq(&node, &same));
        assert_eq!(vec!["new", "old"], count(&worker, &node, "new"));
        target.sweep(now + HOUR).await;
        worker.shared.metrics.expire(now + HOUR);
        worker.shared.metrics.expire(now + 2 * HOUR);
        assert_eq!(vec!["new"], count(&worker, &node, "new"));
    }

    /// What had no room for series of its own has them when there is some.
    #[tokio::test]
    async fn overflow_is_left_again() {
        let (worker, now) = (worker(), Instant::now());
        let metrics = &worker.shared.metrics;
        let (target, node) = routed(&worker, "late").await;
        let full: Vec<_> =
            (0..1000).map(|n| metrics.requests(&node.peer(node.tls), &n.to_string())).collect();
        assert_eq!(vec!["overflow"], count(&worker, &node, "late"));
        drop(full);
        metrics.expire(now);
        metrics.expire(now + HOUR);
        target.sweep(now + HOUR).await;
        assert_eq!(vec!["late", "overflow"], count(&worker, &node, "late"));
    }
}
