//! A control plane in the test's process: the contracts of identity and destination, over real mesh TLS.

use std::collections::{HashMap, HashSet};
use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::Stream;
use hyper::body::Incoming;
use prost::Message;
use time::OffsetDateTime;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{broadcast, mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};
use tower::Service;
use weft_api::discovery::discovery_server::{Discovery, DiscoveryServer};
use weft_api::discovery::{self as api, request::Kind};
use weft_api::identity::identity_server::{Identity, IdentityServer};
use weft_api::identity::{CertifyRequest, CertifyResponse};
use weft_proxy::control::accept::{self, Clients};
use weft_proxy::drain::Drain;
use weft_proxy::identity::testing::{Authority, Leaf, spiffe};

/// Certificates for whoever shows the token "<namespace>/<service account>".
#[derive(Clone)]
pub struct FakeIdentity {
    pub ca: Arc<Authority>,
    pub lifetime: Arc<Mutex<Duration>>,
    /// Hashes of the bundles that callers verified with.
    pub calls: watch::Sender<Vec<Vec<u8>>>,
}

impl FakeIdentity {
    pub fn new() -> Self {
        let ca = Arc::new(Authority::new().unwrap());
        let lifetime = Arc::new(Mutex::new(Duration::from_secs(24 * 3600)));
        Self { ca, lifetime, calls: watch::Sender::default() }
    }
}

#[tonic::async_trait]
impl Identity for FakeIdentity {
    async fn certify(&self, request: Request<CertifyRequest>) -> Result<Response<CertifyResponse>, Status> {
        let request = request.into_inner();
        self.calls.send_modify(|calls| calls.push(request.bundle_sha256));
        let (namespace, account) =
            request.token.split_once('/').ok_or_else(|| Status::unauthenticated("token refused"))?;
        let now = OffsetDateTime::now_utc();
        let until = now + *self.lifetime.lock().unwrap();
        let leaf = Leaf { from: now, until, ..Leaf::of(&spiffe(namespace, account)) };
        let mut certificates = self.ca.sign(&request.csr, &leaf).unwrap().into_iter().map(|der| der.to_vec());
        let leaf = certificates.next().unwrap();
        let chain = certificates.collect();
        Ok(Response::new(CertifyResponse { leaf, chain, not_after: until.unix_timestamp() }))
    }
}

type Key = Vec<u8>;

/// Says what the test has put; keeps what proxies asked.
#[derive(Clone)]
pub struct FakeDestination {
    updates: Arc<Mutex<HashMap<Key, api::Update>>>,
    changes: broadcast::Sender<api::Update>,
    pub asked: watch::Sender<Vec<api::Request>>,
    /// Watches are not answered.
    pub mute: Arc<AtomicBool>,
    /// What answers a Hello that wants heartbeats; 0: this service knows none.
    pub interval_ms: Arc<AtomicU32>,
}

impl FakeDestination {
    pub fn new() -> Self {
        Self {
            updates: Arc::default(),
            changes: broadcast::Sender::new(64),
            asked: watch::Sender::default(),
            mute: Arc::default(),
            interval_ms: Arc::new(AtomicU32::new(60_000)),
        }
    }

    /// The state of a target from now on, sent to all who watch it.
    pub fn put(&self, target: api::target::Kind, version: &str, state: api::update::State) {
        let target = api::Target { kind: Some(target) };
        let key = target.encode_to_vec();
        let update = api::Update { target: Some(target), version: version.to_owned(), state: Some(state) };
        self.updates.lock().unwrap().insert(key, update.clone());
        let _ = self.changes.send(update);
    }

    /// Sent as it is, to all who watch its target; new watchers do not get it.
    pub fn send(&self, update: api::Update) {
        let _ = self.changes.send(update);
    }

    /// Waits until a proxy has sent what `matches`.
    pub async fn wait_for(&self, matches: impl Fn(&Kind) -> bool) {
        let found =
            |requests: &Vec<api::Request>| requests.iter().filter_map(|r| r.kind.as_ref()).any(&matches);
        let mut asked = self.asked.subscribe();
        tokio::time::timeout(Duration::from_secs(10), asked.wait_for(found)).await.unwrap().unwrap();
    }

    /// The watch requests so far: key and held version.
    pub fn watches(&self) -> Vec<(api::target::Kind, String)> {
        let watch = |request: &api::Request| match &request.kind {
            Some(Kind::Watch(watch)) => Some((watch.target.clone()?.kind?, watch.held_version.clone())),
            _ => None,
        };
        self.asked.borrow().iter().filter_map(watch).collect()
    }

    async fn serve(
        self,
        mut requests: Streaming<api::Request>,
        sender: mpsc::Sender<Result<api::Update, Status>>,
    ) {
        let mut changes = self.changes.subscribe();
        let mut watched: HashSet<Key> = HashSet::new();
        loop {
            let update = tokio::select! {
                request = requests.message() => {
                    let Ok(Some(request)) = request else { return };
                    self.asked.send_modify(|asked| asked.push(request.clone()));
                    self.answer(&mut watched, request)
                }
                change = changes.recv() => change.ok().filter(|update| {
                    update.target.as_ref().is_some_and(|target| watched.contains(&target.encode_to_vec()))
                }),
            };
            if let Some(update) = update
                && sender.send(Ok(update)).await.is_err()
            {
                return;
            }
        }
    }

