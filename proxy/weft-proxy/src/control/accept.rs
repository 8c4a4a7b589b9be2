//! Listeners of the control side: mesh TLS, a known peer, HTTP/2 inside. For the tap port and for gateways.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::drain::{Drain, Live};
use crate::identity::{ALPN_H2, Identity, peer_id};
use crate::socket;

const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);
const PING_INTERVAL: Duration = Duration::from_secs(30);
const PING_TIMEOUT: Duration = Duration::from_secs(10);
const MAX_HEADERS: u32 = 16 * 1024;
const MAX_STREAMS: u32 = 256;
/// Pause after `accept` failed (out of file descriptors): long enough not to spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Who is on the other side of an accepted connection.
#[derive(Clone, Debug)]
pub struct Peer {
    /// SPIFFE ID; none when it showed no certificate.
    pub id: Option<Arc<str>>,
    pub address: SocketAddr,
}

/// Who may come in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clients {
    /// Workloads of the trust domain.
    Certified,
    /// Also who has no certificate yet.
    Anyone,
}

/// Listens; an unspecified IPv6 address takes IPv4 too.
pub fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    TcpListener::from_std(socket::listen(address)?)
}

/// Accepts connections with ALPN `weft-h2` until the drain begins, and hands each to `handle`, in a task of its own.
pub async fn serve<H, F>(
    listener: TcpListener,
    identity: Arc<Identity>,
    clients: Clients,
    max_connections: usize,
    drain: Drain,
    handle: H,
) where
    H: Fn(TlsStream<TcpStream>, Peer) -> F + Clone + Send + 'static,
    F: Future<Output = ()> + Send,
{
    let permits = Arc::new(Semaphore::new(max_connections));
    loop {
        let Ok(permit) = permits.clone().acquire_owned().await else { return };
        let (stream, address) = tokio::select! {
            accepted = next(&listener) => accepted,
            () = drain.started() => return,
        };
        let (identity, handle) = (identity.clone(), handle.clone());
        tokio::spawn(async move {
            let _permit = permit;
            match handshake(stream, &identity, clients).await {
                Ok((stream, id)) => handle(stream, Peer { id, address }).await,
                Err(error) => tracing::info!(%error, peer = %address, "refused"),
            }
        });
    }
}

/// The next connection; failures are waited out.
pub async fn next(listener: &TcpListener) -> (TcpStream, SocketAddr) {
    loop {
        match listener.accept().await {
            Ok((stream, address)) => return (stream, socket::canonical(address)),
            Err(error) => {
                tracing::warn!(%error, "accept");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn handshake(
    stream: TcpStream,
    identity: &Identity,
    clients: Clients,
) -> io::Result<(TlsStream<TcpStream>, Option<Arc<str>>)> {
    let config = match clients {
        Clients::Certified => identity.server_config(),
        Clients::Anyone => identity.server_config_anonymous(),
    };
    let config = config.ok_or_else(|| io::Error::other("no certificate yet"))?;
    let stream = timeout(HANDSHAKE_TIMEOUT, TlsAcceptor::from(config).accept(stream)).await??;
    let connection = stream.get_ref().1;
    if connection.alpn_protocol() != Some(ALPN_H2) {
        return Err(io::Error::other("not mesh TLS: ALPN is not weft-h2"));
    }
    let id = connection.peer_certificates().and_then(peer_id).map(Arc::from);
    Ok((stream, id))
}

/// Serves one HTTP/2 connection to its end; when the drain begins, open requests may finish.
pub async fn http2<F, R, B>(stream: TlsStream<TcpStream>, mut live: Live, service: F)
where
    F: Fn(Request<Incoming>) -> R,
    R: Future<Output = Result<Response<B>, Infallible>> + Send + 'static,
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let connection = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(PING_TIMEOUT)
        .max_header_list_size(MAX_HEADERS)
        .max_concurrent_streams(MAX_STREAMS)
        .serve_connection(TokioIo::new(stream), service_fn(service));
    let mut connection = pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = live.ending() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "connection ended");
    }
}
