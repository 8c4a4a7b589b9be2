//! What leaves the mesh: counted by host or address, and refused where a policy does not let it.

mod support;

use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::time::Duration;

use http::{Request, Response, StatusCode};
use http_body_util::BodyExt;
use support::http::{UPGRADE, endless, full, http1, http2, mirror, serve, serve_upgrades};
use support::loopback::{Mesh, Pod, SERVICE, endpoint};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use weft_api::discovery as api;
use weft_proxy::identity::ALPN_H2;
use weft_proxy::identity::testing::spiffe;

/// A pod, and a server outside the mesh that it dials.
async fn pod(mesh: &Mesh, egress: Option<api::Egress>) -> (Pod, TcpListener, SocketAddr) {
    mesh.egress(egress);
    let web = mesh.pod(2, "web");
    let server = TcpListener::bind("127.0.0.9:0").await.unwrap();
    let dst = server.local_addr().unwrap();
    web.dial(dst);
    (web, server, dst)
}

fn egress(hosts: &[&str], networks: Vec<api::Network>) -> api::Egress {
    let hosts = hosts.iter().map(ToString::to_string).collect();
    api::Egress { name: "policy shop/egress".into(), hosts, networks, audit: false }
}

/// Says again what it hears.
fn echo(server: TcpListener) {
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = server.accept().await.unwrap();
            tokio::spawn(async move {
                let (mut from, mut to) = stream.split();
                let _ = tokio::io::copy(&mut from, &mut to).await;
            });
        }
    });
}

/// The beginning of a TLS connection to `host`.
fn hello(pod: &Pod, host: &'static str) -> Vec<u8> {
    let config = pod.shared.identity.client_config(&spiffe("shop", "web"), ALPN_H2).unwrap();
    let mut client = rustls::ClientConnection::new(config, host.try_into().unwrap()).unwrap();
    let mut bytes = Vec::new();
    client.write_tls(&mut bytes).unwrap();
    bytes
}

/// Whether the server has heard `words`.
async fn arrives(client: &mut TcpStream, words: &[u8]) -> bool {
    client.write_all(words).await.unwrap();
    let mut heard = vec![0; words.len()];
    client.read_exact(&mut heard).await.is_ok_and(|_| heard == words)
}

async fn status(pod: &Pod, host: &str) -> (StatusCode, String) {
    let request = Request::get("/").header("host", host).body(full("")).unwrap();
    let response = http1(pod.connect().await).await.send_request(request).await.unwrap();
    let error = response.headers().get("weft-error").map_or("", |v| v.to_str().unwrap()).to_owned();
    (response.status(), error)
}

/// Without a policy all goes on, and is counted: requests and TLS by host, the rest by address.
#[tokio::test]
async fn what_leaves_is_counted() {
    let mesh = Mesh::start();
    let (web, server, dst) = pod(&mesh, None).await;
    echo(server);
    assert!(arrives(&mut web.connect().await, b"*1\r\n").await);
    assert!(arrives(&mut web.connect().await, &hello(&web, "TLS.example.com")).await);
    let server = TcpListener::bind("127.0.0.9:0").await.unwrap();
    web.dial(server.local_addr().unwrap());
    serve(server, false, mirror);
    assert_eq!(StatusCode::OK, status(&web, "Api.example.com:8080").await.0);
    for destination in [&dst.to_string()[..], "tls.example.com", "api.example.com"] {
        let destination = format!("destination=\"{destination}\"");
        web.expect("weft_egress_total", &[&destination, "verdict=\"allow\""], 1.0).await;
    }
}

