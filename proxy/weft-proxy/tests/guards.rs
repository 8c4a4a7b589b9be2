//! What must not get past a proxy, and what it does not wait for or hold for ever.

mod support;

use std::pin::pin;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::select;
use http::{Request, StatusCode};
use support::http::{UPGRADE, full, get, http1, http2, mirror, serve, serve_upgrades, text};
use support::loopback::{Mesh, Pod, endpoint};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;
use weft_api::discovery::{self as api, Protocol};
use weft_proxy::balance::Queue;
use weft_proxy::identity::testing::spiffe;
use weft_proxy::identity::{ALPN_H2, ALPN_TCP, SNI};

const FORGED: &str =
    "host: a\r\nweft-client-id: spiffe://forged\r\nconnection: close, weft-client-id\r\n\r\n";

/// All that the proxy of `pod` answers to these bytes of a client outside the mesh.
async fn say(pod: &Pod, parts: &[&str]) -> String {
    let mut client = TcpStream::connect(pod.inbound).await.unwrap();
    for (n, part) in parts.iter().enumerate() {
        if n > 0 {
            // Longer than anything that only looks like HTTP is waited for.
            tokio::time::sleep(Duration::from_millis(1200)).await;
        }
        client.write_all(part.as_bytes()).await.unwrap();
    }
    let mut answer = String::new();
    client.read_to_string(&mut answer).await.unwrap();
    answer
}

/// Mesh TLS from one pod to another.
async fn dial(web: &Pod, api: &Pod, alpn: &'static [u8]) -> TlsStream<TcpStream> {
    let config = web.shared.identity.client_config(api.shared.identity.id(), alpn).unwrap();
    let connector = tokio_rustls::TlsConnector::from(config);
    connector.connect(SNI.try_into().unwrap(), api.reach().await).await.unwrap()
}

/// A request that stalls in its line is still a request, whose reserved headers are the proxy's.
#[tokio::test]
async fn stalled_requests_forge_no_identity() {
    let mesh = Mesh::start();
    let api = mesh.pod(3, "api");
    serve(api.app().await, false, mirror);
    let answer = say(&api, &["GET / HTT", &format!("P/1.1\r\n{FORGED}")]).await;
    assert!(answer.ends_with("\r\n\r\nGET / HTTP/1.1\nhost: a\n\n"), "{answer}");
}

/// What a lenient server takes for a request and this proxy does not is refused, on a port never heard of before too.
#[tokio::test]
async fn disguised_requests_are_refused() {
    let mesh = Mesh::start();
    let api = mesh.pod(3, "api");
    serve(api.app().await, false, mirror);
    for line in ["get / HTTP/1.1", "GET / HTTP/1.01", "GET\t/\tHTTP/1.1", "GET / http/1.1"] {
        let answer = say(&api, &[&format!("{line}\r\n{FORGED}")]).await;
        assert!(answer.starts_with("HTTP/1.1 400 Bad Request\r\nweft-error: E108 "), "{line}: {answer}");
    }
}

/// A port that has spoken HTTP is never taken for anything else: not even HTTP/0.9 gets through.
#[tokio::test]
async fn ports_that_spoke_http_stay_http() {
    let mesh = Mesh::start();
    let api = mesh.pod(3, "api");
    serve(api.app().await, false, mirror);
    say(&api, &["GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n"]).await;
    assert_eq!("", say(&api, &[&format!("GET /\r\n{FORGED}")]).await);
}

/// A peer that brings its requests as bytes is told by its certificate, not by what it writes.
#[tokio::test]
async fn bytes_of_peers_forge_no_identity() {
    let mesh = Mesh::start();
    let (web, api) = (mesh.pod(2, "web"), mesh.pod(3, "api"));
    serve(api.app().await, false, mirror);
    say(&api, &["GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n"]).await;
    let mut stream = dial(&web, &api, ALPN_TCP).await;
    stream.write_all(format!("GET / HTTP/1.1\r\n{FORGED}").as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.contains(&format!("weft-client-id: {}\n", spiffe("shop", "web"))), "{answer}");
}

/// Connections above the limit are reset, and those within it served.
#[tokio::test]
async fn connections_are_limited() {
    let mesh = Mesh::start();
    let web = mesh.pod_with(2, "web", |config| config.max_connections = 1);
    let api = mesh.pod(3, "api");
    serve(api.app().await, false, mirror);
    mesh.service(vec![api.endpoint()]);
    let mut client = http1(web.connect().await).await;
    assert_eq!(StatusCode::OK, client.send_request(get("/")).await.unwrap().status());
    let above = async { TcpStream::connect(web.outbound).await?.read(&mut [0; 1]).await };
    assert!(above.await.is_err());
    web.expect("weft_proxy_errors_total", &["E110"], 1.0).await;
    client.ready().await.unwrap();
    assert_eq!(StatusCode::OK, client.send_request(get("/")).await.unwrap().status());
}

