//! What others send: end mesh TLS and learn who they are, detect, pass on to the application.

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use rustls::server::Acceptor;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio_rustls::StartHandshake;

use crate::balance::node::Node;
use crate::connect;
use crate::copy;
use crate::detect::{self, Found, Kind, Patience, SILENCE};
use crate::discovery::{Inbound, Protocol};
use crate::error::{Code, Error};
use crate::http::client::chain;
use crate::http::server;
use crate::identity::{ALPN_H2, ALPN_TCP, SNI, peer_id};
use crate::io::Io;
use crate::lookahead::Lookahead;
use crate::metrics::Tls;
use crate::socket;
use crate::worker::Worker;

pub mod request;

/// A ClientHello is complete within this many bytes and this long.
const MAX_HELLO: usize = 32 * 1024;
const HELLO: Duration = Duration::from_secs(5);
/// A peer's ClientHello may be so late when its machine is busy.
const LATE_HELLO: Duration = Duration::from_secs(1);
const FIRST_WORDS: usize = 1024;

/// Serves one connection from outside the pod until it ends.
pub async fn serve(worker: Rc<Worker>, stream: TcpStream, source: SocketAddr) -> Result<(), Error> {
    socket::tune(&stream).map_err(failed)?;
    let dst = (worker.shared.original_dst)(&stream).map_err(failed)?;
    refuse_foreign(&worker, dst)?;
    let inbound = worker.shared.discovery.inbound(dst.port());
    let conn = Conn { app: worker.app(dst), worker, source, inbound };
    let mut buf = BytesMut::new();
    match detect::detect(&stream, &mut buf, conn.patience()).await.map_err(failed)? {
        // Boxed, so that a connection takes the room of what it is, and not of the largest thing that it might be.
        Found::Silent => Box::pin(conn.serve_silent(stream, buf)).await,
        Found::Closed => Box::pin(conn.serve_tcp(stream, buf, Tls::NoIdentity)).await,
        Found::Kind(kind) => conn.serve_plain(stream, buf, kind).await,
    }
}

fn failed(e: std::io::Error) -> Error {
    Error::new(Code::Protocol, e.to_string())
}

/// Only the pod's own addresses, and never the proxy's own ports: this is no relay.
fn refuse_foreign(worker: &Worker, dst: SocketAddr) -> Result<(), Error> {
    let config = &worker.shared.config;
    let listeners = config.inbound_listen.iter().chain(&config.outbound_listen).chain([&config.tap_listen]);
    let own_port = listeners.map(SocketAddr::port).any(|p| p == dst.port());
    let own_ips = &worker.shared.own_ips;
    if own_port || dst.ip().is_loopback() && !own_ips.contains(&dst.ip()) {
        return Err(Error::new(Code::Loop, format!("{dst} is this proxy itself")));
    }
    if !own_ips.is_empty() && !own_ips.contains(&dst.ip()) {
        return Err(Error::new(Code::Loop, format!("{dst} is not this pod")));
    }
    Ok(())
}

/// One accepted connection.
struct Conn {
    worker: Rc<Worker>,
    app: Rc<Node>,
    source: SocketAddr,
    inbound: watch::Receiver<Arc<Inbound>>,
}

impl Conn {
    fn protocol(&self) -> Protocol {
        if self.worker.shared.config.opaque_ports.contains(&self.app.endpoint.addr.port()) {
            return Protocol::Opaque;
        }
        self.inbound.borrow().protocol
    }

    /// Declared HTTP servers do not speak first.
    fn patience(&self) -> Patience {
        match self.protocol() {
            Protocol::Detect | Protocol::Opaque => Patience::Silence(SILENCE),
            _ => Patience::Http,
        }
    }

    /// First bytes in plain text: a ClientHello may be the mesh's, or the application's own.
    async fn serve_plain(self, stream: TcpStream, buf: BytesMut, kind: Kind) -> Result<(), Error> {
        match kind {
            Kind::Tls => Box::pin(self.serve_tls(stream, buf)).await,
            Kind::Http1 | Kind::Http2 if self.protocol() != Protocol::Opaque => {
                let io = Io::tcp(stream).prefixed(buf.freeze());
                Box::pin(self.serve_http(io, kind == Kind::Http2, Tls::NoIdentity, None)).await
            }
            _ => Box::pin(self.serve_tcp(stream, buf, Tls::NoIdentity)).await,
        }
    }

    async fn serve_tls(self, mut stream: TcpStream, mut buf: BytesMut) -> Result<(), Error> {
        let hello = tokio::time::timeout(HELLO, read_hello(&mut stream, &mut buf)).await;
        let accepted = match hello {
            Ok(Ok(Some(accepted))) if is_mesh(&accepted.client_hello()) => accepted,
            Ok(Ok(_)) => return self.serve_tcp(stream, buf, Tls::Passthrough).await,
            Ok(Err(error)) => return Err(failed(error)),
            Err(_) => return Err(Error::new(Code::Protocol, "the ClientHello does not end")),
        };
        let config = self.worker.shared.identity.server_config();
        let config = config.ok_or_else(|| Error::new(Code::Tls, "this proxy has no certificate yet"))?;
        // First, so that an application that cannot be reached fails the handshake, and the peer goes elsewhere.
        let raw = if is_raw(&accepted.client_hello()) { Some(Box::pin(self.open()).await?) } else { None };
        let handshake = StartHandshake::from_parts(accepted, Lookahead::new(stream)).into_stream(config);
        let refused =
            |e: std::io::Error| Error::new(Code::Tls, format!("client {}: {}", self.source, chain(&e)));
        let late = || Error::new(Code::Tls, format!("client {}: the handshake does not end", self.source));
        let tls = tokio::time::timeout(HELLO, handshake).await.map_err(|_| late())?.map_err(refused)?;
        let (_, session) = tls.get_ref();
        let id: Option<Arc<str>> = session.peer_certificates().and_then(peer_id).map(Into::into);
        let Some(id) = id else { return Err(Error::new(Code::Tls, "the client's certificate names nobody")) };
        self.worker.set_outsider(self.source.ip(), false);
        let io = Io::tls_server(tls);
        if let Some(server) = raw {
            Box::pin(self.copy(io, server, Tls::True, Some(id))).await;
            return Ok(());
        }
        Box::pin(self.serve_http(io, true, Tls::True, Some(id))).await
    }

