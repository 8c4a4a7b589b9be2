//! What can go wrong on the way, and what the client is told; what must never happen.

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use http::{Request, Response, StatusCode};
use http_body_util::BodyExt;
use support::http::{full, get, http1, http2, mirror, serve, text};
use support::loopback::{Mesh, Pod, endpoint};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use weft_api::discovery as api;
use weft_proxy::identity::testing::spiffe;
use weft_proxy::identity::{ALPN_TCP, SNI};

/// An address of the loopback where nobody listens.
async fn nobody() -> std::net::SocketAddr {
    TcpListener::bind("127.0.0.9:0").await.unwrap().local_addr().unwrap()
}

/// Status, `weft-error` and body of a GET.
async fn fetch(pod: &Pod) -> (StatusCode, String, String) {
    let mut client = http1(pod.connect().await).await;
    let response = client.send_request(get("/")).await.unwrap();
    let error = response.headers().get("weft-error").map(|v| v.to_str().unwrap().to_owned());
    (response.status(), error.unwrap_or_default(), text(response).await)
}

/// A server with another identity than discovery says gets not one byte of the request.
#[tokio::test]
async fn wrong_identity_is_refused() {
    let mesh = Mesh::start();
    let (web, api, app) = mesh.pair().await;
    let reached = Arc::new(AtomicUsize::new(0));
    let count = reached.clone();
    serve(app, false, move |request| {
        count.fetch_add(1, Ordering::Relaxed);
        mirror(request)
    });
    mesh.service(vec![endpoint(api.inbound, &spiffe("shop", "other"), "api")]);
    let (status, error, _) = fetch(&web).await;
    assert_eq!(
        (StatusCode::BAD_GATEWAY, true),
        (status, error.starts_with("E106 mesh TLS to spiffe://")),
        "{error}"
    );
    assert_eq!(0, reached.load(Ordering::Relaxed));
    web.expect("weft_proxy_errors_total", &["E106"], 1.0).await;
}

/// A meshed endpoint whose proxy is gone is not reached in plain text either.
#[tokio::test]
async fn meshed_peers_are_never_called_in_plain_text() {
    let mesh = Mesh::start();
    let web = mesh.pod(2, "web");
    let app = TcpListener::bind("127.0.0.3:0").await.unwrap();
    mesh.service(vec![endpoint(app.local_addr().unwrap(), &spiffe("shop", "api"), "api")]);
    let first_bytes = tokio::spawn(async move {
        let (mut stream, _) = app.accept().await.unwrap();
        let mut bytes = [0; 3];
        stream.read_exact(&mut bytes).await.unwrap();
        bytes
    });
    let (status, ..) = fetch(&web).await;
    assert_eq!(StatusCode::BAD_GATEWAY, status);
    assert_eq!([0x16, 0x03, 0x01], first_bytes.await.unwrap());
}

/// Beside an error stands what tap knows the request by.
#[tokio::test]
async fn a_failed_request_is_named() {
    let mesh = Mesh::start();
    let web = mesh.pod(2, "web");
    mesh.service(vec![]);
    let mut client = http1(web.connect().await).await;
    client.send_request(get("/")).await.unwrap();
    let response = client.send_request(get("/")).await.unwrap();
    let (own, kept) = (&web.shared.own, web.shared.ring.recent());
    let name = format!("{}/{}/{}", own.namespace, own.pod, kept.last().unwrap().id);
    assert_eq!(name.as_bytes(), response.headers()["weft-request-id"].as_bytes());
}