/// So are those from outside.
#[tokio::test]
async fn connections_from_outside_are_limited() {
    let mesh = Mesh::start();
    let api = mesh.pod_with(3, "api", |config| config.max_connections = 1);
    serve(api.app().await, false, mirror);
    let mut client = http1(api.reach().await).await;
    assert_eq!(StatusCode::OK, client.send_request(get("/")).await.unwrap().status());
    let above = async { TcpStream::connect(api.inbound).await?.read(&mut [0; 1]).await };
    assert!(above.await.is_err());
    api.expect("weft_proxy_errors_total", &["E110"], 1.0).await;
    client.ready().await.unwrap();
    assert_eq!(StatusCode::OK, client.send_request(get("/")).await.unwrap().status());
}

/// While an endpoint is waited for, so many requests wait, and one more is told that there are too many.
#[tokio::test]
async fn requests_that_wait_are_limited() {
    let mesh = Mesh::start();
    let web =
        mesh.pod_with(2, "web", |config| config.queue = Queue { timeout: Duration::from_secs(20), max: 1 });
    let api = mesh.pod(3, "api");
    serve(api.app().await, false, mirror);
    mesh.service(vec![api.endpoint()]);
    let ask = async || http1(web.connect().await).await.send_request(get("/")).await.unwrap();
    assert_eq!(StatusCode::OK, ask().await.status());
    web.expect("weft_balancer_endpoints", &[], 1.0).await;
    mesh.endpoints(vec![]);
    web.expect("weft_balancer_endpoints", &[], 0.0).await;
    let (one, other) = (pin!(ask()), pin!(ask()));
    let (told, waits) = select(one, other).await.factor_first();
    let error = told.headers()["weft-error"].to_str().unwrap();
    assert_eq!(StatusCode::SERVICE_UNAVAILABLE, told.status());
    assert!(error.starts_with("E110 too many requests wait for "), "{error}");
    mesh.endpoints(vec![api.endpoint()]);
    assert_eq!(StatusCode::OK, waits.await.status());
}

/// What has left HTTP still has its place; the other direction has places of its own.
#[tokio::test]
async fn upgraded_connections_are_limited() {
    let mesh = Mesh::start();
    let web = mesh.pod_with(2, "web", |config| config.max_connections = 1);
    let api = mesh.pod(3, "api");
    serve_upgrades(api.app().await);
    mesh.service(vec![api.endpoint()]);
    let mut left = web.connect().await;
    left.write_all(UPGRADE.as_bytes()).await.unwrap();
    assert!(left.read(&mut [0; 512]).await.unwrap() > 0);
    let above = async { TcpStream::connect(web.outbound).await?.read(&mut [0; 1]).await };
    assert!(above.await.is_err());
    serve(web.app().await, false, mirror);
    let answer = say(&web, &["GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n"]).await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
}

const BULK: usize = 64 << 20;

/// A client whose proxy may hold 4 MiB, three quarters of it for those who wait, and a server of much for `/bulk`.
async fn pair_with_little_room(mesh: &Mesh, http2: bool) -> Pod {
    let web = mesh.pod_with(2, "web", |config| config.max_buffered = 4 << 20);
    let api = mesh.pod(3, "api");
    let bulk = Bytes::from(vec![b'x'; BULK]);
    serve(api.app().await, http2, move |_| {
        let body = full(bulk.clone());
        std::future::ready(http::Response::new(body))
    });
    mesh.service(vec![api.endpoint()]);
    web
}

