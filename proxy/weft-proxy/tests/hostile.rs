//! Clients that break the rules: they hear so, and neither the server nor anybody else pays for it.

mod support;

use std::time::Duration;

use http::Request;
use support::http::{full, get, http1, http2, mirror, serve, text};
use support::loopback::{Mesh, PANIC, Pod, SERVICE};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use weft_proxy::drain::Drain;
use weft_proxy::error::{Code, Error};
use weft_proxy::http::{respond, server};
use weft_proxy::io::Io;

/// Sends `request` on a connection of its own and reads to the end.
async fn raw(pod: &Pod, request: &str) -> String {
    let mut stream = pod.connect().await;
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut response = Vec::new();
    let _ = tokio::time::timeout(Duration::from_secs(20), stream.read_to_end(&mut response)).await;
    String::from_utf8_lossy(&response).into_owned()
}

/// A body that breaks its own framing is the client's fault: 400, no failure of the server, no penalty for its endpoint.
#[tokio::test]
async fn broken_bodies_are_the_clients_fault() {
    let mesh = Mesh::start();
    let (web, _api, app) = mesh.pair().await;
    serve(app, false, mirror);
    for chunks in ["0x5\r\nhello\r\n0\r\n\r\n", "5\r\nhelloX\r\n0\r\n\r\n", "-5\r\nhello\r\n0\r\n\r\n"] {
        let head = "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n";
        let response = raw(&web, &format!("{head}{chunks}")).await;
        assert!(response.starts_with("HTTP/1.1 400 Bad Request\r\n"), "{response}");
        assert!(response.contains("weft-error: E112 "), "{response}");
    }
    assert_eq!(0.0, web.metric("weft_requests_total", &["result=\"failure\""]));
    let mut client = http1(web.connect().await).await;
    assert!(text(client.send_request(get("/next")).await.unwrap()).await.contains("GET /next"));
}

/// A client that goes away in the middle of its body has cancelled: that is no failure of the server either.
#[tokio::test]
async fn clients_that_leave_have_cancelled() {
    let mesh = Mesh::start();
    let (web, _api, app) = mesh.pair().await;
    serve(app, false, mirror);
    for _ in 0..10 {
        let mut stream = web.connect().await;
        let head = "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 100\r\n\r\nsome of it";
        stream.write_all(head.as_bytes()).await.unwrap();
        drop(stream);
    }
    web.expect("weft_requests_total", &["result=\"cancelled\""], 10.0).await;
    assert_eq!(0.0, web.metric("weft_requests_total", &["result=\"failure\""]));
}

/// Flow control counts bytes and not frames: a flood of small ones that nobody reads ends their connection, before each
/// costs its hundreds of bytes.
#[tokio::test]
async fn small_frames_are_limited() {
    const CALM: &[u8] = &[0, 0, 0, 11];
    let mesh = Mesh::start();
    let (web, _api, app) = mesh.pair().await;
    tokio::spawn(async move {
        let mut connection = h2::server::handshake(app.accept().await.unwrap().0).await.unwrap();
        let _unread = connection.accept().await;
        connection.accept().await;
    });
    let mut client = web.connect().await;
    client.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await.unwrap();
    assert!(client.read(&mut [0; 512]).await.unwrap() > 0);
    // SETTINGS acknowledged; POST / with a body.
    client.write_all(b"\0\0\0\x04\x01\0\0\0\0\0\0\x03\x01\x04\0\0\0\x01\x83\x86\x84").await.unwrap();
    let (mut reader, mut writer) = client.into_split();
    let flood = tokio::spawn(async move {
        let frames = b"\0\0\x01\0\0\0\0\0\x01x".repeat(260_000);
        let _ = writer.write_all(&frames).await;
        writer
    });
    let mut heard = Vec::new();
    let ended = tokio::time::timeout(Duration::from_secs(20), reader.read_to_end(&mut heard)).await;
    assert!(ended.is_ok());
    assert!(heard.windows(4).any(|window| window == CALM), "{heard:?}");
    flood.abort();
}

