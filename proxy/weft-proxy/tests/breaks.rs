//! What breaks off on one side breaks off on the other: nobody takes a part for the whole.

mod support;

use bytes::{Bytes, BytesMut};
use http::{Request, Response};
use http_body_util::BodyExt;
use support::http::{UPGRADE, full, http2};
use support::loopback::Mesh;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};

/// Serves one request of HTTP/2 with the first bytes of an answer, and with `CANCEL` when it is told.
fn answer_half(app: TcpListener, told: oneshot::Receiver<()>) {
    tokio::spawn(async move {
        let mut connection = h2::server::handshake(app.accept().await.unwrap().0).await.unwrap();
        let (_, mut respond) = connection.accept().await.unwrap().unwrap();
        tokio::spawn(async move { while connection.accept().await.is_some() {} });
        let mut body = respond.send_response(Response::new(()), false).unwrap();
        body.send_data(Bytes::from("half"), false).unwrap();
        told.await.unwrap();
        body.send_reset(h2::Reason::CANCEL);
    });
}

/// Serves one request of HTTP/2; tells what comes of its body, None at its end.
fn listen_to_one(app: TcpListener) -> mpsc::UnboundedReceiver<Option<Result<Bytes, h2::Error>>> {
    let (tell, heard) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        let mut connection = h2::server::handshake(app.accept().await.unwrap().0).await.unwrap();
        let (request, _respond) = connection.accept().await.unwrap().unwrap();
        tokio::spawn(async move { while connection.accept().await.is_some() {} });
        let mut body = request.into_body();
        let mut over = false;
        while !over {
            let data = body.data().await;
            over = !matches!(data, Some(Ok(_)));
            tell.send(data).unwrap();
        }
    });
    heard
}

/// A client that cancels its upload: the application hears so, and does not take what came for all of it.
#[tokio::test]
async fn cancelled_uploads_are_not_whole() {
    let mesh = Mesh::start();
    let (web, _api, app) = mesh.pair().await;
    let mut heard = listen_to_one(app);
    let (client, connection) = h2::client::handshake(web.connect().await).await.unwrap();
    tokio::spawn(connection);
    let request = Request::post("http://api.shop/").body(()).unwrap();
    let (_response, mut body) = client.ready().await.unwrap().send_request(request, false).unwrap();
    body.send_data(Bytes::from("half"), false).unwrap();
    assert_eq!(Bytes::from("half"), heard.recv().await.unwrap().unwrap().unwrap());
    body.send_reset(h2::Reason::CANCEL);
    let reason = heard.recv().await.unwrap().unwrap().unwrap_err().reason();
    assert_eq!(Some(h2::Reason::CANCEL), reason);
    web.expect("weft_requests_total", &["result=\"cancelled\""], 1.0).await;
}

/// A server that cancels its response: its client does not take what came for all of it.
#[tokio::test]
async fn cancelled_responses_are_not_whole() {
    let mesh = Mesh::start();
    let (web, _api, app) = mesh.pair().await;
    let (tell, told) = oneshot::channel();
    answer_half(app, told);
    let mut client = http2(web.connect().await).await;
    let request = Request::get("http://api.shop/").body(full("")).unwrap();
    let mut body = client.send_request(request).await.unwrap().into_body();
    assert_eq!(Some(&Bytes::from("half")), body.frame().await.unwrap().unwrap().data_ref());
    tell.send(()).unwrap();
    assert!(body.collect().await.is_err());
    web.expect("weft_requests_total", &["result=\"failure\""], 1.0).await;
}

/// A server that closes in the middle of its chunks: its client, which gets chunks as well, does not hear of an end.
#[tokio::test]
async fn closed_responses_are_not_whole() {
    let mesh = Mesh::start();
    let (web, _api, app) = mesh.pair().await;
    let (tell, told) = oneshot::channel();
    tokio::spawn(async move {
        let (mut stream, _) = app.accept().await.unwrap();
        stream.read_buf(&mut BytesMut::with_capacity(4096)).await.unwrap();
        let begun = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n";
        stream.write_all(begun).await.unwrap();
        told.await.unwrap();
    });
    let mut client = web.connect().await;
    client.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    let mut heard = BytesMut::new();
    while !heard.ends_with(b"half\r\n") {
        client.read_buf(&mut heard).await.unwrap();
    }
    tell.send(()).unwrap();
    // The end or a reset, and no last chunk before it.
    assert_eq!(0, client.read_buf(&mut heard).await.unwrap_or(0));
    web.expect("weft_requests_total", &["result=\"failure\""], 1.0).await;
}

/// An application that says `words` on its next connection and resets it when it is told.
fn say_and_reset(app: TcpListener, words: &'static str, told: oneshot::Receiver<()>) {
    tokio::spawn(async move {
        let (mut stream, _) = app.accept().await.unwrap();
        stream.read_buf(&mut BytesMut::with_capacity(4096)).await.unwrap();
        stream.write_all(words.as_bytes()).await.unwrap();
        told.await.unwrap();
        weft_proxy::socket::reset(&stream).unwrap();
    });
}

/// What a client that says `words` hears, up to `until`, and how it ends once the application has reset its side.
async fn hear(
    mesh: &Mesh,
    words: &str,
    answer: &'static str,
    until: &str,
) -> (String, std::io::Result<usize>) {
    let (web, _api, app) = mesh.pair().await;
    let (tell, told) = oneshot::channel();
    say_and_reset(app, answer, told);
    let mut client = web.connect().await;
    client.write_all(words.as_bytes()).await.unwrap();
    let mut heard = BytesMut::new();
    while !heard.ends_with(until.as_bytes()) {
        client.read_buf(&mut heard).await.unwrap();
    }
    tell.send(()).unwrap();
    (String::from_utf8_lossy(&heard).into_owned(), client.read_buf(&mut heard).await)
}

/// Bytes, a body that only the end of its connection ends, and what has left HTTP: a reset is no end.
#[tokio::test]
async fn resets_are_no_ends() {
    const SWITCH: &str =
        "HTTP/1.1 101 Switching Protocols\r\nupgrade: echo\r\nconnection: upgrade\r\n\r\nhalf";
    let conversations = [
        ("*1\r\n", "half"),
        ("GET / HTTP/1.0\r\n\r\n", "HTTP/1.0 200 OK\r\n\r\nhalf"),
        ("GET / HTTP/1.0\r\n\r\n", "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n"),
        (UPGRADE, SWITCH),
    ];
    for (words, answer) in conversations {
        let (heard, ended) = hear(&Mesh::start(), words, answer, "half").await;
        let kind = ended.map_err(|error| error.kind());
        assert_eq!(Err(std::io::ErrorKind::ConnectionReset), kind, "{words}: {heard}");
    }
}

/// A client whose server cannot be reached, or with which nothing moves for too long, hears of no end either.
#[tokio::test]
async fn given_up_is_no_end() {
    let mesh = Mesh::start();
    let idle = Some(std::time::Duration::from_millis(1));
    let web = mesh.pod_with(2, "web", |config| config.limits.idle = idle);
    let api = mesh.pod(3, "api");
    mesh.service(vec![api.endpoint()]);
    for listens in [false, true] {
        let app = api.app().await;
        let _app = listens.then_some(app);
        let mut client = web.connect().await;
        client.write_all(b"*1\r\n").await.unwrap();
        let ended = client.read(&mut [0; 8]).await.map_err(|error| error.kind());
        assert_eq!(Err(std::io::ErrorKind::ConnectionReset), ended, "{listens}");
    }
}