/// Clients that do not read what they asked for are cut off, the first ones first, when too much waits for them; who reads
/// is served while the others still wait.
#[tokio::test]
async fn unread_responses_are_limited() {
    let mesh = Mesh::start();
    let web = pair_with_little_room(&mesh, false).await;
    let mut unread = Vec::new();
    for _ in 0..10 {
        let mut client = web.connect().await;
        client.write_all(b"GET /bulk HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
        unread.push(client);
    }
    // There is room for eight.
    web.expect("weft_proxy_errors_total", &["E110"], 2.0).await;
    let response = http1(web.connect().await).await.send_request(get("/bulk")).await.unwrap();
    assert_eq!(BULK, text(response).await.len());
    drop(unread);
}

/// So are streams of HTTP/2, and who reads his own is served.
#[tokio::test]
async fn unread_streams_are_limited() {
    let mesh = Mesh::start();
    let web = pair_with_little_room(&mesh, true).await;
    let ask = || Request::get("http://api.shop/bulk").body(full("")).unwrap();
    let mut client = http2(web.connect().await).await;
    let mut unread = Vec::new();
    for _ in 0..20 {
        // Some are cut off before their head is through.
        unread.extend(client.send_request(ask()).await);
    }
    web.settled(async || web.metric("weft_proxy_errors_total", &["E110"]) > 0.0).await;
    let response = http2(web.connect().await).await.send_request(ask()).await.unwrap();
    assert_eq!(BULK, text(response).await.len());
    drop(unread);
}

/// A head that comes byte by byte is not waited for, and neither is a connection on which nothing comes any more, one
/// that has left HTTP included.
#[tokio::test]
async fn slow_and_idle_connections_end() {
    let mesh = Mesh::start();
    let soon = Some(Duration::from_millis(1));
    let head = "GET / HTTP/1.1\r\nhost:";
    for (idle, begun, errors) in [(None, head, 1.0), (soon, "*1\r\n", 0.0), (soon, UPGRADE, 0.0)] {
        let api = mesh.pod_with(3, "api", |config| {
            config.limits.head = Duration::from_millis(1);
            config.limits.idle = idle;
        });
        serve_upgrades(api.app().await);
        let mut client = api.reach().await;
        client.write_all(begun.as_bytes()).await.unwrap();
        ended(client).await;
        api.expect("weft_proxy_errors_total", &["E105"], errors).await;
    }
}

/// What a client of HTTP/2 says first, and then the beginning of a request.
const HELLO2: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
const BEGUN2: &[u8] = b"\0\0\x03\x01\0\0\0\0\x01\x83\x86\x84";

/// So it is with HTTP/2: a head that does not end is not waited for, from outside or from the application; who says hello
/// and has no request yet may stay.
#[tokio::test]
async fn slow_heads_of_http2_end() {
    let mesh = Mesh::start();
    let pod = mesh.pod_with(3, "api", |config| config.limits.head = Duration::from_millis(1));
    serve(pod.app().await, true, mirror);
    mesh.inbound(pod.app_port(), api::Inbound { protocol: Protocol::Http2.into(), ..Default::default() });
    mesh.service_with(Protocol::Http2, vec![], vec![own_app(&pod)]);
    let mut patient = http2(pod.reach().await).await;
    for mut client in [pod.reach().await, pod.connect().await] {
        client.write_all(&[HELLO2, BEGUN2].concat()).await.unwrap();
        ended(client).await;
    }
    pod.expect("weft_proxy_errors_total", &["E105"], 2.0).await;
    let request = Request::get("http://api.shop/").body(full("")).unwrap();
    assert_eq!(StatusCode::OK, patient.send_request(request).await.unwrap().status());
}

/// Nor is a peer that is who it says, and then does not go on with its preface.
#[tokio::test]
async fn slow_prefaces_end() {
    let mesh = Mesh::start();
    let web = mesh.pod(2, "web");
    let api = mesh.pod_with(3, "api", |config| config.limits.head = Duration::from_millis(1));
    serve(api.app().await, false, mirror);
    let mut stream = dial(&web, &api, ALPN_H2).await;
    stream.write_all(&HELLO2[..10]).await.unwrap();
    stream.flush().await.unwrap();
    ended(stream).await;
    api.expect("weft_proxy_errors_total", &["E105"], 1.0).await;
}

/// Nor is a ClientHello that stops half way.
#[tokio::test]
async fn slow_client_hellos_end() {
    let mesh = Mesh::start();
    let api = mesh.pod(3, "api");
    let _app = api.app().await;
    let mut client = api.reach().await;
    client.write_all(b"\x16\x03\x01\x02\0\x01\0").await.unwrap();
    ended(client).await;
    api.expect("weft_proxy_errors_total", &["E108"], 1.0).await;
}

/// The application of the pod itself, in plain text.
fn own_app(pod: &Pod) -> api::Endpoint {
    endpoint((pod.ip, pod.app_port()).into(), "", "app")
}

/// Waits until the proxy ends or resets the connection.
async fn ended(mut client: impl AsyncRead + Unpin) {
    let mut rest = Vec::new();
    let end = tokio::time::timeout(Duration::from_secs(20), client.read_to_end(&mut rest));
    let _ = end.await.expect("an end of the connection");
}

/// Nor is one on which nothing ever comes, whatever it would have been, from outside or from the application.
#[tokio::test]
async fn silent_connections_end() {
    let mesh = Mesh::start();
    for protocol in [Protocol::Detect, Protocol::Opaque, Protocol::Http1] {
        let pod = mesh.pod_with(3, "api", |config| config.limits.idle = Some(Duration::from_millis(1)));
        serve(pod.app().await, false, mirror);
        mesh.inbound(pod.app_port(), api::Inbound { protocol: protocol.into(), ..Default::default() });
        mesh.service_with(protocol, vec![], vec![own_app(&pod)]);
        tokio::join!(ended(pod.reach().await), ended(pod.connect().await));
    }
}

/// A proxy that leaves waits for a connection on which nobody has spoken yet: the server may be about to. It does not for
/// one that only awaits requests.
#[tokio::test]
async fn silent_connections_are_drained() {
    let mesh = Mesh::start();
    for (protocol, finishes) in [(Protocol::Detect, false), (Protocol::Http1, true)] {
        let pod = mesh.pod(3, "api");
        let app = pod.app().await;
        mesh.service_with(protocol, vec![], vec![own_app(&pod)]);
        let client = pod.connect().await;
        let server = if finishes { None } else { app.accept().await.ok() };
        pod.settled(async || !pod.shared.drain.finished(Duration::ZERO).await).await;
        pod.shared.drain.start();
        let grace = if finishes { Duration::from_secs(20) } else { Duration::from_millis(20) };
        assert_eq!(finishes, pod.shared.drain.finished(grace).await, "{protocol:?}");
        drop((client, server));
        assert!(pod.shared.drain.finished(Duration::from_secs(20)).await);
    }
}
