//! A mesh on the loopback: proxies on threads of their own, told by a real control plane, redirection injected.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, LocalOptions};
use weft_api::discovery as api;
use weft_api::discovery::target::Kind as Target;
use weft_api::discovery::update::State;
use weft_proxy::app::{Listeners, work};
use weft_proxy::config::Config;
use weft_proxy::discovery::{Discovery, stream};
use weft_proxy::identity::testing::spiffe;
use weft_proxy::metrics::Control;
use weft_proxy::socket;
use weft_proxy::worker::Shared;

use super::control_plane::ControlPlane;

/// The Service that the application dials in these tests.
pub const SERVICE: &str = "10.1.0.1:80";
/// Who dials this meets a bug: the task of the connection panics.
pub const PANIC: &str = "10.9.9.9:9";
const SOON: Duration = Duration::from_secs(20);

pub struct Mesh {
    pub plane: ControlPlane,
    version: AtomicU8,
}

/// A pod: its proxy, and where its traffic is redirected from.
pub struct Pod {
    pub ip: IpAddr,
    pub outbound: SocketAddr,
    pub inbound: SocketAddr,
    pub shared: Arc<Shared>,
    /// What connections to `outbound` were meant for.
    pub dials: Arc<Mutex<SocketAddr>>,
    /// What connections to `inbound` were meant for.
    pub serves: Arc<Mutex<SocketAddr>>,
}

/// One endpoint of the Service.
pub fn endpoint(addr: SocketAddr, identity: &str, workload: &str) -> api::Endpoint {
    api::Endpoint {
        address: Some(address(addr)),
        weight: 1,
        identity: identity.to_owned(),
        namespace: "shop".into(),
        workload_kind: "deployment".into(),
        workload: workload.to_owned(),
        pod: format!("{workload}-1"),
        ..api::Endpoint::default()
    }
}

fn address(addr: SocketAddr) -> api::SocketAddress {
    let ip = match addr.ip() {
        IpAddr::V4(ip) => ip.octets().to_vec(),
        IpAddr::V6(ip) => ip.octets().to_vec(),
    };
    api::SocketAddress { ip, port: addr.port().into() }
}

fn service_port() -> api::ServicePort {
    api::ServicePort { namespace: "shop".into(), name: "api".into(), port: 80 }
}

impl Mesh {
    pub fn start() -> Self {
        let plane = ControlPlane::start(Ipv4Addr::LOCALHOST.into(), || {});
        Self { plane, version: AtomicU8::new(0) }
    }

    fn put(&self, target: Target, state: State) {
        let version = self.version.fetch_add(1, Ordering::Relaxed).to_string();
        self.plane.destination.put(target, &version, state);
    }

    /// `SERVICE` with these endpoints; what it speaks is to be found out.
    pub fn service(&self, endpoints: Vec<api::Endpoint>) {
        self.service_with(api::Protocol::Detect, vec![], endpoints);
    }

    pub fn service_with(
        &self,
        protocol: api::Protocol,
        routes: Vec<api::Route>,
        endpoints: Vec<api::Endpoint>,
    ) {
        self.service_of(protocol, api::ServiceDestination { routes, ..Default::default() }, endpoints);
    }

    /// `SERVICE` with all that `to` says of it.
    pub fn service_of(
        &self,
        protocol: api::Protocol,
        to: api::ServiceDestination,
        endpoints: Vec<api::Endpoint>,
    ) {
        let service = api::ServiceDestination { service: Some(service_port()), ..to };
        let outbound = api::Outbound {
            destination: Some(api::outbound::Destination::Service(service)),
            protocol: protocol.into(),
        };
        self.put(Target::Outbound(address(SERVICE.parse().unwrap())), State::Outbound(outbound));
        self.endpoints(endpoints);
    }

    pub fn endpoints(&self, endpoints: Vec<api::Endpoint>) {
        self.backend("api", endpoints);
    }

    /// Another Service of the same namespace, as a route names it.
    pub fn backend(&self, name: &str, endpoints: Vec<api::Endpoint>) -> api::ServicePort {
        let service = api::ServicePort { name: name.into(), ..service_port() };
        let endpoints = api::Endpoints { endpoints, exists: true };
        self.put(Target::Endpoints(service.clone()), State::Endpoints(endpoints));
        service
    }

    /// What may be called outside the mesh.
    pub fn egress(&self, egress: Option<api::Egress>) {
        let outbound = api::Outbound {
            destination: Some(api::outbound::Destination::NotInMesh(api::NotInMesh { egress })),
            ..Default::default()
        };
        let outside = Target::Outbound(address("0.0.0.0:1".parse().unwrap()));
        self.put(outside, State::Outbound(outbound));
    }

    /// What holds for a port of whatever pod has it.
    pub fn inbound(&self, port: u16, inbound: api::Inbound) {
        self.put(Target::Inbound(port.into()), State::Inbound(inbound));
    }

