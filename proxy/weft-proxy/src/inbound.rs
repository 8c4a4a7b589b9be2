//! What others send: end mesh TLS and learn who they are, detect, pass on to the application.

use std::net::SocketAddr;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio_rustls::StartHandshake;

use self::guard::Guard;
use crate::balance::node::Node;
use crate::connect;
use crate::copy;
use crate::detect::{self, Found, Kind, Patience, SILENCE};
use crate::discovery::{Inbound, Protocol};
use crate::error::{Code, Error};
use crate::hello;
use crate::http::client::chain;
use crate::http::server;
use crate::identity::{ALPN_TCP, peer_id};
use crate::io::Io;
use crate::lookahead::Lookahead;
use crate::metrics::Tls;
use crate::outbound;
use crate::policy::Call;
use crate::socket;
use crate::stay::{Speaker, Stay};
use crate::worker::Worker;

mod guard;
pub mod request;

/// A ClientHello is complete within this long.
const HELLO: Duration = Duration::from_secs(5);
/// A peer's ClientHello may be so late when its machine is busy.
const LATE_HELLO: Duration = Duration::from_secs(1);

/// Serves one connection from outside the pod until it ends.
pub async fn serve(worker: Rc<Worker>, stream: TcpStream, source: SocketAddr) -> Result<(), Error> {
    let stay = Stay::begin(&worker);
    let dst = (worker.shared.original_dst)(&stream).map_err(failed)?;
    refuse_foreign(&worker, dst)?;
    let inbound = match worker.shared.discovery.inbound(dst.port()).await {
        Ok(inbound) => inbound,
        Err(error) => {
            let error = Error::new(Code::NoPolicy, error.to_string());
            return Box::pin(outbound::refuse(stay, stream, error)).await;
        }
    };
    let mut conn = Conn { app: worker.app(dst), worker, source, inbound, stay };
    let mut buf = BytesMut::new();
    let patience = conn.patience();
    if patience == Patience::Http && !conn.stay.is_spoken(&stream, &mut buf).await.map_err(failed)? {
        return Ok(());
    }
    match detect::detect(&stream, &mut buf, patience).await.map_err(failed)? {
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
    stay: Stay,
}

impl Conn {
    fn protocol(&self) -> Protocol {
        if self.worker.shared.config.opaque_ports.contains(&self.app.endpoint.addr.port()) {
            return Protocol::Opaque;
        }
        self.inbound.borrow().protocol
    }

    /// The port is declared to speak HTTP, or has spoken it: it is never taken for something else again, so that
    /// nobody gets a request past this proxy.
    fn is_http(&self) -> bool {
        match self.protocol() {
            Protocol::Detect => self.worker.shared.http_ports.contains(self.app.endpoint.addr.port()),
            protocol => protocol != Protocol::Opaque,
        }
    }

    /// HTTP servers do not speak first.
    fn patience(&self) -> Patience {
        if self.is_http() { Patience::Http } else { Patience::Silence(SILENCE) }
    }

    /// First bytes in plain text: a ClientHello may be the mesh's, or the application's own.
    async fn serve_plain(self, stream: TcpStream, mut buf: BytesMut, kind: Kind) -> Result<(), Error> {
        if kind == Kind::Tls {
            return Box::pin(self.serve_tls(stream, buf)).await;
        }
        if self.protocol() == Protocol::Opaque {
            return Box::pin(self.serve_tcp(stream, buf, Tls::NoIdentity)).await;
        }
        match detect::settle(&stream, &mut buf, self.is_http()).await.map_err(failed)? {
            None => Box::pin(refuse_disguise(stream, &buf)).await,
            Some(Kind::Tls) => Box::pin(self.serve_tls(stream, buf)).await,
            Some(Kind::Opaque) => Box::pin(self.serve_tcp(stream, buf, Tls::NoIdentity)).await,
            Some(kind @ (Kind::Http1 | Kind::Http2)) => {
                let io = Io::tcp(stream).prefixed(buf.freeze());
                Box::pin(self.serve_http(io, kind == Kind::Http2, Tls::NoIdentity, None)).await
            }
        }
    }

    async fn serve_tls(self, stream: TcpStream, mut buf: BytesMut) -> Result<(), Error> {
        let hello = tokio::time::timeout(HELLO, hello::read(&stream, &mut buf)).await;
        let accepted = match hello {
            Ok(Ok(Some(accepted))) if hello::is_mesh(&accepted.client_hello()) => accepted,
            Ok(Ok(_)) => return self.serve_tcp(stream, buf, Tls::Passthrough).await,
            Ok(Err(error)) => return Err(failed(error)),
            Err(_) => return Err(Error::new(Code::Protocol, "the ClientHello does not end")),
        };
        let config = self.worker.shared.identity.server_config();
        let config = config.ok_or_else(|| Error::new(Code::Tls, "this proxy has no certificate yet"))?;
        // First, so that an application that cannot be reached fails the handshake, and the peer goes elsewhere; unless
        // it must not hear of everybody.
        let is_raw = hello::is_raw(&accepted.client_hello());
        let open_first = is_raw && !self.is_http() && self.inbound.borrow().access.is_none();
        let raw = if open_first { Some(Box::pin(self.open()).await?) } else { None };
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
            let guard = self.guard(Some(id));
            self.admit(&guard, &io)?;
            return Box::pin(self.copy(io, server, Tls::True, guard)).await;
        }
        if is_raw {
            return Box::pin(self.serve_raw(io, id)).await;
        }
        Box::pin(self.serve_http(io, true, Tls::True, Some(id))).await
    }

    /// Bytes of a peer. Where only requests may come in they are looked into: an upgrade, mostly. Who the peer is is told
    /// to the application here as well.
    async fn serve_raw(self, mut io: Io, id: Arc<str>) -> Result<(), Error> {
        let guard = self.guard(Some(id.clone()));
        if !self.is_http() && (self.protocol() == Protocol::Opaque || guard.allows(self.bytes())) {
            self.admit(&guard, &io)?;
            let server = self.open().await?;
            return self.copy(io, server, Tls::True, guard).await;
        }
        let mut buf = BytesMut::new();
        match read_kind(&mut io, &mut buf).await? {
            kind @ (Kind::Http1 | Kind::Http2) => {
                self.serve_http(io.prefixed(buf.freeze()), kind == Kind::Http2, Tls::True, Some(id)).await
            }
            Kind::Tls | Kind::Opaque => {
                self.admit(&guard, &io)?;
                Err(Error::new(Code::Protocol, "no HTTP for a port that speaks HTTP"))
            }
        }
    }

    async fn serve_http(self, io: Io, http2: bool, tls: Tls, id: Option<Arc<str>>) -> Result<(), Error> {
        let guard = self.guard(id);
        let io = self.metered(io, tls, guard.identity.as_deref());
        let Stay { vigil, live } = self.stay;
        vigil.enter_http(http2);
        let client =
            Rc::new(request::Client::new(self.worker, self.app, self.source, tls, guard, vigil.clone()));
        let io = io.watched(&vigil);
        let served = pin!(server::serve(io, http2, live, move |r| request::answer(client.clone(), r)));
        vigil.over(served).await
    }

    async fn serve_tcp(self, stream: TcpStream, buf: BytesMut, tls: Tls) -> Result<(), Error> {
        let (guard, io) = (self.guard(None), Io::tcp(stream));
        self.admit(&guard, &io)?;
        // An end would say that this is all there is.
        let server = self.open().await.inspect_err(|_| io.reset())?;
        self.copy(io.prefixed(buf.freeze()), server, tls, guard).await
    }

    fn guard(&self, id: Option<Arc<str>>) -> Rc<Guard> {
        Guard::new(self.worker.clone(), self.inbound.clone(), self.source, self.app.endpoint.addr, id)
    }

    /// What this connection is to policies when it is not HTTP.
    fn bytes(&self) -> Call<'static> {
        Call::Bytes { opaque: self.protocol() == Protocol::Opaque }
    }

    /// Resets a connection that is not HTTP and may not come in.
    fn admit(&self, guard: &Guard, io: &Io) -> Result<(), Error> {
        guard.admit(self.bytes()).inspect_err(|_| io.reset())
    }

    /// A connection to the application.
    async fn open(&self) -> Result<Io, Error> {
        connect::open(&self.worker, &self.app, ALPN_TCP, None).await
    }

    /// Until both sides have ended, or a change of policies ends it.
    async fn copy(&self, client: Io, mut server: Io, tls: Tls, guard: Rc<Guard>) -> Result<(), Error> {
        let vigil = &self.stay.vigil;
        let mut client = self.metered(client, tls, guard.identity.as_deref()).watched(vigil);
        let revoked = tokio::select! {
            () = copy::watched(&mut client, &mut server, vigil) => return Ok(()),
            revoked = guard.revoked(self.bytes()) => revoked,
        };
        client.reset();
        server.reset();
        Err(revoked)
    }

    /// The client waits: whoever speaks first, it or the application, shows what this is.
    async fn serve_silent(self, stream: TcpStream, mut buf: BytesMut) -> Result<(), Error> {
        let guard = self.guard(None);
        if !guard.allows(self.bytes()) {
            return Box::pin(self.serve_late(guard, stream, buf)).await;
        }
        let opened = self.open().await.inspect_err(|_| drop(socket::reset(&stream)));
        let mut server = opened?;
        let (by_client, words) = match self.stay.first_words(&stream, &mut server).await {
            Speaker::Client => (true, BytesMut::new()),
            Speaker::Server(words) => (!words.is_empty() && self.is_late(&stream).await, words),
            Speaker::Nobody => return Ok(()),
        };
        let found = if by_client {
            detect::detect(&stream, &mut buf, Patience::Spoken).await.map_err(failed)?
        } else {
            Found::Silent
        };
        let found = match found {
            Found::Kind(Kind::Opaque) if words.is_empty() && self.protocol() != Protocol::Opaque => {
                match detect::settle(&stream, &mut buf, self.is_http()).await.map_err(failed)? {
                    Some(kind) => Found::Kind(kind),
                    None => return refuse_disguise(stream, &buf).await,
                }
            }
            found => found,
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
                self.admit(&guard, &client)?;
                self.copy(client, server, Tls::NoIdentity, guard).await
            }
        }
    }

    /// A silent client that may bring requests, or mesh TLS, and nothing else: no application speaks to it first.
    async fn serve_late(self, guard: Rc<Guard>, stream: TcpStream, mut buf: BytesMut) -> Result<(), Error> {
        match detect::detect(&stream, &mut buf, Patience::Silence(HELLO)).await.map_err(failed)? {
            Found::Kind(kind) => self.serve_plain(stream, buf, kind).await,
            Found::Silent | Found::Closed => self.admit(&guard, &Io::tcp(stream)),
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

/// What comes in an open connection, from its first bytes.
async fn read_kind(io: &mut Io, buf: &mut BytesMut) -> Result<Kind, Error> {
    let kind = async {
        loop {
            match detect::classify(buf) {
                Some(kind) => return Ok(kind),
                None if io.read_buf(buf).await? == 0 => return Ok(Kind::Opaque),
                None => {}
            }
        }
    };
    tokio::time::timeout(HELLO, kind).await.unwrap_or(Ok(Kind::Opaque)).map_err(failed)
}

/// Bytes that the application could read as a request and this proxy does not, or anything but HTTP for a port that
/// speaks it: they would get past what the proxy says of the client. Who does not try to speak HTTP/1 gets no answer in
/// it; to a client of HTTP/2 it would look like a frame (RFC 9113 §3.4).
async fn refuse_disguise(mut stream: TcpStream, bytes: &[u8]) -> Result<(), Error> {
    let error = Error::new(Code::Protocol, "neither HTTP/1 nor HTTP/2 as this port speaks them");
    if detect::could_pass_for_http(bytes) != Some(true) {
        return Err(error);
    }
    let body = format!("weft: {error}\n");
    let length = body.len();
    let told = format!(
        "HTTP/1.1 400 Bad Request\r\nweft-error: {error}\r\ncontent-type: text/plain\r\n\
         content-length: {length}\r\nconnection: close\r\n\r\n{body}"
    );
    // Whoever it is may not listen.
    let _ = stream.write_all(told.as_bytes()).await;
    Err(error)
}
