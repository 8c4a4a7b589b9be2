//! The control side against a control plane in the process: certificates and discovery over real mesh TLS.

mod support;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use support::control_plane::ControlPlane;
use weft_api::discovery::request::Kind;
use weft_api::discovery::target::Kind as Target;
use weft_api::discovery::update::State;
use weft_api::discovery::{self as api, Hello};
use weft_proxy::discovery::{Destination, Discovery, Protocol, ServicePort, stream};
use weft_proxy::identity::testing::{TRUST_DOMAIN, spiffe};
use weft_proxy::identity::{Identity, certify};

const SOON: Duration = Duration::from_secs(10);

/// A proxy's control side, and the files it reads.
struct Proxy {
    identity: Arc<Identity>,
    discovery: Discovery,
    files: PathBuf,
}

impl Proxy {
    fn start(plane: &ControlPlane, name: &str) -> Self {
        let files = std::env::temp_dir().join(format!("weft-control-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&files).unwrap();
        std::fs::write(files.join("token"), "shop/web\n").unwrap();
        std::fs::write(files.join("ca.crt"), plane.identity.ca.pem()).unwrap();
        let identity = Identity::new(&spiffe("shop", "web"), TRUST_DOMAIN);
        let discovery = Discovery::new(vec!["10.0.0.0/8".parse().unwrap()]);
        tokio::spawn(certify::run(
            identity.clone(),
            certify::Settings {
                address: plane.identity_addr.into(),
                server_id: spiffe("weft", "identity"),
                token_file: files.join("token"),
                bundle_file: files.join("ca.crt"),
            },
        ));
        let settings = stream::Settings {
            address: plane.destination_addr.into(),
            server_id: spiffe("weft", "destination"),
            hello: Hello {
                namespace: "shop".into(),
                pod: "web-1".into(),
                heartbeats: true,
                ..Hello::default()
            },
        };
        tokio::spawn(stream::run(discovery.clone(), identity.clone(), settings));
        Self { identity, discovery, files }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.files);
    }
}

fn plane() -> ControlPlane {
    ControlPlane::start(Ipv4Addr::LOCALHOST.into(), || {})
}

fn address(text: &str) -> Target {
    let address: SocketAddr = text.parse().unwrap();
    let SocketAddr::V4(address) = address else { panic!("IPv4 only") };
    Target::Outbound(api::SocketAddress { ip: address.ip().octets().to_vec(), port: address.port().into() })
}

fn web() -> api::ServicePort {
    api::ServicePort { namespace: "shop".into(), name: "web".into(), port: 80 }
}

fn endpoint(text: &str) -> api::Endpoint {
    let Target::Outbound(address) = address(text) else { unreachable!() };
    api::Endpoint { address: Some(address), weight: 1, identity: spiffe("shop", "web"), ..Default::default() }
}

fn to_service() -> State {
    let service = api::ServiceDestination { service: Some(web()), ..Default::default() };
    let destination = Some(api::outbound::Destination::Service(service));
    State::Outbound(api::Outbound { destination, protocol: api::Protocol::Http1.into() })
}

async fn within<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(SOON, work).await.expect("in time")
}

/// A proxy with nothing but token and bundle gets its certificate, and a new one before that ends.
#[tokio::test]
async fn certificates_are_fetched_and_renewed() {
    let plane = plane();
    *plane.identity.lifetime.lock().unwrap() = Duration::from_secs(2);
    let proxy = Proxy::start(&plane, "renew");
    within(proxy.identity.ready()).await;
    let mut generations = proxy.identity.subscribe();
    within(generations.wait_for(|generation| *generation >= 2)).await.unwrap();
    assert!(proxy.identity.is_ready());
    assert_eq!(proxy.identity.bundle_sha256(), plane.identity.calls.borrow()[0]);
}

/// Nobody but the identity service gets the token: another server that the bundle vouches for is refused.
#[tokio::test]
async fn the_token_goes_to_the_identity_service_only() {
    let mut plane = plane();
    std::mem::swap(&mut plane.identity_addr, &mut plane.destination_addr);
    let proxy = Proxy::start(&plane, "wrong-server");
    let refused = tokio::time::timeout(Duration::from_millis(500), proxy.identity.ready()).await;
    assert!(refused.is_err() && plane.identity.calls.borrow().is_empty());
}

/// An address is asked for once however many dial it, and changes reach who holds a receiver.
#[tokio::test]
async fn answers_are_shared_and_followed() {
    let plane = plane();
    plane.destination.put(address("10.0.0.1:80"), "1", to_service());
    let proxy = Proxy::start(&plane, "shared");
    let dst = "10.0.0.1:80".parse().unwrap();
    let (first, second) =
        within(async { tokio::join!(proxy.discovery.outbound(dst), proxy.discovery.outbound(dst)) }).await;
    let mut receiver = first.unwrap();
    let Destination::Service(service) = receiver.borrow_and_update().destination.clone() else { panic!() };
    assert_eq!(
        (ServicePort::new("shop", "web", 80), Protocol::Http1),
        (service.service, second.unwrap().borrow().protocol)
    );
    let asked = |(target, _): &(Target, String)| *target == address("10.0.0.1:80");
    assert_eq!(1, plane.destination.watches().iter().filter(|watch| asked(watch)).count());
    let gone = api::Outbound {
        destination: Some(api::outbound::Destination::NotInMesh(api::NotInMesh::default())),
        protocol: 1,
    };
    plane.destination.put(address("10.0.0.1:80"), "2", State::Outbound(gone));
    within(receiver.changed()).await.unwrap();
    assert!(matches!(receiver.borrow().destination, Destination::NotInMesh(None)));
}

