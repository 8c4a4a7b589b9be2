//! Where requests go: what the destination service says, cached and kept while it is away.

mod cache;
mod endpoints;
pub mod model;
pub mod stream;
pub mod testing;
mod translate;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use ipnet::IpNet;
use tokio::sync::{mpsc, watch};
use weft_api::discovery as api;

use crate::policy;
use cache::{Applied, Cache, Reader};
pub use model::{
    Breaker, Destination, DstLabels, Endpoint, EndpointSet, Filter, Goal, HeaderChange, Inbound, Instead,
    Outbound, PathChange, PathMatch, Pattern, Protocol, Redirect, ResponseClass, Retry, RetryBudget, Rewrite,
    Route, RouteMatch, ServiceDestination, ServicePort, ValueMatch, WeightedBackend,
};
use translate::Target;

/// How long a connection waits for an answer about a target of which nothing is known.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(3);
/// Stands for all addresses outside the cluster's networks.
const OUTSIDE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 1);
/// Targets nobody has used for so long are forgotten.
const KEEP_IDLE: Duration = Duration::from_secs(300);
/// Targets on one stream. An application that dials more (a port scan) pushes out what is not in use.
const MAX_TARGETS: usize = 4096;
/// Own ports that are known; a port scan from outside may dial all there are.
const MAX_PORTS: usize = 1024;

/// Nothing is known of the target, and the destination service did not say within the time limit.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[error("the control plane does not answer for {target}")]
pub struct DiscoveryError {
    pub target: String,
}

impl DiscoveryError {
    /// The stable code of this error in headers, metrics and logs.
    pub const CODE: &'static str = "E102";
}

/// Handle of the cache; cheap to clone, works from any runtime.
#[derive(Clone)]
pub struct Discovery {
    shared: Arc<Shared>,
}

struct Shared {
    /// Addresses outside are not in the mesh and never asked for; empty: all are asked for.
    networks: Vec<IpNet>,
    /// What holds for these: the answer for an address that nobody has, asked for from the start.
    outside: Reader<Outbound>,
    state: Mutex<State>,
    limits: Mutex<policy::Known>,
    connected: AtomicBool,
    began: Instant,
}

/// Cache and stream under one lock, so that no target is lost between them.
struct State {
    cache: Cache,
    /// To the open stream; none while there is none.
    requests: Option<mpsc::UnboundedSender<api::Request>>,
    /// When the control plane last said anything; before its first word, when the proxy started.
    heard: Instant,
    /// Above so many targets those that are not in use are forgotten.
    room: usize,
}

impl Discovery {
    /// `networks`: the pod and Service networks of the cluster. `stream::run` connects it to the control plane.
    pub fn new(networks: Vec<IpNet>) -> Self {
        let mut cache = Cache::new();
        let outside = cache.outbound(OUTSIDE).0;
        let began = Instant::now();
        let state = State { cache, requests: None, heard: began, room: MAX_TARGETS };
        Self {
            shared: Arc::new(Shared {
                networks,
                outside,
                state: Mutex::new(state),
                limits: Mutex::default(),
                connected: AtomicBool::new(false),
                began,
            }),
        }
    }

    /// Where the application's connection to `dst` leads.
    pub async fn outbound(&self, dst: SocketAddr) -> Result<watch::Receiver<Arc<Outbound>>, DiscoveryError> {
        let dst = SocketAddr::new(dst.ip().to_canonical(), dst.port());
        if !self.inside(dst) {
            return self.outside().await;
        }
        let reader = self.ask(Target::Outbound(dst), |cache| cache.outbound(dst));
        answered(reader, &dst).await
    }

    /// What holds outside the cluster. A proxy that has just started waits for the control plane; if that is away, the
    /// application reaches what needs none. While there is one that does not say, nothing leaves.
    pub async fn outside(&self) -> Result<watch::Receiver<Arc<Outbound>>, DiscoveryError> {
        let mut reader = self.shared.outside.clone();
        let start = tokio::time::Instant::from_std(self.shared.began) + ANSWER_TIMEOUT;
        let told = tokio::time::timeout_at(start, reader.known.wait_for(|known| *known)).await.is_ok();
        if told || !self.is_connected() {
            return Ok(reader.value);
        }
        answered(reader, &"addresses outside the cluster").await
    }

    /// The endpoints of a port of a Service.
    pub async fn endpoints(
        &self,
        service: &ServicePort,
    ) -> Result<watch::Receiver<Arc<EndpointSet>>, DiscoveryError> {
        let reader = self.ask(Target::Endpoints(service.clone()), |cache| cache.endpoints(service));
        answered(reader, service).await
    }

    /// What holds for a port of the own pod. An error lets nobody in: who may call is not known.
    pub async fn inbound(&self, port: u16) -> Result<watch::Receiver<Arc<Inbound>>, DiscoveryError> {
        let target = Target::Inbound(port);
        if !self.make_room(port) {
            return Err(DiscoveryError { target: target.to_string() });
        }
        let reader = self.ask(target.clone(), |cache| cache.inbound(port));
        answered(reader, &target).await
    }

    /// Asks for ports of the own pod from the start, and never forgets them.
    pub fn pin(&self, ports: &[u16]) {
        for port in ports {
            self.state().cache.pin(*port);
            self.ask(Target::Inbound(*port), |cache| cache.inbound(*port));
        }
    }