/// No endpoint is an error with the Service's name; gRPC hears it in its own words.
#[tokio::test]
async fn no_endpoints_is_told() {
    let mesh = Mesh::start();
    let web = mesh.pod(2, "web");
    mesh.service(vec![]);
    let (status, error, body) = fetch(&web).await;
    assert_eq!((503, "E104 no ready endpoints of svc/api.shop:80"), (status.as_u16(), &error[..]));
    assert_eq!("weft: E104 no ready endpoints of svc/api.shop:80\n", body);
    let mut client = http2(web.connect().await).await;
    let request =
        Request::post("http://api/x").header("content-type", "application/grpc").body(full("")).unwrap();
    let response = client.send_request(request).await.unwrap();
    assert_eq!(
        (200, "14"),
        (response.status().as_u16(), response.headers()["grpc-status"].to_str().unwrap())
    );
    let unreached = ["result=\"failure\"", "dst_service=\"api\"", "dst_workload=\"\""];
    web.expect("weft_requests_total", &unreached, 2.0).await;
}

/// An application that does not listen: the code says so, through both proxies.
#[tokio::test]
async fn dead_application_is_told() {
    let mesh = Mesh::start();
    let (web, api, app) = mesh.pair().await;
    drop(app);
    let (status, error, _) = fetch(&web).await;
    assert_eq!(
        (StatusCode::BAD_GATEWAY, true),
        (status, error.starts_with("E103 cannot connect to 127.0.0.3"))
    );
    web.expect("weft_requests_total", &["result=\"failure\"", "status=\"502\""], 1.0).await;
    assert!(api.metric("weft_proxy_errors_total", &["E103"]) >= 1.0);
    // Its peer may have gone elsewhere: that one alone knows what became of the request.
    assert_eq!(0.0, api.metric("weft_requests_total", &[]));
}

/// An endpoint that does not answer is passed over: for requests with a body too, and for bare connections.
#[tokio::test]
async fn dead_endpoints_are_passed_over() {
    let mesh = Mesh::start();
    let (web, api, app) = mesh.pair().await;
    serve(app, false, mirror);
    let gone = mesh.pod(4, "api");
    drop(gone.app().await);
    let dead = endpoint(nobody().await, &spiffe("shop", "api"), "api");
    mesh.service(vec![dead, gone.endpoint(), api.endpoint()]);
    for _ in 0..20 {
        let mut client = http1(web.connect().await).await;
        let request = Request::post("/").header("host", "a").body(full("body")).unwrap();
        assert!(text(client.send_request(request).await.unwrap()).await.ends_with("\n\nbody"));
    }
    web.expect("weft_requests_total", &["result=\"success\"", "status=\"200\""], 20.0).await;
    assert_eq!(0.0, web.metric("weft_requests_total", &["result=\"failure\""]));
}

/// A bare connection is not given to a pod whose application does not listen, although its proxy does.
#[tokio::test]
async fn dead_applications_are_passed_over_by_bytes() {
    let mesh = Mesh::start();
    let (web, api, app) = mesh.pair().await;
    let gone = mesh.pod(4, "api");
    drop(gone.app().await);
    mesh.service(vec![gone.endpoint(), api.endpoint()]);
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = app.accept().await.unwrap();
            tokio::spawn(async move {
                let (mut from, mut to) = stream.split();
                tokio::io::copy(&mut from, &mut to).await.unwrap();
            });
        }
    });
    for _ in 0..10 {
        let mut client = web.connect().await;
        client.write_all(b"*1\r\n").await.unwrap();
        let mut echo = [0; 4];
        client.read_exact(&mut echo).await.unwrap();
        assert_eq!(b"*1\r\n", &echo);
    }
}

/// A route's name is a label, and its timeout holds: for the head, and for what follows it.
#[tokio::test]
async fn routes_have_names_and_timeouts() {
    let mesh = Mesh::start();
    let (web, _api, app) = mesh.pair().await;
    serve(app, false, async |request: Request<_>| {
        if request.uri().path() == "/slow" {
            tokio::time::sleep(Duration::from_secs(60)).await;
        }
        Response::new(full(""))
    });
    let route = |name: &str, path: &str, request_timeout_ms| api::Route {
        name: name.into(),
        matches: vec![api::RouteMatch {
            method: "GET".into(),
            path_regex: path.into(),
            ..Default::default()
        }],
        request_timeout_ms,
        ..api::Route::default()
    };
    let endpoints = vec![_api.endpoint()];
    mesh.service_with(
        api::Protocol::Http1,
        vec![route("slow", "/slow", 100), route("item", "/items/[0-9]+", 20_000)],
        endpoints,
    );
    let mut client = http1(web.connect().await).await;
    for (path, status) in [("/slow", 504), ("/items/1", 200), ("/items/2?x=y", 200), ("/items/a", 200)] {
        assert_eq!(status, client.send_request(get(path)).await.unwrap().status().as_u16());
    }
    web.expect("weft_requests_total", &["route=\"slow\"", "status=\"504\""], 1.0).await;
    web.expect("weft_requests_total", &["route=\"item\"", "status=\"200\""], 2.0).await;
    web.expect("weft_requests_total", &["route=\"\"", "status=\"200\""], 1.0).await;
}