/// A policy lets pass what it names, and nothing else: clients hear code and policy, or their connection is reset.
#[tokio::test]
async fn only_what_is_named_may_be_called() {
    let mesh = Mesh::start();
    let (web, server, _) = pod(&mesh, Some(egress(&["api.example.com", "*.example.org"], vec![]))).await;
    serve(server, false, mirror);
    assert_eq!(StatusCode::OK, status(&web, "api.example.com").await.0);
    let refused = "E117 evil.example is not allowed by policy shop/egress".to_owned();
    assert_eq!((StatusCode::FORBIDDEN, refused), status(&web, "evil.example").await);
    let mut client = http2(web.connect().await).await;
    let grpc = Request::post("http://evil.example/x").header("content-type", "application/grpc");
    let response = client.send_request(grpc.body(full("")).unwrap()).await.unwrap();
    assert_eq!("7", response.headers()["grpc-status"]);
    let server = TcpListener::bind("127.0.0.9:0").await.unwrap();
    web.dial(server.local_addr().unwrap());
    echo(server);
    assert!(arrives(&mut web.connect().await, &hello(&web, "a.example.org")).await);
    assert!(!arrives(&mut web.connect().await, &hello(&web, "evil.example")).await);
    assert!(!arrives(&mut web.connect().await, b"*1\r\n").await);
    let denied = ["policy=\"policy shop/egress\"", "mode=\"enforce\""];
    web.expect("weft_policy_denied_total", &denied, 4.0).await;
    web.expect("weft_egress_total", &["destination=\"evil.example\"", "verdict=\"enforce\""], 3.0).await;
    web.expect("weft_proxy_errors_total", &["E117"], 4.0).await;
}

/// An address that is named may be called whatever is said there, by a client that is silent too.
#[tokio::test]
async fn addresses_need_no_host() {
    let mesh = Mesh::start();
    let network = api::Network { ip: vec![127, 0, 0, 9], prefix_length: 32, ports: vec![] };
    let (web, server, _) = pod(&mesh, Some(egress(&[], vec![network]))).await;
    tokio::spawn(async move {
        let (mut stream, _) = server.accept().await.unwrap();
        stream.write_all(b"220 ready\r\n").await.unwrap();
    });
    let mut greeting = String::new();
    web.connect().await.read_to_string(&mut greeting).await.unwrap();
    assert_eq!("220 ready\r\n", greeting);
}

/// A change ends what is open and may not be any more, by host as by address, and nothing else.
#[tokio::test]
async fn changes_end_open_connections() {
    let mesh = Mesh::start();
    let (web, server, _) = pod(&mesh, None).await;
    echo(server);
    let (mut named, mut bare) = (web.connect().await, web.connect().await);
    let hello = hello(&web, "api.example.com");
    assert!(arrives(&mut named, &hello).await && arrives(&mut bare, b"*1\r\n").await);
    mesh.egress(Some(egress(&["api.example.com"], vec![])));
    assert!(bare.read_u8().await.is_err());
    assert!(arrives(&mut named, &hello).await);
    web.expect("weft_proxy_errors_total", &["E117"], 1.0).await;
    mesh.egress(Some(egress(&[], vec![])));
    assert!(named.read_u8().await.is_err());
}

/// Server-sent events, say: a change breaks off what goes on although it may not, and nothing else.
#[tokio::test]
async fn changes_end_what_goes_on() {
    let mesh = Mesh::start();
    mesh.egress(None);
    let web = mesh.pod_with(2, "web", |config| config.revoked_grace = Duration::from_millis(1));
    let server = TcpListener::bind("127.0.0.9:0").await.unwrap();
    web.dial(server.local_addr().unwrap());
    serve(server, false, async |_| Response::new(endless("tea")));
    let mut bodies = Vec::new();
    for host in ["api.example.com", "evil.example"] {
        let request = Request::get("/").header("host", host).body(full("")).unwrap();
        let mut body = http1(web.connect().await).await.send_request(request).await.unwrap().into_body();
        assert_eq!("tea", body.frame().await.unwrap().unwrap().into_data().unwrap());
        bodies.push(body);
    }
    mesh.egress(Some(egress(&["api.example.com"], vec![])));
    assert!(bodies[1].frame().await.unwrap().is_err());
    let evil = ["destination=\"evil.example\"", "verdict=\"enforce\""];
    web.expect("weft_egress_total", &evil, 1.0).await;
    assert!(futures_util::FutureExt::now_or_never(bodies[0].frame()).is_none());
}

/// A client of a Service that leads to a server outside, by an EndpointSlice that names no pod, and that server's address.
async fn by_service(mesh: &Mesh, rules: Option<api::Egress>) -> (Pod, TcpListener, SocketAddr) {
    let (web, server, dst) = pod(mesh, rules).await;
    web.dial(SERVICE.parse().unwrap());
    mesh.service(vec![api::Endpoint { pod: String::new(), ..endpoint(dst, "", "") }]);
    (web, server, dst)
}

/// What a client of the Service hears first.
async fn heard(web: &Pod, words: &str) -> String {
    let mut client = web.connect().await;
    client.write_all(words.as_bytes()).await.unwrap();
    let mut bytes = [0; 512];
    let n = client.read(&mut bytes).await.unwrap();
    String::from_utf8_lossy(&bytes[..n]).into_owned()
}

