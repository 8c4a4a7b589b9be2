//! What the application sends: original destination → resolve → detect → route → balance → connect → copy or forward.

use std::net::SocketAddr;
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use self::egress::{Exit, Left};
use crate::balance::Waited;
use crate::balance::node::{InFlight, Node};
use crate::connect;
use crate::copy;
use crate::detect::{self, Found, Kind, Patience, SILENCE};
use crate::discovery::Protocol;
use crate::drain::Drain;
use crate::error::{Code, Error};
use crate::held::Held;
use crate::http::client::STREAM_WINDOW;
use crate::http::received::Received;
use crate::http::{respond, server};
use crate::identity::ALPN_TCP;
use crate::io::Io;
use crate::metrics::Tls;
use crate::route::{Target, Upstream};
use crate::socket;
use crate::stay::{Speaker, Stay};
use crate::worker::Worker;

mod attempts;
mod egress;
pub mod request;
mod retry;

/// Attempts to reach an endpoint before the client is told.
const MAX_ATTEMPTS: u32 = 6;
/// Between attempts when all endpoints were tried; doubled each time. A rollout has new ones by then.
const PAUSE: Duration = Duration::from_millis(25);

/// Serves one connection of the application until it ends.
pub async fn serve(worker: Rc<Worker>, stream: TcpStream, source: SocketAddr) -> Result<(), Error> {
    let mut stay = Stay::begin(&worker);
    let dst = (worker.shared.original_dst)(&stream).map_err(failed)?;
    refuse_loop(&worker, &stream, dst)?;
    let target = match worker.target(dst).await {
        Ok(target) => target,
        Err(error) => return Box::pin(refuse(stay, stream, error)).await,
    };
    let protocol = target.plan(&worker).await.protocol;
    let mut buf = BytesMut::new();
    let found = match (protocol, patience(protocol, &target)) {
        (Protocol::Opaque, _) => Found::Kind(Kind::Opaque),
        (_, Patience::Http) if !stay.is_spoken(&stream, &mut buf).await.map_err(failed)? => return Ok(()),
        (_, patience) => detect::detect(&stream, &mut buf, patience).await.map_err(failed)?,
    };
    let (found, left) = match &target.plan(&worker).await.exit {
        Some(rules) => {
            let exit = Exit { rules: rules.as_ref(), shared: &worker.shared, source, dst };
            Box::pin(exit.connection(found, &stream, &mut buf, target.updates())).await?
        }
        None => (found, None),
    };
    let conn = Conn { worker, target, source, stay };
    // Boxed, so that a connection takes the room of what it is, and not of the largest thing that it might be.
    match found {
        Found::Kind(kind @ (Kind::Http1 | Kind::Http2)) => Box::pin(conn.serve_http(stream, buf, kind)).await,
        Found::Kind(Kind::Tls) => Box::pin(conn.serve_tcp(stream, buf, Some(Tls::Passthrough), left)).await,
        // A client that only listens may have closed its side.
        Found::Kind(Kind::Opaque) | Found::Closed => Box::pin(conn.serve_tcp(stream, buf, None, left)).await,
        Found::Silent => Box::pin(conn.serve_silent(stream, buf, left)).await,
    }
}

fn failed(e: std::io::Error) -> Error {
    Error::new(Code::Protocol, e.to_string())
}

fn patience(protocol: Protocol, target: &Target) -> Patience {
    match protocol {
        // Its clients wait for the server: no use in waiting for them.
        Protocol::Detect if target.server_first.get() => Patience::Silence(Duration::ZERO),
        Protocol::Detect if !target.spoke_http.get() => Patience::Silence(SILENCE),
        _ => Patience::Http,
    }
}

/// A connection to the proxy's own ports leads back here, without end.
fn refuse_loop(worker: &Worker, stream: &TcpStream, dst: SocketAddr) -> Result<(), Error> {
    let local = stream.local_addr().map(socket::canonical);
    let own_port = worker.shared.config.inbound_listen.iter().any(|l| l.port() == dst.port());
    if local.is_ok_and(|l| l == dst) || (own_port && worker.shared.own_ips.contains(&dst.ip())) {
        return Err(Error::new(Code::Loop, format!("{dst} is this proxy itself")));
    }
    Ok(())
}

