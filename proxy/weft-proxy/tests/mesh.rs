//! Two sidecars on the loopback, the whole way: application → outbound → mesh TLS → inbound → application.

mod support;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::BodyExt;
use support::http::{full, get, http1, http2, mirror, raw, serve, text, with_trailers};
use support::loopback::Mesh;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use weft_api::discovery as api;

const TRUE: &str = "tls=\"true\"";
const WEB: &str = "peer_identity=\"spiffe://cluster.local/ns/shop/sa/web\"";
const API: &str = "peer_identity=\"spiffe://cluster.local/ns/shop/sa/api\"";

/// The server sees HTTP/1.1 as the client sent it, and who the client is; both sides count one request.
#[tokio::test]
async fn http1_arrives_as_http1() {
    let mesh = Mesh::start();
    let (web, api, app) = mesh.pair().await;
    serve(app, false, mirror);
    let mut client = http1(web.connect().await).await;
    let response = client.send_request(get("/menu?tea=1")).await.unwrap();
    assert_eq!(http::Version::HTTP_11, response.version());
    assert_eq!(
        "GET /menu?tea=1 HTTP/1.1\nhost: api.shop\nweft-client-id: spiffe://cluster.local/ns/shop/sa/web\n\n",
        text(response).await
    );
    let answered = ["result=\"success\"", "status=\"200\"", "grpc_status=\"\"", TRUE];
    web.expect("weft_requests_total", &[&answered[..], &["direction=\"outbound\"", API]].concat(), 1.0).await;
    api.expect("weft_requests_total", &[&answered[..], &["direction=\"inbound\"", WEB]].concat(), 1.0).await;
    let dst = ["dst_namespace=\"shop\"", "dst_workload_kind=\"deployment\"", "dst_workload=\"api\""];
    web.expect("weft_response_duration_seconds_count", &[&dst[..], &["dst_service=\"api\""]].concat(), 1.0)
        .await;
    api.expect("weft_response_duration_seconds_count", &[&dst[..], &["dst_service=\"\""]].concat(), 1.0)
        .await;
}

/// Many requests share one mesh connection, and byte counters move while it is open.
#[tokio::test]
async fn requests_share_a_connection() {
    let mesh = Mesh::start();
    let (web, api, app) = mesh.pair().await;
    serve(app, false, mirror);
    let clients = (0..20).map(async |_| {
        let mut client = http1(web.connect().await).await;
        for _ in 0..5 {
            let response = client.send_request(get("/")).await.unwrap();
            assert_eq!(StatusCode::OK, response.status());
            text(response).await;
        }
    });
    futures_util::future::join_all(clients).await;
    web.expect("weft_requests_total", &["result=\"success\""], 100.0).await;
    assert_eq!(1.0, web.metric("weft_tcp_opened_total", &[API]));
    assert_eq!(1.0, api.metric("weft_tcp_open_connections", &[WEB]));
    assert!(api.metric("weft_tcp_read_bytes_total", &[WEB]) > 100.0);
    assert!(web.metric("weft_tcp_read_bytes_total", &[API]) > 100.0);
}

/// Downloads that nobody reads hold up no other request on their connection.
#[tokio::test]
async fn unread_responses_block_nobody() {
    let mesh = Mesh::start();
    let (web, _api, app) = mesh.pair().await;
    let bulk = Bytes::from(vec![b'x'; 64 << 20]);
    serve(app, false, move |request: Request<_>| {
        let body = if request.uri().path() == "/bulk" { bulk.clone() } else { "small".into() };
        std::future::ready(Response::new(full(body)))
    });
    let mut unread = Vec::new();
    for _ in 0..8 {
        let mut client = http1(web.connect().await).await;
        unread.push((client.send_request(get("/bulk")).await.unwrap(), client));
    }
    let mut client = http1(web.connect().await).await;
    for _ in 0..50 {
        assert_eq!("small", text(client.send_request(get("/small")).await.unwrap()).await);
    }
    assert_eq!(1.0, web.metric("weft_tcp_opened_total", &[API]));
}