/// Nobody gets around the list by a Service that leads to an address outside: it has to be on it, whatever host is said.
#[tokio::test]
async fn services_are_no_way_around() {
    let mesh = Mesh::start();
    let (web, server, dst) = by_service(&mesh, Some(egress(&["api.shop", "a"], vec![]))).await;
    for words in ["GET / HTTP/1.1\r\nhost: api.shop\r\n\r\n", UPGRADE] {
        let heard = heard(&web, words).await;
        let refused = format!("weft-error: E117 {dst} is not allowed by policy shop/egress\r\n");
        assert!(heard.starts_with("HTTP/1.1 403 ") && heard.contains(&refused), "{heard}");
    }
    assert!(!arrives(&mut web.connect().await, b"*1\r\n").await);
    assert!(futures_util::FutureExt::now_or_never(server.accept()).is_none());
    let destination = format!("destination=\"{dst}\"");
    web.expect("weft_egress_total", &[&destination, "verdict=\"enforce\""], 3.0).await;
    mesh.endpoints(vec![endpoint(dst, "", "db")]);
    echo(server);
    web.settled(async || arrives(&mut web.connect().await, b"*1\r\n").await).await;
}

/// What the list names may be called by a Service as well, until it is named no more.
#[tokio::test]
async fn services_lead_to_what_is_named() {
    let mesh = Mesh::start();
    let network = api::Network { ip: vec![127, 0, 0, 9], prefix_length: 32, ports: vec![] };
    let (web, server, dst) = by_service(&mesh, Some(egress(&[], vec![network]))).await;
    serve_upgrades(server);
    assert!(heard(&web, UPGRADE).await.starts_with("HTTP/1.1 101 "));
    let mut raw = web.connect().await;
    raw.write_all(b"*1\r\n").await.unwrap();
    raw.read_u8().await.unwrap();
    let destination = format!("destination=\"{dst}\"");
    web.expect("weft_egress_total", &[&destination, "verdict=\"allow\""], 2.0).await;
    mesh.egress(Some(egress(&[], vec![])));
    while raw.read_u8().await.is_ok() {}
    web.expect("weft_egress_total", &[&destination, "verdict=\"enforce\""], 1.0).await;
}

/// While the control plane is there and does not say what may leave, nothing does; its word is waited for.
#[tokio::test]
async fn nothing_leaves_unasked() {
    let mesh = Mesh::start();
    mesh.plane.destination.mute.store(true, Ordering::Relaxed);
    let (web, server, _) = pod(&mesh, None).await;
    serve(server, false, mirror);
    let refused = "E102 the control plane does not answer for addresses outside the cluster".to_owned();
    assert_eq!((StatusCode::SERVICE_UNAVAILABLE, refused), status(&web, "api.example.com").await);
    let waits = status(&web, "api.example.com");
    let says = async { mesh.egress(Some(egress(&["api.example.com"], vec![]))) };
    assert_eq!(StatusCode::OK, tokio::join!(waits, says).0.0);
    assert_eq!(StatusCode::FORBIDDEN, status(&web, "evil.example").await.0);
}

/// A pod whose control plane has been away from its start reaches what is outside, once that is clear.
#[tokio::test]
async fn without_a_control_plane_all_leaves() {
    let mut mesh = Mesh::start();
    mesh.plane.kill();
    let (web, server, _) = pod(&mesh, Some(egress(&[], vec![]))).await;
    serve(server, false, mirror);
    assert_eq!(StatusCode::OK, status(&web, "api.example.com").await.0);
    mesh.plane.resume();
    web.settled(async || status(&web, "api.example.com").await.0 == StatusCode::FORBIDDEN).await;
}

/// A policy in audit is told, and lets pass.
#[tokio::test]
async fn audits_let_pass() {
    let mesh = Mesh::start();
    let (web, server, _) = pod(&mesh, Some(api::Egress { audit: true, ..egress(&[], vec![]) })).await;
    serve(server, false, mirror);
    assert_eq!(StatusCode::OK, status(&web, "api.example.com").await.0);
    web.expect("weft_policy_denied_total", &["mode=\"audit\""], 1.0).await;
    web.expect("weft_egress_total", &["verdict=\"audit\""], 1.0).await;
}
