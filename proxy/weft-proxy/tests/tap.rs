//! Tap end to end: a proxy's tap port, and the tap service's way there by the CONNECT of its own proxy.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use futures_util::StreamExt;
use http::{HeaderMap, Method, StatusCode, Version};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tonic::transport::Endpoint;
use weft_api::tap::tap_client::TapClient;
use weft_api::tap::{Match, ObserveRequest};
use weft_proxy::config::Config;
use weft_proxy::control::{accept, dial, dns::Dns};
use weft_proxy::drain::Drain;
use weft_proxy::gateway;
use weft_proxy::identity::ALPN_H2;
use weft_proxy::identity::testing::{Authority, spiffe};
use weft_proxy::tap::{self, Direction, Exchange, Outcome, Ring};

fn exchange(path: &str) -> Exchange {
    Exchange {
        started: SystemTime::now(),
        direction: Direction::Inbound,
        source: "10.0.0.1:1000".parse().unwrap(),
        destination: "10.0.0.2:80".parse().unwrap(),
        tls: "true",
        peer_identity: None,
        method: Method::GET,
        uri: path.parse().unwrap(),
        host: None,
        version: Version::HTTP_11,
        status: Some(StatusCode::OK),
        grpc_status: None,
        outcome: Outcome::Success,
        latency: Duration::from_millis(1),
        duration: Duration::from_millis(2),
        request_bytes: 0,
        response_bytes: 0,
        route: None,
        dst: Arc::default(),
        request_headers: HeaderMap::new(),
        response_headers: HeaderMap::new(),
        error: None,
        audited: None,
    }
}

/// A proxy of shop/web with a tap port; returns its ring and where it listens.
fn tapped(ca: &Authority) -> (Arc<Ring>, SocketAddr) {
    let ring = Ring::new();
    let listener = accept::bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
    let address = listener.local_addr().unwrap();
    let identity = ca.identity(&spiffe("shop", "web")).unwrap();
    tokio::spawn(tap::server::run(listener, identity, ring.clone(), spiffe("weft", "tap"), Drain::default()));
    (ring, address)
}

/// The proxy of the tap service's pod.
async fn connect_listener(ca: &Authority) -> SocketAddr {
    let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap().local_addr().unwrap();
    let settings = [("WEFT_CONNECT_LISTEN".to_owned(), free.to_string())].into();
    let identity = ca.identity(&spiffe("weft", "tap")).unwrap();
    let mut tasks = JoinSet::new();
    gateway::start(&mut tasks, &Config::parse(settings).unwrap(), &identity, &Drain::default()).unwrap();
    tasks.detach_all();
    free
}

async fn tunnel(connect: SocketAddr, authority: &str) -> TcpStream {
    let mut stream = TcpStream::connect(connect).await.unwrap();
    stream
        .write_all(format!("CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n\r\n").as_bytes())
        .await
        .unwrap();
    let mut head = [0; 256];
    let read = stream.read(&mut head).await.unwrap();
    assert!(head[..read].starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&head[..read]));
    stream
}

/// The tap service dials `<ip>.<namespace>.<account>.pod.weft` by CONNECT and sees what matches, kept and live.
#[tokio::test]
async fn tap_reaches_a_proxy_by_connect() {
    let ca = Authority::new().unwrap();
    let (ring, address) = tapped(&ca);
    let connect = connect_listener(&ca).await;
    ring.record(exchange("/kept"));
    ring.record(exchange("/other"));

    let stream = tunnel(connect, &format!("127-0-0-1.shop.web.pod.weft:{}", address.port())).await;
    let channel = dial::over(Endpoint::from_static("http://proxy"), stream).await.unwrap();
    let wanted = Match { path_prefix: "/kept".into(), ..Match::default() };
    let request = ObserveRequest { r#match: Some(wanted), limit: 2, replay: 10, ..Default::default() };
    let mut events = TapClient::new(channel).observe(request).await.unwrap().into_inner();
    assert_eq!("/kept", events.next().await.unwrap().unwrap().path);
    ring.record(exchange("/other"));
    ring.record(exchange("/kept/live"));
    let event = events.next().await.unwrap().unwrap();
    assert_eq!(("/kept/live", 4, -1), (event.path.as_str(), event.id, event.grpc_status));
    assert!(events.next().await.is_none(), "the limit ends the stream");
}

/// Nobody but the tap service observes: another workload of the mesh is cut off.
#[tokio::test]
async fn other_workloads_may_not_tap() {
    let ca = Authority::new().unwrap();
    let (_ring, address) = tapped(&ca);
    let other = ca.identity(&spiffe("shop", "spy")).unwrap();
    let config = other.client_config(&spiffe("shop", "web"), ALPN_H2);
    let channel = dial::channel(&Dns::default(), &address.into(), config).await;
    let refused = match channel {
        Ok(channel) => TapClient::new(channel).observe(ObserveRequest::default()).await.is_err(),
        Err(_) => true,
    };
    assert!(refused);
}