/// A connection to the proxy's own port would come back to it for ever.
#[tokio::test]
async fn loops_are_refused() {
    let mesh = Mesh::start();
    let web = mesh.pod(2, "web");
    for own in [web.outbound, web.inbound] {
        web.dial(own);
        assert_eq!(0, web.connect().await.read(&mut [0; 8]).await.unwrap_or(0));
    }
    web.expect("weft_proxy_errors_total", &["E107"], 2.0).await;
}

/// Inbound is no relay: what is not an address of the pod is not dialled.
#[tokio::test]
async fn inbound_is_no_relay() {
    let mesh = Mesh::start();
    let api = mesh.pod(3, "api");
    let elsewhere = TcpListener::bind("127.0.0.1:0").await.unwrap();
    *api.serves.lock().unwrap() = elsewhere.local_addr().unwrap();
    assert_eq!(0, TcpStream::connect(api.inbound).await.unwrap().read(&mut [0; 8]).await.unwrap_or(0));
    api.expect("weft_proxy_errors_total", &["E107"], 1.0).await;
}

/// What the control plane does not know in time is an error, never plain text.
#[tokio::test]
async fn unknown_addresses_are_refused() {
    let mesh = Mesh::start();
    let web = mesh.pod(2, "web");
    web.dial("10.2.0.1:80".parse().unwrap());
    let (status, error, _) = fetch(&web).await;
    assert_eq!((StatusCode::SERVICE_UNAVAILABLE, true), (status, error.starts_with("E102 ")), "{error}");
}

/// A connection of HTTP/2 that was refused ends, so that its client asks again.
#[tokio::test]
async fn refused_connections_do_not_last() {
    let mesh = Mesh::start();
    let web = mesh.pod(2, "web");
    web.dial("10.2.0.1:80".parse().unwrap());
    let mut client = http2(web.connect().await).await;
    let request = Request::get("http://api/").body(full("")).unwrap();
    let response = client.send_request(request).await.unwrap();
    assert!(response.headers()["weft-error"].to_str().unwrap().starts_with("E102 "));
    text(response).await;
    let ended = async {
        while client.ready().await.is_ok() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), ended).await.unwrap();
}

/// Outside the cluster's networks everything goes on as dialled.
#[tokio::test]
async fn the_world_outside_is_reached_as_dialled() {
    let mesh = Mesh::start();
    let web = mesh.pod(2, "web");
    let app = TcpListener::bind("127.0.0.7:0").await.unwrap();
    web.dial(app.local_addr().unwrap());
    serve(app, false, mirror);
    assert_eq!("GET / HTTP/1.1\nhost: api.shop\n\n", fetch(&web).await.2);
    web.expect("weft_requests_total", &["tls=\"no_identity\"", "dst_workload=\"\""], 1.0).await;
}

