//! What an application does: plain calls to a Service's address. Each returns what came back.

use std::net::SocketAddr;

use bytes::Bytes;
use h2::{RecvStream, SendStream};
use http::Request;
use http_body_util::{BodyExt, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tonic::transport::Endpoint;
use weft_api::identity::CertifyRequest;
use weft_api::identity::identity_client::IdentityClient;
use weft_proxy::control::dial;
use weft_proxy::identity::testing::spiffe;

use super::servers::APPLICATIONS;

/// The body of a POST that echoes `text`, and the version the server saw.
pub async fn http1(to: SocketAddr, text: &'static str) -> (String, String) {
    let stream = TokioIo::new(TcpStream::connect(to).await.unwrap());
    let (mut sender, connection) = hyper::client::conn::http1::handshake(stream).await.unwrap();
    tokio::spawn(connection);
    answer(sender.send_request(post("/", text)).await).await
}

pub async fn http2(to: SocketAddr, text: &'static str) -> (String, String) {
    let stream = TokioIo::new(TcpStream::connect(to).await.unwrap());
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), stream).await.unwrap();
    tokio::spawn(connection);
    answer(sender.send_request(post("http://web.shop/", text)).await).await
}

fn post(uri: &str, text: &'static str) -> Request<Full<Bytes>> {
    Request::post(uri).header("host", "web.shop").header("x-marker", text).body(Full::from(text)).unwrap()
}

async fn answer(response: hyper::Result<http::Response<hyper::body::Incoming>>) -> (String, String) {
    let (head, body) = response.unwrap().into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    let asked_by = head.headers.get("asked-by").map(|value| value.to_str().unwrap().to_owned());
    let body = String::from_utf8(body.to_vec()).unwrap();
    (body, asked_by.unwrap_or_else(|| format!("{} {:?}", head.status, head.headers)))
}

/// The status message of a call that fails at the server: it comes in trailers.
pub async fn grpc(to: SocketAddr, token: &str) -> String {
    let stream = TcpStream::connect(to).await.unwrap();
    let channel = dial::over(Endpoint::from_static("http://web.shop"), stream).await.unwrap();
    let request = CertifyRequest { token: token.to_owned(), ..CertifyRequest::default() };
    let status = IdentityClient::new(channel).certify(request).await.unwrap_err();
    format!("{:?} {}", status.code(), status.message())
}

/// What an echo sends back.
pub async fn tcp(to: SocketAddr, text: &str) -> String {
    let mut stream = TcpStream::connect(to).await.unwrap();
    stream.write_all(text.as_bytes()).await.unwrap();
    stream.shutdown().await.unwrap();
    let mut back = String::new();
    stream.read_to_string(&mut back).await.unwrap();
    back
}

/// What an echo behind TLS of its own sends back; its certificate is verified by the client itself.
pub async fn tls(to: SocketAddr, text: &str) -> String {
    let client = APPLICATIONS.identity(&spiffe("shop", "client")).unwrap();
    let config = client.client_config(&spiffe("shop", "application"), b"tea").unwrap();
    let (stream, name) = (TcpStream::connect(to).await.unwrap(), "tea.example".try_into().unwrap());
    let mut stream = TlsConnector::from(config).connect(name, stream).await.unwrap();
    let mut back = vec![0; text.len()];
    stream.write_all(text.as_bytes()).await.unwrap();
    stream.read_exact(&mut back).await.unwrap();
    String::from_utf8(back).unwrap()
}

/// What comes back of a text that is said when HTTP has been left for WebSocket.
pub async fn websocket(to: SocketAddr, text: &str) -> String {
    let mut stream = TcpStream::connect(to).await.unwrap();
    let head = "GET /chat HTTP/1.1\r\nHost: web.shop\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut agreed = Vec::new();
    while !agreed.ends_with(b"\r\n\r\n") {
        agreed.push(stream.read_u8().await.unwrap());
    }
    let agreed = String::from_utf8(agreed).unwrap().to_lowercase();
    assert!(
        agreed.starts_with("http/1.1 101 ") && agreed.contains("\r\nsec-websocket-accept: s3pp"),
        "{agreed}"
    );
    let mut back = vec![0; text.len()];
    stream.write_all(text.as_bytes()).await.unwrap();
    stream.read_exact(&mut back).await.unwrap();
    String::from_utf8(back).unwrap()
}

/// A gRPC call that goes on until it is dropped.
pub struct Call {
    to: SendStream<Bytes>,
    from: RecvStream,
}

impl Call {
    pub async fn open(to: SocketAddr) -> Self {
        let stream = TcpStream::connect(to).await.unwrap();
        let (client, connection) = h2::client::handshake(stream).await.unwrap();
        tokio::spawn(connection);
        let request = Request::post("http://web.shop/talk").header("content-type", "application/grpc");
        let request = request.header("te", "trailers").body(()).unwrap();
        let (response, to) = client.ready().await.unwrap().send_request(request, false).unwrap();
        Self { to, from: response.await.unwrap().into_body() }
    }

    /// One message there and back.
    pub async fn say(mut self, text: &'static str) -> Self {
        let length = u32::try_from(text.len()).unwrap().to_be_bytes();
        let message = Bytes::from([&[0], &length[..], text.as_bytes()].concat());
        self.to.send_data(message.clone(), false).unwrap();
        assert_eq!(message, self.from.data().await.unwrap().unwrap());
        self.from.flow_control().release_capacity(message.len()).unwrap();
        self
    }
}

/// What the server says before it is asked.
pub async fn greeting(to: SocketAddr, length: usize) -> String {
    let mut stream = TcpStream::connect(to).await.unwrap();
    let mut said = vec![0; length];
    stream.read_exact(&mut said).await.unwrap();
    String::from_utf8(said).unwrap()
}
