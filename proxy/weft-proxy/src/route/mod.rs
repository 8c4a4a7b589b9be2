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
use std::time::Instant;

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

    /// Closes idle connections to its endpoints. Of many it looks at some at a time: requests go on meanwhile.
    pub async fn sweep(&self, now: Instant) {
        let plan = self.plan.borrow().clone();
        for balancer in plan.balancers() {
            for some in balancer.nodes().chunks(SWEPT_AT_ONCE) {
                some.iter().for_each(|node| node.pool.sweep(now));
                if some.len() == SWEPT_AT_ONCE {
                    tokio::task::yield_now().await;
                }
            }
        }
    }
}