    async fn serve_http(self, io: Io, http2: bool, tls: Tls, id: Option<Arc<str>>) -> Result<(), Error> {
        let io = self.metered(io, tls, id.as_deref());
        let live = self.worker.shared.drain.live();
        let client = Rc::new(request::Client::new(self.worker, self.app, self.source, tls, id));
        let served = server::serve(io, http2, live, move |r| request::answer(client.clone(), r)).await;
        if let Err(error) = served {
            tracing::debug!(error = chain(&*error), "client connection");
        }
        Ok(())
    }

    async fn serve_tcp(self, stream: TcpStream, buf: BytesMut, tls: Tls) -> Result<(), Error> {
        let server = self.open().await?;
        self.copy(Io::tcp(stream).prefixed(buf.freeze()), server, tls, None).await;
        Ok(())
    }

    /// A connection to the application.
    async fn open(&self) -> Result<Io, Error> {
        connect::open(&self.worker, &self.app, ALPN_TCP, None).await
    }

    async fn copy(&self, client: Io, mut server: Io, tls: Tls, id: Option<Arc<str>>) {
        let _live = self.worker.shared.drain.live();
        let mut client = self.metered(client, tls, id.as_deref());
        if let Err(error) = copy::both(&mut client, &mut server).await {
            tracing::debug!(%error, "copy");
        }
    }

    /// The client waits: whoever speaks first, it or the application, shows what this is.
    async fn serve_silent(self, stream: TcpStream, mut buf: BytesMut) -> Result<(), Error> {
        let mut server = self.open().await?;
        let mut words = BytesMut::with_capacity(FIRST_WORDS);
        let by_client = tokio::select! {
            biased;
            _ = stream.readable() => true,
            _ = server.read_buf(&mut words) => !words.is_empty() && self.is_late(&stream).await,
        };
        let found = if by_client {
            detect::detect(&stream, &mut buf, Patience::Spoken).await.map_err(failed)?
        } else {
            Found::Silent
        };
        match found {
            Found::Kind(Kind::Tls) => {
                drop(server);
                Box::pin(self.serve_tls(stream, buf)).await
            }
            Found::Kind(kind @ (Kind::Http1 | Kind::Http2)) if words.is_empty() => {
                drop(server);
                Box::pin(self.serve_plain(stream, buf, kind)).await
            }
            _ => {
                let client = Io::tcp(stream).prefixed(buf.freeze());
                let server = server.prefixed(words.freeze());
                self.copy(client, server, Tls::NoIdentity, None).await;
                Ok(())
            }
        }
    }

    /// Whether the client speaks after all. The greeting may be meant for a peer whose ClientHello is only late, and
    /// goes in plain text to nobody who may be one: who stays silent is outside the mesh, and not waited for again.
    async fn is_late(&self, stream: &TcpStream) -> bool {
        let ip = self.source.ip();
        if self.worker.is_outsider(ip) {
            return false;
        }
        let late = tokio::time::timeout(LATE_HELLO, stream.readable()).await.is_ok();
        self.worker.set_outsider(ip, !late);
        late
    }

    fn metered(&self, io: Io, tls: Tls, id: Option<&str>) -> Io {
        let peer = self.worker.caller_peer(tls, id);
        io.metered(self.worker.shared.metrics.connections(&peer).open())
    }
}

/// Reads until the ClientHello is whole; none when it is none. All bytes stay in `buf`.
async fn read_hello(
    stream: &mut TcpStream,
    buf: &mut BytesMut,
) -> std::io::Result<Option<rustls::server::Accepted>> {
    let mut acceptor = Acceptor::default();
    let mut fed = 0;
    loop {
        while fed < buf.len() {
            fed += acceptor.read_tls(&mut &buf[fed..])?;
            match acceptor.accept() {
                Ok(Some(accepted)) if fed == buf.len() => return Ok(Some(accepted)),
                Ok(None) => {}
                // Not TLS as we know it, or more than a ClientHello: the application may understand it.
                Ok(Some(_)) | Err(_) => return Ok(None),
            }
        }
        if buf.len() > MAX_HELLO || detect::read_some(stream, buf).await? == 0 {
            return Ok(None);
        }
    }
}

fn is_mesh(hello: &rustls::server::ClientHello<'_>) -> bool {
    let ours = |p: &[u8]| p == ALPN_H2 || p == ALPN_TCP;
    hello.server_name() == Some(SNI) && hello.alpn().is_some_and(|mut all| all.any(ours))
}

/// Whether a peer brings bytes and no HTTP, which this side would prefer.
fn is_raw(hello: &rustls::server::ClientHello<'_>) -> bool {
    hello.alpn().is_none_or(|mut all| all.all(|p| p != ALPN_H2))
}