/// One request for two hosts is nobody's.
#[tokio::test]
async fn two_hosts_are_refused() {
    let mesh = Mesh::start();
    let (web, _api, app) = mesh.pair().await;
    serve(app, false, mirror);
    let response = raw(&web, "GET / HTTP/1.1\r\nhost: a\r\nhost: b\r\nconnection: close\r\n\r\n").await;
    assert!(response.starts_with("HTTP/1.1 400 Bad Request\r\n"), "{response}");
}

/// Trailers that speak of framing, which HTTP/2 cannot carry, are left out, and the request arrives.
#[tokio::test]
async fn trailers_do_not_frame() {
    let mesh = Mesh::start();
    let (web, _api, app) = mesh.pair().await;
    serve(app, false, mirror);
    let head = "POST / HTTP/1.1\r\nhost: a\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n";
    let response = raw(&web, &format!("{head}2\r\nhi\r\n0\r\ntransfer-encoding: chunked\r\n\r\n")).await;
    assert!(response.starts_with("HTTP/1.1 200 OK\r\n") && response.ends_with("hi"), "{response}");
}

/// A panic in one connection's task ends this connection and nothing else.
#[tokio::test]
async fn a_panic_takes_one_connection() {
    let mesh = Mesh::start();
    let (web, _api, app) = mesh.pair().await;
    serve(app, false, mirror);
    let mut kept = http1(web.connect().await).await;
    assert!(text(kept.send_request(get("/before")).await.unwrap()).await.contains("GET /before"));
    web.dial(PANIC.parse().unwrap());
    let mut unlucky = web.connect().await;
    assert_eq!(0, unlucky.read(&mut [0; 8]).await.unwrap_or(0));
    web.dial(SERVICE.parse().unwrap());
    assert!(text(kept.send_request(get("/after")).await.unwrap()).await.contains("GET /after"));
    let mut next = http1(web.connect().await).await;
    assert!(text(next.send_request(get("/next")).await.unwrap()).await.contains("GET /next"));
}

/// So it is with what comes from outside.
#[tokio::test]
async fn a_panic_takes_one_connection_inbound() {
    let mesh = Mesh::start();
    let api = mesh.pod(3, "api");
    serve(api.app().await, false, mirror);
    let app = *api.serves.lock().unwrap();
    let mut kept = http1(api.reach().await).await;
    assert!(text(kept.send_request(get("/before")).await.unwrap()).await.contains("GET /before"));
    *api.serves.lock().unwrap() = PANIC.parse().unwrap();
    assert_eq!(0, api.reach().await.read(&mut [0; 8]).await.unwrap_or(0));
    *api.serves.lock().unwrap() = app;
    assert!(text(kept.send_request(get("/after")).await.unwrap()).await.contains("GET /after"));
    let mut next = http1(api.reach().await).await;
    assert!(text(next.send_request(get("/next")).await.unwrap()).await.contains("GET /next"));
}

/// Serves HTTP/2 on one connection as the proxy does, with a bug for `/panic`.
async fn unlucky() -> TcpStream {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let io = Io::tcp(listener.accept().await.unwrap().0);
    tokio::task::spawn_local(server::serve(io, true, Drain::default().live(), |request| async move {
        assert_ne!("/panic", request.uri().path(), "as the test wants it");
        Ok(respond::error(&Error::new(Code::Route, "as usual"), false))
    }));
    client
}

/// A panic in a request of HTTP/2 takes at most the streams of its connection.
#[tokio::test]
async fn a_panic_takes_one_stream() {
    let ask = |path: &str| Request::get(format!("http://a{path}")).body(full("")).unwrap();
    let rounds = async {
        let (mut one, mut other) = (http2(unlucky().await).await, http2(unlucky().await).await);
        assert!(one.send_request(ask("/panic")).await.is_err());
        assert_eq!(500, other.send_request(ask("/")).await.unwrap().status().as_u16());
        let mut next = http2(unlucky().await).await;
        assert_eq!(500, next.send_request(ask("/")).await.unwrap().status().as_u16());
    };
    tokio::task::LocalSet::new().run_until(rounds).await;
}