    fn answer(&self, watched: &mut HashSet<Key>, request: api::Request) -> Option<api::Update> {
        match request.kind? {
            Kind::Watch(watch) => {
                let key = watch.target.as_ref()?.encode_to_vec();
                watched.insert(key.clone());
                let known = self.updates.lock().unwrap().get(&key).cloned();
                let known = known
                    .or_else(|| undeclared(watch.target?))
                    .filter(|_| !self.mute.load(Ordering::Relaxed));
                known.filter(|update| update.version != watch.held_version)
            }
            Kind::Unwatch(target) => {
                watched.remove(&target.encode_to_vec());
                None
            }
            Kind::Hello(hello) => {
                let interval_ms = self.interval_ms.load(Ordering::Relaxed);
                let beat = api::update::State::Heartbeat(api::Heartbeat { interval_ms });
                let beat = api::Update { state: Some(beat), ..api::Update::default() };
                Some(beat).filter(|_| hello.heartbeats && interval_ms > 0)
            }
        }
    }
}

/// Of an own port, and of what lies outside, there is always an answer: here, that nothing is declared.
fn undeclared(target: api::Target) -> Option<api::Update> {
    use api::outbound::Destination::NotInMesh;
    use api::target::Kind;
    use api::update::State;
    let state = match target.kind.as_ref()? {
        Kind::Inbound(_) => State::Inbound(api::Inbound::default()),
        Kind::Outbound(address) if address.ip == [0; 4] => State::Outbound(api::Outbound {
            destination: Some(NotInMesh(api::NotInMesh::default())),
            ..Default::default()
        }),
        _ => return None,
    };
    Some(api::Update { target: Some(target), version: "undeclared".into(), state: Some(state) })
}

#[tonic::async_trait]
impl Discovery for FakeDestination {
    type SubscribeStream = Pin<Box<dyn Stream<Item = Result<api::Update, Status>> + Send>>;

    async fn subscribe(
        &self,
        requests: Request<Streaming<api::Request>>,
    ) -> Result<Response<Self::SubscribeStream>, Status> {
        let (sender, receiver) = mpsc::channel(16);
        tokio::spawn(self.clone().serve(requests.into_inner(), sender));
        Ok(Response::new(Box::pin(ReceiverStream::new(receiver))))
    }
}

/// Both services as meshed pods, on a thread of their own: they can be killed, and started again where they were.
pub struct ControlPlane {
    pub identity: FakeIdentity,
    pub destination: FakeDestination,
    pub identity_addr: SocketAddr,
    pub destination_addr: SocketAddr,
    enter: Arc<dyn Fn() + Send + Sync>,
    runtime: Option<Runtime>,
}

impl ControlPlane {
    /// On free ports of `ip`; `enter` is called on the thread before it opens sockets (to go into a namespace).
    pub fn start(ip: IpAddr, enter: impl Fn() + Send + Sync + 'static) -> Self {
        let free = SocketAddr::new(ip, 0);
        let mut this = Self {
            identity: FakeIdentity::new(),
            destination: FakeDestination::new(),
            identity_addr: free,
            destination_addr: free,
            enter: Arc::new(enter),
            runtime: None,
        };
        this.resume();
        this
    }

    /// As kill -9: connections break, nobody says goodbye.
    pub fn kill(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }

    pub fn resume(&mut self) {
        let enter = self.enter.clone();
        let mut builder = Builder::new_multi_thread();
        let runtime =
            builder.worker_threads(1).enable_all().on_thread_start(move || enter()).build().unwrap();
        let ca = &self.identity.ca;
        let id = |name| ca.identity(&spiffe("weft", name)).unwrap();
        let identity = IdentityServer::new(self.identity.clone());
        self.identity_addr = serve(&runtime, self.identity_addr, id("identity"), Clients::Anyone, identity);
        let destination = DiscoveryServer::new(self.destination.clone());
        self.destination_addr =
            serve(&runtime, self.destination_addr, id("destination"), Clients::Certified, destination);
        self.runtime = Some(runtime);
    }
}

impl Drop for ControlPlane {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Serves a gRPC service over mesh TLS; returns where it listens.
pub fn serve<S>(
    runtime: &Runtime,
    address: SocketAddr,
    id: Arc<weft_proxy::identity::Identity>,
    clients: Clients,
    service: S,
) -> SocketAddr
where
    S: Service<http::Request<Incoming>, Response = http::Response<tonic::body::Body>, Error = Infallible>,
    S: Clone + Send + Sync + 'static,
    S::Future: Send,
{
    let (sender, receiver) = std::sync::mpsc::channel();
    runtime.spawn(async move {
        let listener = accept::bind(address).unwrap();
        sender.send(listener.local_addr().unwrap()).unwrap();
        let drain = Drain::default();
        let lives = drain.clone();
        accept::serve(listener, id, clients, 64, drain, move |stream, _| {
            let (service, live) = (service.clone(), lives.live());
            accept::http2(stream, live, move |request| service.clone().call(request))
        })
        .await;
    });
    receiver.recv().unwrap()
}