/// An endpoint without identity is spoken to in plain text, in the version of the client.
#[tokio::test]
async fn unmeshed_endpoints_get_plain_text() {
    for http2_server in [false, true] {
        // One for each: a proxy hears of a change of endpoints some time later.
        let mesh = Mesh::start();
        let web = mesh.pod(2, "web");
        let app = TcpListener::bind("127.0.0.7:0").await.unwrap();
        mesh.service(vec![endpoint(app.local_addr().unwrap(), "", "legacy")]);
        serve(app, http2_server, mirror);
        let response = if http2_server {
            http2(web.connect().await)
                .await
                .send_request(Request::get("http://api.shop/").body(full("")).unwrap())
                .await
        } else {
            http1(web.connect().await).await.send_request(get("/")).await
        };
        let version = if http2_server { "GET http://api.shop/ HTTP/2.0" } else { "GET / HTTP/1.1" };
        assert!(text(response.unwrap()).await.starts_with(version));
        web.expect("weft_requests_total", &["tls=\"no_identity\"", "dst_workload=\"legacy\""], 1.0).await;
    }
}

/// Clients outside the mesh reach the application: HTTP, HTTP/2, bytes, their own TLS, and servers that speak first.
#[tokio::test]
async fn plain_clients_are_served() {
    let mesh = Mesh::start();
    let api = mesh.pod(3, "api");
    serve(api.app().await, false, mirror);
    let mut client = http1(TcpStream::connect(api.inbound).await.unwrap()).await;
    let request = Request::get("/").header("host", "a").header("weft-client-id", "spiffe://forged");
    let response = client.send_request(request.body(full("")).unwrap()).await.unwrap();
    assert_eq!("GET / HTTP/1.1\nhost: a\n\n", text(response).await);
    let mut client = TcpStream::connect(api.inbound).await.unwrap();
    let hidden =
        "\r\nGET / HTTP/1.1\r\nhost: a\r\nweft-client-id: spiffe://forged\r\nconnection: close\r\n\r\n";
    client.write_all(hidden.as_bytes()).await.unwrap();
    let mut response = String::new();
    client.read_to_string(&mut response).await.unwrap();
    assert!(response.ends_with("\r\n\r\nGET / HTTP/1.1\nhost: a\n\n"), "{response}");
    serve(api.app().await, true, mirror);
    let mut client = http2(TcpStream::connect(api.inbound).await.unwrap()).await;
    let response = client.send_request(Request::get("http://a/").body(full("")).unwrap()).await.unwrap();
    assert!(text(response).await.starts_with("GET http://a/ HTTP/2.0\n"));
    api.expect("weft_requests_total", &["tls=\"no_identity\"", "peer_identity=\"\""], 3.0).await;
}

/// TLS that is not the mesh's passes byte by byte.
#[tokio::test]
async fn foreign_tls_passes_through() {
    let mesh = Mesh::start();
    let api = mesh.pod(3, "api");
    let app = api.app().await;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config =
        rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = config.with_root_certificates(rustls::RootCertStore::empty()).with_no_client_auth();
    let mut session =
        rustls::ClientConnection::new(Arc::new(config), "example.org".try_into().unwrap()).unwrap();
    let mut hello = Vec::new();
    session.write_tls(&mut hello).unwrap();
    let mut client = TcpStream::connect(api.inbound).await.unwrap();
    client.write_all(&hello).await.unwrap();
    let (mut server, _) = app.accept().await.unwrap();
    let mut heard = vec![0; hello.len()];
    server.read_exact(&mut heard).await.unwrap();
    assert_eq!(hello, heard);
    api.expect("weft_tcp_open_connections", &["tls=\"passthrough\""], 1.0).await;
}

/// A server that speaks first is heard by clients outside the mesh.
#[tokio::test]
async fn greetings_reach_plain_clients() {
    let mesh = Mesh::start();
    let api = mesh.pod(3, "api");
    let app = api.app().await;
    tokio::spawn(async move {
        let (mut stream, _) = app.accept().await.unwrap();
        stream.write_all(b"hello").await.unwrap();
    });
    let mut greeting = String::new();
    TcpStream::connect(api.inbound).await.unwrap().read_to_string(&mut greeting).await.unwrap();
    assert_eq!("hello", greeting);
}

