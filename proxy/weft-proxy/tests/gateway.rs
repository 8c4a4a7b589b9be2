//! The control plane's own proxy: mesh TLS in, the loopback out, and the client's identity in a header.

use std::array::IntoIter;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream::{Iter, iter};
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::client::TlsStream;
use weft_proxy::config::Config;
use weft_proxy::control::{dial, dns::Dns};
use weft_proxy::drain::Drain;
use weft_proxy::gateway;
use weft_proxy::identity::testing::{Authority, TRUST_DOMAIN, spiffe};
use weft_proxy::identity::{ALPN_H2, Bundle, Identity};

/// A free port, for settings that need to name one.
async fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap().local_addr().unwrap().port()
}

/// The service behind: answers with the client's identity as body and its request's body as a trailer.
async fn backend() -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            tokio::spawn(
                hyper::server::conn::http2::Builder::new(TokioExecutor::new())
                    .serve_connection(TokioIo::new(stream), service_fn(answer)),
            );
        }
    });
    address
}

type Frames = StreamBody<Iter<IntoIter<Result<Frame<Bytes>, hyper::Error>, 2>>>;

async fn answer(request: Request<Incoming>) -> Result<Response<Frames>, hyper::Error> {
    let said = ["weft-client-id", "weft-client-address"].map(|name| request.headers().get_all(name).iter());
    let said: Vec<_> = said.into_iter().flatten().map(|value| value.to_str().unwrap().to_owned()).collect();
    let mut trailers = HeaderMap::new();
    let body = request.into_body().collect().await?.to_bytes();
    trailers.insert("echo", http::HeaderValue::from_bytes(&body).unwrap());
    let frames = [Ok(Frame::data(Bytes::from(said.join(",")))), Ok(Frame::trailers(trailers))];
    Ok(Response::new(StreamBody::new(iter(frames))))
}

fn config(settings: &[(&str, String)]) -> Config {
    Config::parse(settings.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect()).unwrap()
}

/// A gateway before the backend; returns its public address.
async fn gateway(ca: &Authority, to: SocketAddr, anonymous: bool) -> SocketAddr {
    let port = free_port().await;
    let mut settings = vec![("WEFT_FORWARD", format!("{port}={to}"))];
    if anonymous {
        settings.push(("WEFT_FORWARD_ANONYMOUS", port.to_string()));
    }
    let identity = ca.identity(&spiffe("weft", "destination")).unwrap();
    let mut tasks = JoinSet::new();
    gateway::start(&mut tasks, &config(&settings), &identity, &Drain::default()).unwrap();
    tasks.detach_all();
    (Ipv4Addr::LOCALHOST, port).into()
}

/// One request over a connection of its own: status, body and trailer of the answer.
async fn ask(stream: TlsStream<TcpStream>) -> (StatusCode, String, String) {
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let request = Request::post("http://destination/")
        .header("weft-client-id", "spiffe://cluster.local/ns/a/sa/forged")
        .header("weft-client-address", "10.0.0.66");
    let response = sender.send_request(request.body(Full::<Bytes>::from("hello")).unwrap()).await.unwrap();
    let (parts, body) = response.into_parts();
    let collected = body.collect().await.unwrap();
    let echo = collected.trailers().and_then(|t| t.get("echo")).map(|v| v.to_str().unwrap().to_owned());
    (parts.status, String::from_utf8(collected.to_bytes().to_vec()).unwrap(), echo.unwrap_or_default())
}

/// Dials the gateway as `identity`; without its certificate when it has none.
async fn mesh(identity: &Identity, to: SocketAddr) -> TlsStream<TcpStream> {
    let server = spiffe("weft", "destination");
    let config =
        identity.client_config(&server, ALPN_H2).or_else(|| identity.bootstrap_config(&server, ALPN_H2));
    dial::tls(dial::tcp(&Dns::default(), &to.into()).await.unwrap(), config.unwrap()).await.unwrap()
}

fn newcomer(ca: &Authority) -> Arc<Identity> {
    let newcomer = Identity::new(&spiffe("shop", "web"), TRUST_DOMAIN);
    newcomer.set_bundle(Bundle::parse(ca.pem().as_bytes()).unwrap()).unwrap();
    newcomer
}

/// The service learns who the client is from its certificate and its connection; what the client says of itself never
/// gets through.
#[tokio::test]
async fn the_clients_identity_comes_from_its_certificate() {
    let ca = Authority::new().unwrap();
    let web = ca.identity(&spiffe("shop", "web")).unwrap();
    let public = gateway(&ca, backend().await, false).await;
    let stream = mesh(&web, public).await;
    assert_eq!((StatusCode::OK, format!("{},127.0.0.1", web.id()), "hello".to_owned()), ask(stream).await);
}

/// Where newcomers may come in, they have no identity, also when they claim one.
#[tokio::test]
async fn a_client_without_certificate_is_nobody() {
    let ca = Authority::new().unwrap();
    let public = gateway(&ca, backend().await, true).await;
    let stream = mesh(&newcomer(&ca), public).await;
    assert_eq!((StatusCode::OK, "127.0.0.1".to_owned(), "hello".to_owned()), ask(stream).await);
}

/// On other ports nobody comes in without a certificate of this mesh.
#[tokio::test]
async fn other_ports_demand_a_certificate() {
    let ca = Authority::new().unwrap();
    let public = gateway(&ca, backend().await, false).await;
    // In TLS 1.3 the client is done before the server has judged it: the refusal comes with the first read.
    let mut stream = mesh(&newcomer(&ca), public).await;
    assert!(stream.read_u8().await.is_err());
}

/// A service that is not there is a 503 with code and cause, which gRPC takes for UNAVAILABLE.
#[tokio::test]
async fn a_dead_service_is_told_with_a_code() {
    let ca = Authority::new().unwrap();
    let web = ca.identity(&spiffe("shop", "web")).unwrap();
    let nobody = (Ipv4Addr::LOCALHOST, free_port().await).into();
    let public = gateway(&ca, nobody, false).await;
    let (status, body, _) = ask(mesh(&web, public).await).await;
    assert_eq!(
        (StatusCode::SERVICE_UNAVAILABLE, format!("E103 the service on {nobody} does not answer")),
        (status, body)
    );
}