    /// While the control plane is away nothing is forgotten: it could not be learnt again.
    fn make_room(&self, port: u16) -> bool {
        let forget = self.is_connected();
        let mut state = self.state();
        let (room, forgotten) = state.cache.make_room(port, MAX_PORTS, forget);
        state.unwatch(forgotten);
        room
    }

    pub fn is_connected(&self) -> bool {
        self.shared.connected.load(Ordering::Relaxed)
    }

    /// Since when the control plane has not said a word.
    pub fn age(&self) -> Duration {
        self.state().heard.elapsed()
    }

    /// What is held of each target, one a line: its version, "-" for none yet, and the target.
    pub fn held(&self) -> String {
        let held = self.state().cache.held();
        let mut lines: Vec<_> = held
            .into_iter()
            .map(|(target, version)| {
                let version = if version.is_empty() { "-" } else { &version };
                format!("{version} {target}\n")
            })
            .collect();
        lines.sort_unstable();
        lines.concat()
    }

    fn inside(&self, dst: SocketAddr) -> bool {
        self.shared.networks.is_empty() || self.shared.networks.iter().any(|net| net.contains(&dst.ip()))
    }

    /// Reads the cache; a new target is asked for now, or as soon as there is a stream.
    fn ask<T>(&self, target: Target, read: impl FnOnce(&mut Cache) -> (Reader<T>, bool)) -> Reader<T> {
        let mut state = self.state();
        let (reader, new) = read(&mut state.cache);
        if new {
            state.make_room();
            state.send(watch_request(&target, String::new()));
        }
        reader
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts a stream: returns what goes out on it, beginning with `hello` and all that is held.
    fn open(&self, hello: api::Hello) -> mpsc::UnboundedReceiver<api::Request> {
        let (sender, receiver) = mpsc::unbounded_channel();
        let mut state = self.state();
        state.requests = Some(sender);
        state.send(api::Request { kind: Some(api::request::Kind::Hello(hello)) });
        for (target, version) in state.cache.held() {
            state.send(watch_request(&target, version));
        }
        receiver
    }

    fn set_connected(&self) {
        self.shared.connected.store(true, Ordering::Relaxed);
    }

    /// The control plane said something.
    fn heard_now(&self) {
        self.set_connected();
        self.state().heard = Instant::now();
    }

    fn close(&self) {
        self.state().requests = None;
        self.shared.connected.store(false, Ordering::Relaxed);
    }

    fn apply(&self, mut update: api::Update) {
        let inbound = match &update.state {
            // Before the lock, for which workers wait: a policy may have many rules.
            Some(api::update::State::Inbound(message)) => Some(self.compile(message)),
            _ => None,
        };
        let mut state = self.state();
        let applied = match inbound {
            Some(inbound) => state.cache.apply_inbound(update.target.take(), inbound, update.version),
            None => state.cache.apply(update),
        };
        match applied {
            Applied::Done | Applied::Unasked => {}
            Applied::NotUnderstood => tracing::warn!("an update that this proxy does not understand"),
            Applied::Again(target) => state.send(watch_request(&target, String::new())),
        }
    }

    fn compile(&self, message: &api::Inbound) -> Inbound {
        let mut limits = self.shared.limits.lock().unwrap_or_else(PoisonError::into_inner);
        translate::inbound(message, &mut limits)
    }

    /// While the control plane is away nothing is forgotten: it could not be learnt again.
    fn sweep(&self, now: Instant) {
        if !self.is_connected() {
            return;
        }
        self.state().forget_idle(now, KEEP_IDLE);
    }
}

impl State {
    fn send(&self, request: api::Request) {
        if let Some(requests) = &self.requests {
            // A closed stream asks for everything again when it is opened anew.
            let _ = requests.send(request);
        }
    }

    fn unwatch(&self, targets: Vec<Target>) {
        for target in targets {
            self.send(api::Request { kind: Some(api::request::Kind::Unwatch(target.encode())) });
        }
    }

    fn make_room(&mut self) {
        if self.cache.len() > self.room {
            self.forget_idle(Instant::now(), Duration::ZERO);
        }
    }

    fn forget_idle(&mut self, now: Instant, keep: Duration) {
        let forgotten = self.cache.sweep(now, keep);
        self.unwatch(forgotten);
        // Those in use are not looked through again for each new one.
        self.room = MAX_TARGETS.max(2 * self.cache.len());
    }
}

fn watch_request(target: &Target, held_version: String) -> api::Request {
    let watch = api::Watch { target: Some(target.encode()), held_version };
    api::Request { kind: Some(api::request::Kind::Watch(watch)) }
}

/// Waits until the control plane has spoken of the target.
async fn answered<T>(
    mut reader: Reader<T>,
    target: &impl std::fmt::Display,
) -> Result<watch::Receiver<Arc<T>>, DiscoveryError> {
    let known = tokio::time::timeout(ANSWER_TIMEOUT, reader.known.wait_for(|known| *known)).await;
    match known {
        Ok(Ok(_)) => Ok(reader.value),
        _ => Err(DiscoveryError { target: target.to_string() }),
    }
}

#[cfg(test)]
mod tests;