/// gRPC: HTTP/2 to the server, trailers to the client, and the status is a label.
#[tokio::test]
async fn grpc_keeps_its_trailers() {
    let mesh = Mesh::start();
    let (web, api, app) = mesh.pair().await;
    serve(app, true, async |request: Request<hyper::body::Incoming>| {
        assert_eq!(http::Version::HTTP_2, request.version());
        let status = request.uri().path().trim_start_matches('/').to_owned();
        let status: &'static str = status.leak();
        let body =
            if status == "none" { full("data") } else { with_trailers("data", &[("grpc-status", status)]) };
        Response::builder().header("content-type", "application/grpc").body(body).unwrap()
    });
    let mut client = http2(web.connect().await).await;
    for status in ["0", "5", "13", "none"] {
        let request =
            Request::post(format!("http://api.shop/{status}")).header("content-type", "application/grpc");
        let response = client.send_request(request.body(full("ask")).unwrap()).await.unwrap();
        let body = response.into_body().collect().await.unwrap();
        let trailer = body.trailers().map(|t| t["grpc-status"].to_str().unwrap().to_owned());
        assert_eq!((status != "none").then(|| status.to_owned()), trailer);
    }
    for pod in [&web, &api] {
        pod.expect("weft_requests_total", &["result=\"success\"", "grpc_status=\"0\""], 1.0).await;
        pod.expect("weft_requests_total", &["result=\"success\"", "grpc_status=\"5\""], 1.0).await;
        pod.expect("weft_requests_total", &["result=\"failure\"", "grpc_status=\"13\""], 1.0).await;
        pod.expect("weft_requests_total", &["result=\"failure\"", "grpc_status=\"\""], 1.0).await;
    }
}

/// Bytes that are no HTTP pass as they are, each side closing for itself, and are counted.
#[tokio::test]
async fn tcp_passes_with_half_close() {
    let mesh = Mesh::start();
    let (web, api, app) = mesh.pair().await;
    tokio::spawn(async move {
        let (mut stream, _) = app.accept().await.unwrap();
        let mut heard = String::new();
        stream.read_to_string(&mut heard).await.unwrap();
        stream.write_all(format!("heard {heard}").as_bytes()).await.unwrap();
    });
    let mut client = web.connect().await;
    client.write_all(b"*1\r\n$4\r\nPING\r\n").await.unwrap();
    client.shutdown().await.unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).await.unwrap();
    assert_eq!("heard *1\r\n$4\r\nPING\r\n", answer);
    web.expect("weft_tcp_written_bytes_total", &[API, TRUE], 14.0).await;
    api.expect("weft_tcp_written_bytes_total", &[WEB, TRUE], 20.0).await;
    api.expect("weft_tcp_open_connections", &[WEB, TRUE], 0.0).await;
}

/// Bytes that are no HTTP are counted while their connection lives, on both sides and in both directions.
#[tokio::test]
async fn tcp_is_counted_while_it_lives() {
    let mesh = Mesh::start();
    let (web, api, app) = mesh.pair().await;
    tokio::spawn(async move {
        let (mut stream, _) = app.accept().await.unwrap();
        let (mut from, mut to) = stream.split();
        tokio::io::copy(&mut from, &mut to).await
    });
    let (mut client, mut back) = (web.connect().await, [0; 14]);
    for total in [14.0, 28.0] {
        client.write_all(b"*1\r\n$4\r\nPING\r\n").await.unwrap();
        client.read_exact(&mut back).await.unwrap();
        for (pod, peer) in [(&web, API), (&api, WEB)] {
            pod.expect("weft_tcp_read_bytes_total", &[peer, TRUE], total).await;
            pod.expect("weft_tcp_written_bytes_total", &[peer, TRUE], total).await;
            pod.expect("weft_tcp_open_connections", &[peer, TRUE], 1.0).await;
        }
    }
}

/// A server that speaks first is heard although its client is silent.
#[tokio::test]
async fn servers_may_speak_first() {
    let mesh = Mesh::start();
    let (web, _api, app) = mesh.pair().await;
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = app.accept().await.unwrap();
            stream.write_all(b"220 ready\r\n").await.unwrap();
            tokio::io::copy(&mut stream.split().0, &mut tokio::io::sink()).await.unwrap();
        }
    });
    for _ in 0..2 {
        let mut client = web.connect().await;
        let mut greeting = [0; 11];
        client.read_exact(&mut greeting).await.unwrap();
        assert_eq!(b"220 ready\r\n", &greeting);
    }
}

/// Who asks a server that speaks first for HTTP does not spoil it for its proper clients.
#[tokio::test]
async fn a_request_line_alone_makes_no_http() {
    let mesh = Mesh::start();
    let (web, _api, app) = mesh.pair().await;
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = app.accept().await.unwrap();
            let _ = stream.write_all(b"220 ready\r\n").await;
            tokio::spawn(async move { tokio::io::copy(&mut stream.split().0, &mut tokio::io::sink()).await });
        }
    });
    let response = http1(web.connect().await).await.send_request(get("/")).await.unwrap();
    assert_eq!(StatusCode::BAD_GATEWAY, response.status());
    let mut greeting = [0; 11];
    web.connect().await.read_exact(&mut greeting).await.unwrap();
    assert_eq!(b"220 ready\r\n", &greeting);
}