/// Tells an HTTP client why it gets no answer; others are reset.
pub async fn refuse(stay: Stay, stream: TcpStream, error: Error) -> Result<(), Error> {
    let mut buf = BytesMut::new();
    if let Ok(Found::Kind(kind @ (Kind::Http1 | Kind::Http2))) =
        detect::detect(&stream, &mut buf, Patience::Silence(SILENCE)).await
    {
        let Stay { vigil, live: mut leaving } = stay;
        vigil.enter_http(kind == Kind::Http2);
        let io = Io::tcp(stream).prefixed(buf.freeze()).watched(&vigil);
        // Discovery may know more by the next connection: this one ends with its first answer.
        let answered = Drain::default();
        let (told, done) = (error.clone(), answered.clone());
        let answer = move |request: http::Request<Received>| {
            let grpc = crate::http::classify::is_grpc(request.headers());
            let mut response = respond::error(&told, grpc);
            done.start();
            if request.version() < http::Version::HTTP_2 {
                let close = http::HeaderValue::from_static("close");
                response.headers_mut().insert(http::header::CONNECTION, close);
            }
            std::future::ready(Ok(response))
        };
        let served = server::serve(io, kind == Kind::Http2, answered.live(), answer);
        let mut served = pin!(vigil.over(served));
        tokio::select! {
            _ = &mut served => return Err(error),
            () = leaving.ending() => answered.start(),
        }
        let _ = served.await;
    } else {
        let _ = socket::reset(&stream);
    }
    Err(error)
}

/// One accepted connection.
struct Conn {
    worker: Rc<Worker>,
    target: Rc<Target>,
    source: SocketAddr,
    stay: Stay,
}

impl Conn {
    async fn serve_http(self, stream: TcpStream, buf: BytesMut, kind: Kind) -> Result<(), Error> {
        let Self { worker, target, source, stay: Stay { vigil, live } } = self;
        vigil.enter_http(kind == Kind::Http2);
        let io = Io::tcp(stream).prefixed(buf.freeze()).watched(&vigil);
        let conn = Rc::new(request::Conn { worker, target, source, vigil: vigil.clone() });
        // Pinned here: what is moved on leaves its room behind in every connection.
        let served =
            pin!(server::serve(io, kind == Kind::Http2, live, move |r| request::answer(conn.clone(), r)));
        vigil.over(served).await
    }

    /// Copies bytes, whatever they mean.
    async fn serve_tcp(
        self,
        stream: TcpStream,
        buf: BytesMut,
        tls: Option<Tls>,
        left: Option<Box<Left>>,
    ) -> Result<(), Error> {
        let opened = self.open(&stream, tls).await?;
        self.copy(opened, Io::tcp(stream).prefixed(buf.freeze()), left).await
    }

    /// A connection to an endpoint. A client whose server cannot be reached is reset: an end would say that this is all
    /// there is.
    async fn open(&self, client: &TcpStream, tls: Option<Tls>) -> Result<Opened, Error> {
        let opened = Box::pin(connect_any(&self.worker, &self.target, self.source, tls)).await;
        opened.inspect_err(|_| drop(socket::reset(client)))
    }

    /// Until both sides have ended, or a change of what may leave the mesh ends it.
    async fn copy(
        &self,
        Opened { node, io: mut server, left: by_service }: Opened,
        client: Io,
        left: Option<Box<Left>>,
    ) -> Result<(), Error> {
        let _in_flight = InFlight::new(node);
        let vigil = &self.stay.vigil;
        let mut client = client.watched(vigil);
        let copied = copy::watched(&mut client, &mut server, vigil);
        let Some(left) = left.or(by_service) else {
            copied.await;
            return Ok(());
        };
        let revoked = tokio::select! {
            () = copied => return Ok(()),
            // Boxed, so that connections within the mesh have no room for it.
            revoked = Box::pin(left.revoked(&self.worker.shared, Duration::ZERO)) => revoked,
        };
        client.reset();
        server.reset();
        Err(revoked)
    }

