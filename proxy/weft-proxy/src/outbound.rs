//! What the application sends: original destination → resolve → detect → route → balance → connect → copy or forward.

use std::net::SocketAddr;
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
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
use crate::worker::Worker;

mod attempts;
mod egress;
pub mod request;
mod retry;

/// Attempts to reach an endpoint before the client is told.
const MAX_ATTEMPTS: u32 = 6;
/// Between attempts when all endpoints were tried; doubled each time. A rollout has new ones by then.
const PAUSE: Duration = Duration::from_millis(25);
/// What a server says first is read into so much.
const FIRST_WORDS: usize = 1024;

/// Serves one connection of the application until it ends.
pub async fn serve(worker: Rc<Worker>, stream: TcpStream, source: SocketAddr) -> Result<(), Error> {
    let failed = |e: std::io::Error| Error::new(Code::Protocol, e.to_string());
    let dst = (worker.shared.original_dst)(&stream).map_err(failed)?;
    refuse_loop(&worker, &stream, dst)?;
    let target = match worker.target(dst).await {
        Ok(target) => target,
        Err(error) => return Box::pin(refuse(&worker, stream, error)).await,
    };
    let protocol = target.plan(&worker).await.protocol;
    let mut buf = BytesMut::new();
    let found = match protocol {
        Protocol::Opaque => Found::Kind(Kind::Opaque),
        _ => detect::detect(&stream, &mut buf, patience(protocol, &target)).await.map_err(failed)?,
    };
    let (found, left) = match &target.plan(&worker).await.exit {
        Some(rules) => {
            let exit = Exit { rules: rules.as_ref(), shared: &worker.shared, source, dst };
            Box::pin(exit.connection(found, &stream, &mut buf, target.updates())).await?
        }
        None => (found, None),
    };
    // Boxed, so that a connection takes the room of what it is, and not of the largest thing that it might be.
    match found {
        Found::Kind(kind @ (Kind::Http1 | Kind::Http2)) => {
            Box::pin(serve_http(worker, target, stream, source, buf, kind)).await
        }
        Found::Kind(Kind::Tls) => {
            Box::pin(serve_tcp(&worker, &target, stream, source, buf, Some(Tls::Passthrough), left)).await
        }
        // A client that only listens may have closed its side.
        Found::Kind(Kind::Opaque) | Found::Closed => {
            Box::pin(serve_tcp(&worker, &target, stream, source, buf, None, left)).await
        }
        Found::Silent => Box::pin(serve_silent(worker, target, stream, source, buf, left)).await,
    }
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
pub async fn refuse(worker: &Rc<Worker>, stream: TcpStream, error: Error) -> Result<(), Error> {
    let mut buf = BytesMut::new();
    if let Ok(Found::Kind(kind @ (Kind::Http1 | Kind::Http2))) =
        detect::detect(&stream, &mut buf, Patience::Silence(SILENCE)).await
    {
        let io = Io::tcp(stream).prefixed(buf.freeze());
        // Discovery may know more by the next connection: this one ends with its first answer.
        let (answered, mut leaving) = (Drain::default(), worker.shared.drain.live());
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
        let mut served = pin!(server::serve(io, kind == Kind::Http2, answered.live(), answer));
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

async fn serve_http(
    worker: Rc<Worker>,
    target: Rc<Target>,
    stream: TcpStream,
    source: SocketAddr,
    buf: BytesMut,
    kind: Kind,
) -> Result<(), Error> {
    let vigil = worker.vigils.begin(kind == Kind::Http1);
    let io = Io::tcp(stream).prefixed(buf.freeze()).watched(&vigil);
    let live = worker.shared.drain.live();
    let conn = Rc::new(request::Conn { worker, target, source, vigil: vigil.clone() });
    // Pinned here: what is moved on leaves its room behind in every connection.
    let served =
        pin!(server::serve(io, kind == Kind::Http2, live, move |r| request::answer(conn.clone(), r)));
    vigil.over(served).await
}

/// Copies bytes, whatever they mean.
async fn serve_tcp(
    worker: &Worker,
    target: &Target,
    stream: TcpStream,
    source: SocketAddr,
    buf: BytesMut,
    tls: Option<Tls>,
    left: Option<Box<Left>>,
) -> Result<(), Error> {
    let opened = reached(&stream, Box::pin(connect_any(worker, target, source, tls)).await)?;
    copy_tcp(worker, opened, Io::tcp(stream).prefixed(buf.freeze()), left).await
}

/// Until both sides have ended, or a change of what may leave the mesh ends it.
async fn copy_tcp(
    worker: &Worker,
    Opened { node, io: mut server, left: by_service }: Opened,
    client: Io,
    left: Option<Box<Left>>,
) -> Result<(), Error> {
    let _live = worker.shared.drain.live();
    let _in_flight = InFlight::new(node);
    let vigil = worker.vigils.begin(false);
    let mut client = client.watched(&vigil);
    let copied = copy::watched(&mut client, &mut server, &vigil);
    let Some(left) = left.or(by_service) else {
        copied.await;
        return Ok(());
    };
    let revoked = tokio::select! {
        () = copied => return Ok(()),
        // Boxed, so that connections within the mesh have no room for it.
        revoked = Box::pin(left.revoked(&worker.shared, Duration::ZERO)) => revoked,
    };
    client.reset();
    server.reset();
    Err(revoked)
}

/// The client waits: whoever speaks first, it or the server, shows what this is.
async fn serve_silent(
    worker: Rc<Worker>,
    target: Rc<Target>,
    stream: TcpStream,
    source: SocketAddr,
    mut buf: BytesMut,
    left: Option<Box<Left>>,
) -> Result<(), Error> {
    let failed = |e: std::io::Error| Error::new(Code::Protocol, e.to_string());
    let mut opened = reached(&stream, Box::pin(connect_any(&worker, &target, source, None)).await)?;
    let mut words = BytesMut::with_capacity(FIRST_WORDS);
    let by_client = tokio::select! {
        biased;
        _ = stream.readable() => true,
        // Its end, if it is one, shows when copying.
        _ = opened.io.read_buf(&mut words) => false,
    };
    let mut client = stream;
    if by_client {
        let found = detect::detect(&client, &mut buf, Patience::Spoken).await.map_err(failed)?;
        if let Found::Kind(kind @ (Kind::Http1 | Kind::Http2)) = found {
            drop(opened);
            return Box::pin(serve_http(worker, target, client, source, buf, kind)).await;
        }
    } else {
        if !words.is_empty() && !target.spoke_http.get() {
            target.server_first.set(true);
        }
        client.write_all(&words).await.map_err(failed)?;
    }
    drop(words);
    copy_tcp(&worker, opened, Io::tcp(client).prefixed(buf.freeze()), left).await
}

/// A client whose server cannot be reached is reset: an end would say that this is all there is.
fn reached<T>(client: &TcpStream, opened: Result<T, Error>) -> Result<T, Error> {
    opened.inspect_err(|_| drop(socket::reset(client)))
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
