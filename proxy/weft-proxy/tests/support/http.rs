//! Small HTTP servers and clients for tests.

use std::convert::Infallible;
use std::future::Future;

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt, Full, StreamBody, combinators::BoxBody};
use hyper::body::{Frame, Incoming};
use hyper::client::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// What `serve_upgrades` agrees to.
pub const UPGRADE: &str = "GET /ws HTTP/1.1\r\nhost: a\r\nconnection: Upgrade\r\nupgrade: echo\r\n\r\n";

pub type Body = BoxBody<Bytes, Infallible>;

pub fn full(text: impl Into<Bytes>) -> Body {
    Full::new(text.into()).boxed()
}

/// Some data, and then nothing more, but no end.
pub fn endless(text: &'static str) -> Body {
    let begun = futures_util::stream::iter([Ok(Frame::data(Bytes::from(text)))]);
    StreamBody::new(futures_util::StreamExt::chain(begun, futures_util::stream::pending())).boxed()
}

/// Data, then trailers.
pub fn with_trailers(data: &'static str, trailers: &[(&'static str, &'static str)]) -> Body {
    let trailers: HeaderMap =
        trailers.iter().map(|(k, v)| (k.parse().unwrap(), v.parse().unwrap())).collect();
    let frames = [Ok(Frame::data(Bytes::from(data))), Ok(Frame::trailers(trailers))];
    StreamBody::new(futures_util::stream::iter(frames)).boxed()
}

/// Serves every connection, HTTP/1 or HTTP/2 with prior knowledge.
pub fn serve<F, R>(listener: TcpListener, http2: bool, answer: F)
where
    F: Fn(Request<Incoming>) -> R + Clone + Send + 'static,
    R: Future<Output = Response<Body>> + Send + 'static,
{
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let answer = answer.clone();
            let service = service_fn(move |request| {
                let answer = answer(request);
                async move { Ok::<_, Infallible>(answer.await) }
            });
            tokio::spawn(async move {
                let io = TokioIo::new(stream);
                if http2 {
                    let server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
                    let _ = server.serve_connection(io, service).await;
                } else {
                    let server = hyper::server::conn::http1::Builder::new();
                    let _ = server.serve_connection(io, service).with_upgrades().await;
                }
            });
        }
    });
}

/// Leaves HTTP when it is asked to, and then says again what it hears.
pub fn serve_upgrades(app: TcpListener) {
    serve_switch(app, "echo");
}

/// The same, for `protocol`, whatever it was asked for.
pub fn serve_switch(app: TcpListener, protocol: &'static str) {
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = app.accept().await.unwrap();
            tokio::spawn(async move {
                let _head = stream.read(&mut [0; 4096]).await.unwrap();
                let switch = format!(
                    "HTTP/1.1 101 Switching Protocols\r\nupgrade: {protocol}\r\nconnection: upgrade\r\n\r\n"
                );
                stream.write_all(switch.as_bytes()).await.unwrap();
                let (mut from, mut to) = stream.split();
                let _ = tokio::io::copy(&mut from, &mut to).await;
            });
        }
    });
}

/// Answers with what it saw: `GET /path HTTP/1.1`, headers sorted, an empty line, the body.
pub async fn mirror(request: Request<Incoming>) -> Response<Body> {
    let (head, body) = request.into_parts();
    let mut headers: Vec<_> =
        head.headers.iter().map(|(k, v)| format!("{k}: {}", v.to_str().unwrap_or("?"))).collect();
    headers.sort();
    let line = format!("{} {} {:?}", head.method, head.uri, head.version);
    let body = body.collect().await.map(|b| b.to_bytes()).unwrap_or_default();
    let seen = format!("{line}\n{}\n\n{}", headers.join("\n"), String::from_utf8_lossy(&body));
    Response::new(full(seen))
}

pub async fn http1(stream: TcpStream) -> http1::SendRequest<Body> {
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection.with_upgrades());
    sender
}

pub async fn http2(stream: TcpStream) -> http2::SendRequest<Body> {
    let (sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    sender
}

/// A GET as a client of HTTP/1.1 sends it.
pub fn get(path: &str) -> Request<Body> {
    Request::get(path).header("host", "api.shop").body(full("")).unwrap()
}

pub async fn text(response: Response<Incoming>) -> String {
    String::from_utf8(response.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap()
}

/// Sends raw bytes and reads until the end.
pub async fn raw(stream: &mut TcpStream, request: &str) -> String {
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut response = String::new();
    stream.read_to_string(&mut response).await.unwrap();
    response
}