    /// The client waits: whoever speaks first, it or the server, shows what this is.
    async fn serve_silent(
        self,
        mut client: TcpStream,
        mut buf: BytesMut,
        left: Option<Box<Left>>,
    ) -> Result<(), Error> {
        let mut opened = self.open(&client, None).await?;
        match self.stay.first_words(&client, &mut opened.io).await {
            Speaker::Client => {
                let found = detect::detect(&client, &mut buf, Patience::Spoken).await.map_err(failed)?;
                if let Found::Kind(kind @ (Kind::Http1 | Kind::Http2)) = found {
                    drop(opened);
                    return Box::pin(self.serve_http(client, buf, kind)).await;
                }
            }
            Speaker::Server(words) => {
                if !words.is_empty() && !self.target.spoke_http.get() {
                    self.target.server_first.set(true);
                }
                client.write_all(&words).await.map_err(failed)?;
            }
            Speaker::Nobody => return Ok(()),
        }
        self.copy(opened, Io::tcp(client).prefixed(buf.freeze()), left).await
    }
}

/// A raw connection to an endpoint.
struct Opened {
    node: Rc<Node>,
    io: Io,
    /// A Service led out of the mesh.
    left: Option<Box<Left>>,
}

/// Endpoints that cannot be reached are passed over.
async fn connect_any(
    worker: &Worker,
    target: &Target,
    source: SocketAddr,
    tls: Option<Tls>,
) -> Result<Opened, Error> {
    let plan = target.plan(worker).await;
    let upstream = plan.connection();
    let mut tried = Vec::new();
    for attempt in 1.. {
        let node = next(worker, upstream, &mut tried, pause(attempt)).await?;
        let left = egress::by_service(&worker.shared, &node, source, None).await?;
        match connect::open(worker, &node, ALPN_TCP, tls).await {
            Ok(io) => return Ok(Opened { node, io, left }),
            Err(error) if attempt >= MAX_ATTEMPTS => return Err(error),
            Err(_) => tried.push(node),
        }
    }
    Err(no_endpoints(&upstream.name))
}

/// Before an attempt when all endpoints were tried.
fn pause(attempt: u32) -> Duration {
    PAUSE * 2u32.pow(attempt.saturating_sub(2).min(MAX_ATTEMPTS))
}

/// The endpoint for an attempt; when all were tried, after the pause or a change from the beginning.
async fn next(
    worker: &Worker,
    upstream: &Upstream,
    tried: &mut Vec<Rc<Node>>,
    pause: Duration,
) -> Result<Rc<Node>, Error> {
    match upstream.balancer.pick(&worker.lots, tried) {
        Some(node) => Ok(node),
        None => Box::pin(next_later(worker, upstream, tried, pause)).await,
    }
}

async fn next_later(
    worker: &Worker,
    Upstream { name, balancer, .. }: &Upstream,
    tried: &mut Vec<Rc<Node>>,
    pause: Duration,
) -> Result<Rc<Node>, Error> {
    if !tried.is_empty() {
        balancer.changed(pause).await;
        tried.clear();
    }
    // The request's body waits as well.
    let mut held = Held::default();
    let fits = held.fits(STREAM_WINDOW as usize);
    match if fits { balancer.wait(worker.shared.config.queue).await } else { Waited::Full } {
        Waited::Ready => balancer.pick(&worker.lots, tried).ok_or_else(|| no_endpoints(name)),
        Waited::Empty => Err(no_endpoints(name)),
        Waited::Full => Err(Error::new(Code::Overloaded, format!("too many requests wait for {name}"))),
    }
}

fn no_endpoints(name: &str) -> Error {
    Error::new(Code::NoEndpoints, format!("no ready endpoints of {name}"))
}
