//! Applications as users run them: HTTP/1, HTTP/2, gRPC, WebSocket, TLS of their own, an echo, and one that speaks first.
//! No mesh in them.

use std::net::Ipv6Addr;
use std::sync::{Arc, LazyLock};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use tokio_rustls::TlsAcceptor;
use tower::Service;
use weft_api::identity::identity_server::IdentityServer;

use weft_proxy::identity::testing::{Authority, spiffe};

use super::control_plane::FakeIdentity;

pub const HTTP1: u16 = 8080;
pub const HTTP2: u16 = 8081;
pub const GRPC: u16 = 9090;
pub const ECHO: u16 = 9000;
pub const GREETER: u16 = 7777;
/// A gRPC call whose messages come back while it goes on.
pub const STREAM: u16 = 9091;
pub const WEBSOCKET: u16 = 8082;
/// An echo in TLS of its own.
pub const TLS: u16 = 8443;
pub const PORTS: [u16; 8] = [HTTP1, HTTP2, GRPC, ECHO, GREETER, STREAM, WEBSOCKET, TLS];

/// What the applications' own TLS trusts; no proxy has it.
pub static APPLICATIONS: LazyLock<Authority> = LazyLock::new(|| Authority::new().unwrap());

/// What the greeter says before it is asked.
pub const GREETING: &str = "220 marker-of-the-greeter\n";

/// Starts them all on every address.
pub fn start(runtime: &Runtime) {
    listen(runtime, HTTP1, |stream| async {
        let _ = hyper::server::conn::http1::Builder::new()
            .serve_connection(TokioIo::new(stream), service_fn(echo))
            .await;
    });
    listen(runtime, HTTP2, |stream| async {
        let builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
        let _ = builder.serve_connection(TokioIo::new(stream), service_fn(echo)).await;
    });
    let grpc = IdentityServer::new(FakeIdentity::new());
    listen(runtime, GRPC, move |stream| {
        let grpc = grpc.clone();
        async move {
            let builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
            let call = service_fn(move |request| grpc.clone().call(request));
            let _ = builder.serve_connection(TokioIo::new(stream), call).await;
        }
    });
    listen(runtime, STREAM, |stream| async {
        let builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
        let _ = builder.serve_connection(TokioIo::new(stream), service_fn(stream_back)).await;
    });
    listen(runtime, WEBSOCKET, |stream| async {
        let _ = websocket(stream).await;
    });
    listen(runtime, TLS, |stream| async {
        if let Ok(mut stream) = TlsAcceptor::from(own_tls()).accept(stream).await {
            let mut said = [0; 64];
            while let Ok(n @ 1..) = stream.read(&mut said).await {
                let _ = stream.write_all(&said[..n]).await;
            }
        }
    });
    listen(runtime, ECHO, |mut stream| async move {
        let (mut read, mut write) = stream.split();
        let _ = tokio::io::copy(&mut read, &mut write).await;
    });
    listen(runtime, GREETER, |mut stream| async move {
        let _ = stream.write_all(GREETING.as_bytes()).await;
        let _ = stream.read_u8().await;
    });
}

/// Answers with what it was sent, and says by which version it was asked.
async fn echo(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, hyper::Error> {
    let version = format!("{:?}", request.version());
    let body = request.into_body().collect().await?.to_bytes();
    let mut response = Response::new(Full::new(body));
    response.headers_mut().insert("asked-by", version.parse().unwrap());
    Ok(response)
}

/// Each message of a call is its answer.
async fn stream_back(request: Request<Incoming>) -> Result<Response<Incoming>, http::Error> {
    Response::builder().header("content-type", "application/grpc").body(request.into_body())
}

/// Agrees to leave HTTP, as RFC 6455 has it, and sends back what it gets.
async fn websocket(mut stream: TcpStream) -> std::io::Result<u64> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    let agreed = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                  Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
    stream.write_all(agreed.as_bytes()).await?;
    let (mut from, mut to) = stream.split();
    tokio::io::copy(&mut from, &mut to).await
}

/// TLS that is not the mesh's.
fn own_tls() -> Arc<rustls::ServerConfig> {
    let identity = APPLICATIONS.identity(&spiffe("shop", "application")).unwrap();
    let mut config = (*identity.server_config_anonymous().unwrap()).clone();
    config.alpn_protocols.clear();
    config.into()
}

fn listen<H, F>(runtime: &Runtime, port: u16, handle: H)
where
    H: Fn(TcpStream) -> F + Send + 'static,
    F: Future<Output = ()> + Send + 'static,
{
    let (bound, ready) = std::sync::mpsc::channel();
    runtime.spawn(async move {
        let listener = weft_proxy::control::accept::bind((Ipv6Addr::UNSPECIFIED, port).into()).unwrap();
        bound.send(()).unwrap();
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            tokio::spawn(handle(stream));
        }
    });
    ready.recv().unwrap();
}