    /// A pod at `127.0.0.<host>` with the identity of `account`; it dials `SERVICE`.
    pub fn pod(&self, host: u8, account: &str) -> Pod {
        self.pod_with(host, account, |_| ())
    }

    /// The same with other settings.
    pub fn pod_with(&self, host: u8, account: &str, change: impl FnOnce(&mut Config)) -> Pod {
        let ip = IpAddr::from([127, 0, 0, host]);
        let free = SocketAddr::new(ip, 0);
        let (outbound, inbound) = (socket::listen(free).unwrap(), socket::listen(free).unwrap());
        let (outbound_addr, inbound_addr) = (outbound.local_addr().unwrap(), inbound.local_addr().unwrap());
        let mut config = Config::parse([].into()).unwrap();
        config.pod_ips = vec![ip];
        config.pod_namespace = "shop".into();
        config.workload = format!("deployment/{account}");
        config.inbound_listen = vec![inbound_addr];
        config.outbound_listen = vec![outbound_addr];
        change(&mut config);
        let identity = self.plane.identity.ca.identity(&spiffe("shop", account)).unwrap();
        let discovery = Discovery::new(vec!["10.0.0.0/8".parse().unwrap()]);
        let settings = stream::Settings {
            address: self.plane.destination_addr.into(),
            server_id: spiffe("weft", "destination"),
            hello: api::Hello { namespace: "shop".into(), heartbeats: true, ..api::Hello::default() },
        };
        let dials = Arc::new(Mutex::new(SERVICE.parse().unwrap()));
        let serves = Arc::new(Mutex::new(free));
        let (to, at) = (dials.clone(), serves.clone());
        let original = move |stream: &TcpStream| {
            let out = stream.local_addr()? == outbound_addr;
            let dst = *(if out { &to } else { &at }).lock().unwrap();
            assert_ne!(PANIC.parse(), Ok(dst), "as the test wants it");
            Ok(dst)
        };
        let shared = Arc::new(Shared::new(config, identity.clone(), discovery.clone(), Arc::new(original)));
        tokio::spawn(stream::run(discovery, identity, settings));
        let listeners = Listeners { outbound: vec![outbound], inbound: vec![inbound] };
        let works = shared.clone();
        std::thread::spawn(move || {
            let mut runtime = Builder::new_current_thread();
            let runtime = runtime.enable_all().build_local(LocalOptions::default()).unwrap();
            runtime.block_on(work(works, listeners));
        });
        Pod { ip, outbound: outbound_addr, inbound: inbound_addr, shared, dials, serves }
    }

    /// A client `web` and a server `api` whose application is at the returned listener; the Service leads there.
    pub async fn pair(&self) -> (Pod, Pod, TcpListener) {
        let (web, api) = (self.pod(2, "web"), self.pod(3, "api"));
        let app = api.app().await;
        self.service(vec![api.endpoint()]);
        (web, api, app)
    }
}

impl Pod {
    /// Its application listens, and inbound traffic is meant for it.
    pub async fn app(&self) -> TcpListener {
        let listener = TcpListener::bind((self.ip, 0)).await.unwrap();
        *self.serves.lock().unwrap() = listener.local_addr().unwrap();
        listener
    }

    pub fn app_port(&self) -> u16 {
        self.serves.lock().unwrap().port()
    }

    /// A client outside the mesh connects to the application.
    pub async fn reach(&self) -> TcpStream {
        TcpStream::connect(self.inbound).await.unwrap()
    }

    /// As the Service knows it.
    pub fn endpoint(&self) -> api::Endpoint {
        endpoint(self.inbound, self.shared.identity.id(), &self.shared.own.workload)
    }

    pub fn dial(&self, dst: SocketAddr) {
        *self.dials.lock().unwrap() = dst;
    }

    /// The application of this pod connects to what it dials.
    pub async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.outbound).await.unwrap()
    }

    /// The sum of the series of `name` with all of `labels`.
    pub fn metric(&self, name: &str, labels: &[&str]) -> f64 {
        let text = self.shared.metrics.render(Control::default());
        let fits =
            |line: &&str| line.starts_with(&format!("{name}{{")) && labels.iter().all(|l| line.contains(l));
        text.lines().filter(fits).map(|l| l.rsplit(' ').next().unwrap().parse::<f64>().unwrap()).sum()
    }

    /// Waits until a change has reached this proxy.
    pub async fn settled(&self, reached: impl AsyncFn() -> bool) {
        let settled = async {
            while !reached().await {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        tokio::time::timeout(SOON, settled).await.expect("the change in time");
    }

    /// Waits until the series have the value: a request is counted shortly after its client has the response.
    pub async fn expect(&self, name: &str, labels: &[&str], value: f64) {
        let reached = async {
            while self.metric(name, labels) != value {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        if tokio::time::timeout(SOON, reached).await.is_err() {
            let text = self.shared.metrics.render(Control::default());
            let lines: Vec<_> = text.lines().filter(|l| l.starts_with(name)).collect();
            panic!("{name}{labels:?} is {} and not {value}: {lines:#?}", self.metric(name, labels));
        }
    }
}
