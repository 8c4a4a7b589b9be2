//! What an application does: plain calls to a Service's address. Each returns what came back.

use std::net::SocketAddr;

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tonic::transport::Endpoint;
use weft_api::identity::CertifyRequest;
use weft_api::identity::identity_client::IdentityClient;
use weft_proxy::control::dial;

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

/// What the server says before it is asked.
pub async fn greeting(to: SocketAddr, length: usize) -> String {
    let mut stream = TcpStream::connect(to).await.unwrap();
    let mut said = vec![0; length];
    stream.read_exact(&mut said).await.unwrap();
    String::from_utf8(said).unwrap()
}