/// Endpoint sets follow deltas; a delta to another base makes the proxy ask for the whole set.
#[tokio::test]
async fn deltas_apply_to_the_version_they_name() {
    let plane = plane();
    let target = Target::Endpoints(web());
    let set = |endpoints| State::Endpoints(api::Endpoints { endpoints, exists: true });
    plane.destination.put(target.clone(), "1", set(vec![endpoint("10.1.0.2:80"), endpoint("10.1.0.1:80")]));
    let proxy = Proxy::start(&plane, "delta");
    let mut receiver = within(proxy.discovery.endpoints(&ServicePort::new("shop", "web", 80))).await.unwrap();
    let addresses =
        |r: &tokio::sync::watch::Receiver<Arc<weft_proxy::discovery::EndpointSet>>| -> Vec<String> {
            r.borrow().endpoints.iter().map(|e| e.addr.to_string()).collect()
        };
    assert_eq!(vec!["10.1.0.1:80", "10.1.0.2:80"], addresses(&receiver));
    receiver.mark_unchanged();

    let delta = |base: &str, version: &str, added: &str| {
        let Target::Outbound(removed) = address("10.1.0.1:80") else { unreachable!() };
        let delta = api::EndpointsDelta {
            base_version: base.into(),
            upserted: vec![endpoint(added)],
            removed: vec![removed],
        };
        let target = Some(api::Target { kind: Some(target.clone()) });
        api::Update { target, version: version.into(), state: Some(State::EndpointsDelta(delta)) }
    };
    plane.destination.send(delta("1", "2", "10.1.0.3:80"));
    within(receiver.changed()).await.unwrap();
    assert_eq!(vec!["10.1.0.2:80", "10.1.0.3:80"], addresses(&receiver));

    plane.destination.send(delta("unheard of", "4", "10.1.0.4:80"));
    within(receiver.changed()).await.unwrap();
    assert_eq!(vec!["10.1.0.1:80", "10.1.0.2:80"], addresses(&receiver), "the whole set, asked for again");
}

/// What is known stays known while the control plane is away, new addresses fail with a code after 3 s, and a new
/// stream names what is held, so only changes come.
#[tokio::test]
async fn the_control_plane_may_go_and_come_back() {
    let mut plane = plane();
    plane.destination.put(address("10.0.0.1:80"), "1", to_service());
    let proxy = Proxy::start(&plane, "away");
    let known = "10.0.0.1:80".parse().unwrap();
    within(proxy.discovery.outbound(known)).await.unwrap();
    plane.kill();
    let started = Instant::now();
    let error = within(proxy.discovery.outbound("10.0.0.2:80".parse().unwrap())).await.unwrap_err();
    assert_eq!("10.0.0.2:80", error.target);
    assert!(started.elapsed() >= Duration::from_secs(3));
    assert!(!proxy.discovery.is_connected());
    within(proxy.discovery.outbound(known)).await.unwrap();
    plane.destination.put(address("10.0.0.2:80"), "1", to_service());
    plane.resume();
    within(
        plane.destination.wait_for(|kind| matches!(kind, Kind::Watch(watch) if watch.held_version == "1")),
    )
    .await;
    within(proxy.discovery.outbound("10.0.0.2:80".parse().unwrap())).await.unwrap();
    assert!(proxy.discovery.is_connected());
}

/// A service that promised heartbeats and falls silent is given up, although its connection lives.
#[tokio::test]
async fn a_frozen_control_plane_is_noticed() {
    let plane = plane();
    plane.destination.interval_ms.store(20, std::sync::atomic::Ordering::Relaxed);
    let _proxy = Proxy::start(&plane, "frozen");
    let hellos = |all: &Vec<api::Request>| {
        all.iter().filter(|request| matches!(request.kind, Some(Kind::Hello(_)))).count() >= 2
    };
    within(plane.destination.asked.subscribe().wait_for(hellos)).await.unwrap();
}

/// Addresses outside the cluster's networks need no control plane: a proxy that has just started waits for one, then no more.
#[tokio::test(start_paused = true)]
async fn the_world_outside_is_not_asked_for() {
    let discovery = Discovery::new(vec!["10.0.0.0/8".parse().unwrap()]);
    for waits in [3.0, 0.0] {
        let asked = tokio::time::Instant::now();
        let outside = discovery.outbound("[::ffff:192.0.2.1]:443".parse().unwrap()).await.unwrap();
        assert!(matches!(outside.borrow().destination, Destination::NotInMesh(None)));
        assert_eq!(waits, asked.elapsed().as_secs_f64().round());
    }
}