/// A client of HTTP that is slow to speak is still a client of HTTP.
#[tokio::test]
async fn slow_clients_are_still_http() {
    let mesh = Mesh::start();
    let (web, api, app) = mesh.pair().await;
    serve(app, false, mirror);
    let mut stream = web.connect().await;
    // The proxy has asked the server meanwhile: it is the only one to have connected.
    api.expect("weft_tcp_opened_total", &[WEB], 1.0).await;
    let response = raw(&mut stream, "GET /late HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await;
    assert!(response.contains("GET /late HTTP/1.1"), "{response}");
    web.expect("weft_requests_total", &["result=\"success\""], 1.0).await;
}

/// After HTTP each side ends for itself: a server that has said its last still hears its client.
#[tokio::test]
async fn upgraded_connections_end_by_halves() {
    let mesh = Mesh::start();
    let (web, _api, app) = mesh.pair().await;
    let server = tokio::spawn(async move {
        let (mut stream, _) = app.accept().await.unwrap();
        assert!(stream.read(&mut [0; 4096]).await.unwrap() > 0);
        let switch = "HTTP/1.1 101 Switching Protocols\r\nupgrade: echo\r\nconnection: upgrade\r\n\r\nbye";
        stream.write_all(switch.as_bytes()).await.unwrap();
        stream.shutdown().await.unwrap();
        let mut heard = String::new();
        stream.read_to_string(&mut heard).await.unwrap();
        heard
    });
    let mut client = web.connect().await;
    let request = "GET /ws HTTP/1.1\r\nhost: a\r\nconnection: Upgrade\r\nupgrade: echo\r\n\r\n";
    client.write_all(request.as_bytes()).await.unwrap();
    let mut said = String::new();
    client.read_to_string(&mut said).await.unwrap();
    assert!(said.ends_with("\r\n\r\nbye"), "{said}");
    client.write_all(b"still here").await.unwrap();
    client.shutdown().await.unwrap();
    assert_eq!("still here", server.await.unwrap());
}

/// Who leaves before the response is counted as cancelled, by both sides, and the server hears of it.
#[tokio::test]
async fn leaving_is_cancelling() {
    let mesh = Mesh::start();
    let (web, api, app) = mesh.pair().await;
    let mut client = web.connect().await;
    client.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    let (mut server, _) = app.accept().await.unwrap();
    assert!(server.read(&mut [0; 1024]).await.unwrap() > 0);
    drop(client);
    assert_eq!(0, server.read(&mut [0; 1024]).await.unwrap());
    for pod in [&web, &api] {
        pod.expect("weft_requests_total", &["result=\"cancelled\"", "status=\"\""], 1.0).await;
    }
}

/// What only proxies may say is the client's no more; all else passes, as the headers that traces are joined by.
#[tokio::test]
async fn nothing_reserved_passes() {
    let mesh = Mesh::start();
    let (web, api, app) = mesh.pair().await;
    let route = api::Route { single_try: true, ..Default::default() };
    let to = api::ServiceDestination { routes: vec![route], ..Default::default() };
    mesh.service_of(api::Protocol::Http1, to, vec![api.endpoint()]);
    serve(app, false, mirror);
    let mut client = http1(web.connect().await).await;
    let request = Request::get("/").header("host", "a").header("traceparent", "00-1-2-01");
    let request = request.header("weft-client-id", "me").header("weft-orig-version", "x");
    let request = request.header("weft-once", "0");
    let seen = text(client.send_request(request.body(full("")).unwrap()).await.unwrap()).await;
    let id = "weft-client-id: spiffe://cluster.local/ns/shop/sa/web";
    assert_eq!(format!("GET / HTTP/1.1\nhost: a\ntraceparent: 00-1-2-01\n{id}\n\n"), seen);
}

/// A client that waits to be asked for its body is asked, over HTTP/2 too, though the server never is.
#[tokio::test]
async fn who_waits_to_be_asked_is_asked() {
    let mesh = Mesh::start();
    let (web, _api, app) = mesh.pair().await;
    serve(app, true, mirror);
    let (client, connection) = h2::client::handshake(web.connect().await).await.unwrap();
    tokio::spawn(connection);
    let request = Request::post("http://api.shop/").header("expect", "100-continue").body(()).unwrap();
    let (mut response, mut body) = client.ready().await.unwrap().send_request(request, false).unwrap();
    let asked = std::future::poll_fn(|cx| response.poll_informational(cx)).await.unwrap().unwrap();
    assert_eq!(StatusCode::CONTINUE, asked.status());
    body.send_data("body".into(), true).unwrap();
    let mut body = response.await.unwrap().into_body();
    let answer = body.data().await.unwrap().unwrap();
    assert!(answer.ends_with(b"body") && !answer.windows(6).any(|name| name == b"expect"), "{answer:?}");
}
