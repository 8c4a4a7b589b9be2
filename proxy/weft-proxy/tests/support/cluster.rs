//! A cluster of network namespaces: two pods with proxies, a control plane on the node, a Service in front of the server.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tokio::runtime::Runtime;
use weft_api::discovery as api;
use weft_api::discovery::target::Kind as Target;
use weft_api::discovery::update::State;
use weft_proxy::identity::testing::spiffe;

use super::control_plane::{ControlPlane, FakeDestination};
use super::net::{CLIENT, NODE, NODE6, Net, SERVER};
use super::pod::Pod;
use super::programs::PROGRAMS;
use super::servers;

/// The addresses of Service shop/web; no machine has them.
pub const SERVICE: [&str; 2] = ["10.78.0.1", "fd78::1"];

/// The addresses of Services shop/legacy and shop/legacy6, whose endpoint on the node is no pod.
pub const OUTSIDE: [&str; 2] = ["10.78.0.2", "fd78::2"];

const SOON: Duration = Duration::from_secs(10);

/// Fields are dropped in this order: proxies, applications, control plane, namespaces.
pub struct Cluster {
    pub client: Pod,
    pub server: Pod,
    /// Where the client's application runs.
    pub application: Runtime,
    _servers: Runtime,
    /// Where clients and servers without a proxy run.
    pub outside: Runtime,
    pub plane: ControlPlane,
    pub net: Net,
}

impl Cluster {
    pub fn start() -> Self {
        Self::start_with(|_| ())
    }

    /// `change` comes before the first proxy asks for anything.
    pub fn start_with(change: impl FnOnce(&ControlPlane)) -> Self {
        let net = Net::new();
        let plane = ControlPlane::start(NODE.into(), net.node.enter());
        change(&plane);
        describe(&plane.destination);
        let (servers, outside) = (net.server.runtime(), net.node.runtime());
        servers::start(&servers);
        servers::start(&outside);
        Self {
            client: Pod::start(net.client.clone(), CLIENT, &plane, "caller"),
            server: Pod::start(net.server.clone(), SERVER, &plane, "web"),
            application: net.client.runtime(),
            _servers: servers,
            outside,
            plane,
            net,
        }
    }

    /// Runs a client inside the client's pod.
    pub fn call<T: Send + 'static>(&self, work: impl Future<Output = T> + Send + 'static) -> T {
        call(&self.application, work)
    }
}

/// Runs a client wherever the runtime is.
pub fn call<T: Send + 'static>(from: &Runtime, work: impl Future<Output = T> + Send + 'static) -> T {
    let (sender, receiver) = std::sync::mpsc::channel();
    from.spawn(async move { sender.send(work.await) });
    receiver.recv_timeout(SOON).expect("an answer in time")
}

/// Every port of the Services on all their addresses, each with one endpoint of the same family.
fn describe(destination: &FakeDestination) {
    for port in servers::PORTS.into_iter().chain(PROGRAMS.iter().map(|program| program.port)) {
        let [v4, v6] = SERVER;
        describe_port(destination, "web", SERVICE[0], endpoint(v4, port));
        describe_port(destination, "web6", SERVICE[1], endpoint(v6, port));
        describe_port(destination, "legacy", OUTSIDE[0], unmeshed(NODE.into(), port));
        describe_port(destination, "legacy6", OUTSIDE[1], unmeshed(NODE6.into(), port));
    }
}

fn describe_port(destination: &FakeDestination, name: &str, ip: &str, endpoint: api::Endpoint) {
    let port = endpoint.address.as_ref().unwrap().port;
    let service_port = api::ServicePort { namespace: "shop".into(), name: name.into(), port };
    let target = Target::Outbound(address(ip.parse().unwrap(), port.try_into().unwrap()));
    let to = api::ServiceDestination { service: Some(service_port.clone()), ..Default::default() };
    let outbound = api::Outbound {
        destination: Some(api::outbound::Destination::Service(to)),
        protocol: api::Protocol::Detect.into(),
    };
    destination.put(target, "1", State::Outbound(outbound));
    let endpoints = api::Endpoints { endpoints: vec![endpoint], exists: true };
    destination.put(Target::Endpoints(service_port), "1", State::Endpoints(endpoints));
}

fn address(ip: IpAddr, port: u16) -> api::SocketAddress {
    let ip = match ip {
        IpAddr::V4(ip) => ip.octets().to_vec(),
        IpAddr::V6(ip) => ip.octets().to_vec(),
    };
    api::SocketAddress { ip, port: port.into() }
}

fn endpoint(pod: IpAddr, port: u16) -> api::Endpoint {
    api::Endpoint {
        address: Some(address(pod, port)),
        weight: 1,
        identity: spiffe("shop", "web"),
        namespace: "shop".into(),
        pod: "web-1".into(),
        workload_kind: "deployment".into(),
        workload: "web".into(),
        ..Default::default()
    }
}

fn unmeshed(ip: IpAddr, port: u16) -> api::Endpoint {
    api::Endpoint { identity: String::new(), pod: String::new(), ..endpoint(ip, port) }
}

/// The Service's address of each family, with a port.
pub fn service(port: u16) -> [SocketAddr; 2] {
    SERVICE.map(|ip| SocketAddr::new(ip.parse().unwrap(), port))
}
