//! One connection of a meshed peer: HTTP/2 in, HTTP/2 out to the loopback, with the peer's identity and address in headers.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderName, HeaderValue, Request, Response, StatusCode};
use http_body_util::Either;
use hyper::body::Incoming;
use hyper::client::conn::http2::SendRequest;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;
use tokio::sync::Mutex;
use tokio::time::timeout;
use tokio_rustls::server::TlsStream;

use crate::control::accept::{self, Peer};
use crate::drain::Live;

/// Who the caller is, for the service behind; what a caller sends under these names never gets through.
const CLIENT_ID: HeaderName = HeaderName::from_static("weft-client-id");
const CLIENT_ADDRESS: HeaderName = HeaderName::from_static("weft-client-address");
const ERROR: HeaderName = HeaderName::from_static("weft-error");
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

type Answer = Response<Either<Incoming, String>>;

/// Serves the connection to its end. Each has a connection of its own to the service, so a peer that reads slowly
/// holds up nobody else's flow-control window, and one that leaves is seen to leave.
pub async fn connection(stream: TlsStream<TcpStream>, peer: Peer, to: SocketAddr, live: Live) {
    let backend = Arc::new(Backend { to, sender: Mutex::new(None) });
    let id = peer.id.as_deref().and_then(|id| HeaderValue::from_str(id).ok());
    let address = HeaderValue::from_str(&peer.address.ip().to_string()).ok();
    accept::http2(stream, live, move |mut request| {
        let backend = backend.clone();
        request.headers_mut().remove(CLIENT_ID);
        request.headers_mut().remove(CLIENT_ADDRESS);
        if let Some(address) = &address {
            request.headers_mut().insert(CLIENT_ADDRESS, address.clone());
        }
        if let Some(id) = &id {
            request.headers_mut().insert(CLIENT_ID, id.clone());
        }
        async move {
            Ok::<_, Infallible>(
                backend.send(request).await.unwrap_or_else(|error| backend.unavailable(&error)),
            )
        }
    })
    .await;
}

struct Backend {
    to: SocketAddr,
    sender: Mutex<Option<SendRequest<Incoming>>>,
}

impl Backend {
    async fn send(&self, request: Request<Incoming>) -> anyhow::Result<Answer> {
        let response = self.sender().await?.send_request(request).await?;
        Ok(response.map(Either::Left))
    }

    /// The open connection, or a new one.
    async fn sender(&self) -> anyhow::Result<SendRequest<Incoming>> {
        let mut held = self.sender.lock().await;
        if let Some(sender) = held.as_ref().filter(|sender| !sender.is_closed()) {
            return Ok(sender.clone());
        }
        let stream = timeout(CONNECT_TIMEOUT, TcpStream::connect(self.to)).await??;
        stream.set_nodelay(true)?;
        let (sender, connection) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        *held = Some(sender.clone());
        Ok(sender)
    }

    /// A gRPC client takes 503 for UNAVAILABLE and comes back.
    fn unavailable(&self, error: &anyhow::Error) -> Answer {
        tracing::warn!(to = %self.to, %error, "the service does not answer");
        let cause = format!("E103 the service on {} does not answer", self.to);
        let mut response = Response::new(Either::Right(cause.clone()));
        *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
        if let Ok(cause) = HeaderValue::from_str(&cause) {
            response.headers_mut().insert(ERROR, cause);
        }
        response
    }
}