/// A peer that is slow to begin its handshake hears the greeting in mesh TLS, and nothing in plain text.
#[tokio::test]
async fn greetings_wait_for_late_peers() {
    let mesh = Mesh::start();
    let (web, api) = (mesh.pod(2, "web"), mesh.pod(3, "api"));
    let app = api.app().await;
    let (greeted, mut heard) = tokio::sync::mpsc::unbounded_channel();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = app.accept().await.unwrap();
            stream.write_all(b"hello").await.unwrap();
            greeted.send(()).unwrap();
        }
    });
    let stream = TcpStream::connect(api.inbound).await.unwrap();
    heard.recv().await.unwrap();
    let config = web.shared.identity.client_config(api.shared.identity.id(), ALPN_TCP).unwrap();
    let connector = tokio_rustls::TlsConnector::from(config);
    let mut tls = connector.connect(SNI.try_into().unwrap(), stream).await.unwrap();
    let mut greeting = [0; 5];
    tls.read_exact(&mut greeting).await.unwrap();
    assert_eq!(b"hello", &greeting);
}

/// A pod that is its own endpoint reaches itself.
#[tokio::test]
async fn a_pod_may_call_itself() {
    let mesh = Mesh::start();
    let api = mesh.pod(3, "api");
    let app = api.app().await;
    mesh.service(vec![endpoint(app.local_addr().unwrap(), &spiffe("shop", "api"), "api")]);
    serve(app, false, mirror);
    assert_eq!(StatusCode::OK, fetch(&api).await.0);
    api.expect("weft_requests_total", &["tls=\"loopback\"", "direction=\"outbound\""], 1.0).await;
}

/// Pods come and go under load, in the order that Kubernetes does it, and no request is lost.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rollouts_lose_nothing() {
    let mesh = Mesh::start();
    let web = mesh.pod(2, "web");
    let first = mesh.pod(10, "api");
    serve_until_gone(&first).await;
    mesh.service(vec![first.endpoint()]);
    let (stop, sent) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicU64::new(0)));
    let clients: Vec<_> =
        (0..8).map(|n| tokio::spawn(load(web.outbound, n, stop.clone(), sent.clone()))).collect();
    let mut old = first;
    for host in 11..16 {
        let new = mesh.pod(host, "api");
        serve_until_gone(&new).await;
        mesh.endpoints(vec![old.endpoint(), new.endpoint()]);
        wait_for(&sent, 200).await;
        // The old pod ends: its application first, then its proxy; the news of it comes last.
        drop(old.app().await);
        old.shared.drain.start();
        wait_for(&sent, 50).await;
        mesh.endpoints(vec![new.endpoint()]);
        wait_for(&sent, 50).await;
        old = new;
    }
    stop.store(1, Ordering::Relaxed);
    for client in clients {
        client.await.unwrap();
    }
    let total = sent.load(Ordering::Relaxed);
    web.expect("weft_requests_total", &["result=\"success\"", "status=\"200\""], total as f64).await;
}

async fn serve_until_gone(pod: &Pod) {
    serve(pod.app().await, false, async |request: Request<hyper::body::Incoming>| {
        let body = request.into_body().collect().await.unwrap().to_bytes();
        Response::new(full(body))
    });
}

async fn load(outbound: std::net::SocketAddr, n: usize, stop: Arc<AtomicUsize>, sent: Arc<AtomicU64>) {
    let mut client = http1(TcpStream::connect(outbound).await.unwrap()).await;
    while stop.load(Ordering::Relaxed) == 0 {
        let request = if n.is_multiple_of(2) { Request::get("/") } else { Request::post("/") };
        let response =
            client.send_request(request.header("host", "a").body(full("data")).unwrap()).await.unwrap();
        let error = response.headers().get("weft-error").cloned();
        assert_eq!((StatusCode::OK, None), (response.status(), error));
        assert_eq!("data", text(response).await);
        sent.fetch_add(1, Ordering::Relaxed);
    }
}

/// Waits for so many more responses.
async fn wait_for(sent: &AtomicU64, more: u64) {
    let until = sent.load(Ordering::Relaxed) + more;
    while sent.load(Ordering::Relaxed) < until {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}
