//! Sending one request to one endpoint, over a connection from its pool or a new one.

use std::rc::Rc;
use std::time::Instant;

use h2::Reason;
use http::{Request, Response, StatusCode};

use super::body::RequestBody;
use super::http1::Exclusive;
use super::http2::{Active, Shared};
use super::received::Received;
use crate::balance::node::{InFlight, Node};
use crate::connect;
use crate::error::{Code, Error};
use crate::identity::{ALPN_H2, ALPN_TCP};
use crate::worker::Worker;

/// What one stream may send that nobody reads yet.
pub const STREAM_WINDOW: u32 = 256 * 1024;
/// Requests at once on one connection; a peer proxy brings those of its whole pod.
pub const MAX_STREAMS: u32 = 1024;
/// Room for every stream: those that nobody reads must not hold up the others.
pub const CONNECTION_WINDOW: u32 = STREAM_WINDOW * MAX_STREAMS;
/// What unread frames of under 256 bytes may lack to 256 each, on one connection: they cost about so much beside their
/// bytes. 130,000 of one byte, or ten streams of small messages whose readers have stopped.
pub const FRAME_OVERHEAD: usize = 32 << 20;
pub const MAX_HEADER_BYTES: u32 = 64 * 1024;
/// What is read of a response's head: with more, HTTP/2 would end for all requests on the connection, and not for one.
pub const MAX_RESPONSE_HEAD: u32 = 8 * MAX_HEADER_BYTES;
/// What waits at most for a peer of HTTP/1 that does not read: hyper's buffer, and the stream that the body comes from.
pub const HTTP1_BACKLOG: usize = (2 * MAX_HEADER_BYTES + STREAM_WINDOW) as usize;
/// A connection from the pool may be closing just now: then another one is taken, but not for ever.
const MAX_STALE: u32 = 8;

/// How a request goes to an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wire {
    Http1,
    /// In mesh TLS, or with prior knowledge in plain text.
    Http2,
}

/// What a response holds of its endpoint until it ends.
pub struct Lease {
    in_flight: InFlight,
    _active: Option<Active>,
}

impl Lease {
    /// For a connection that goes back to no pool.
    pub fn new(node: Rc<Node>) -> Self {
        Self { in_flight: InFlight::new(node), _active: None }
    }

    /// The connection can be used again.
    pub fn give_back(&self, connection: Box<Exclusive>) {
        self.in_flight.0.pool.give_back(connection);
    }
}

/// What came of sending.
pub type Sent = (Response<Received>, Lease);

// What is rare is boxed: the future of every request would have room for it.

/// Sends `request`; the error says by its code whether the application can have seen it.
pub async fn send(
    worker: &Worker,
    node: &Rc<Node>,
    wire: Wire,
    request: Request<RequestBody>,
) -> Result<Sent, Error> {
    let in_flight = InFlight::new(node.clone());
    match wire {
        Wire::Http1 => send1(worker, in_flight, request).await,
        Wire::Http2 => send2(worker, in_flight, request).await,
    }
}

async fn send1(
    worker: &Worker,
    in_flight: InFlight,
    mut request: Request<RequestBody>,
) -> Result<Sent, Error> {
    let node = &in_flight.0;
    for _ in 0..MAX_STALE {
        let (connection, reused) = match node.pool.http1(Instant::now()) {
            Some(connection) => (connection, true),
            None => (Box::pin(connect1(worker, node)).await?, false),
        };
        match connection.send(request).await {
            Ok(response) if response.status() == StatusCode::SWITCHING_PROTOCOLS => {
                let cause = format!("{} switches protocols unasked", node.endpoint.addr);
                return Err(Error::new(Code::Protocol, cause));
            }
            Ok(response) => return Ok((response, Lease { in_flight, _active: None })),
            Err(mut failed) => match failed.take_message() {
                Some(unsent) => request = unsent,
                None => return Err(Error { reused, ..lost1(&failed.into_error(), node) }),
            },
        }
    }
    Err(Error::new(Code::Connect, format!("{} closes every connection", node.endpoint.addr)))
}

async fn send2(worker: &Worker, in_flight: InFlight, request: Request<RequestBody>) -> Result<Sent, Error> {
    let node = &in_flight.0;
    let (shared, reused) = match node.pool.http2() {
        Some(found) => (found, true),
        None => (Box::pin(connection2(worker, node)).await?, false),
    };
    let active = Active::new(&shared, Instant::now());
    // A stream that was reset was looked at: its connection lives.
    let lost = |error: h2::Error| Error { reused: reused && !error.is_reset(), ..lost2(&error, node) };
    let response = shared.send(request).await.map_err(lost)?;
    Ok((response, Lease { in_flight, _active: Some(active) }))
}

/// A new connection of HTTP/2; of a crowd one makes it and the others wait.
async fn connection2(worker: &Worker, node: &Rc<Node>) -> Result<Rc<Shared>, Error> {
    let waits = node.pool.dialled.last();
    let _turn = node.pool.connecting.lock().await;
    if let Some(found) = node.pool.http2() {
        return Ok(found);
    }
    if let Some(error) = node.pool.dialled.failure_since(waits) {
        return Err(error);
    }
    let made = connect2(worker, node).await?;
    node.pool.add_http2(made.clone());
    Ok(made)
}

/// To a peer proxy HTTP/1 would be bytes like others; but between proxies all HTTP is HTTP/2, and this one never a peer.
async fn connect1(worker: &Worker, node: &Rc<Node>) -> Result<Box<Exclusive>, Error> {
    let io = connect::open(worker, node, ALPN_TCP, None).await?;
    Exclusive::over(io).await.map_err(|e| unreachable(&e, node))
}

async fn connect2(worker: &Worker, node: &Rc<Node>) -> Result<Rc<Shared>, Error> {
    let io = connect::open(worker, node, ALPN_H2, None).await?;
    let began = node.pool.dialled.last();
    let made = Shared::over(io, node.identity().is_some()).await.map_err(|e| unreachable(&e, node));
    made.inspect_err(|error| node.pool.dialled.failed(began, error))
}

fn unreachable(error: &dyn std::error::Error, node: &Node) -> Error {
    Error::new(Code::Connect, format!("{}: {}", node.endpoint.addr, chain(error)))
}

/// What became of a request over HTTP/1 that was handed over: nobody knows.
fn lost1(error: &hyper::Error, node: &Node) -> Error {
    let code = if error.is_parse() || error.is_user() { Code::Protocol } else { Code::Lost };
    Error::new(code, format!("{}: {}", node.endpoint.addr, chain(error)))
}

/// What became of a request over HTTP/2: refused streams were not processed, of others nobody knows.
fn lost2(error: &h2::Error, node: &Node) -> Error {
    let code = match error.reason() {
        Some(Reason::REFUSED_STREAM) if error.is_remote() => Code::Connect,
        Some(Reason::NO_ERROR) if error.is_remote() && error.is_go_away() => Code::Connect,
        // What came is no response, or its head larger than `MAX_RESPONSE_HEAD`.
        _ if error.is_reset() && error.is_library() => Code::Protocol,
        _ if error.is_reset() || error.is_io() || error.is_go_away() => Code::Lost,
        _ => Code::Protocol,
    };
    Error::new(code, format!("{}: {}", node.endpoint.addr, chain(error)))
}

/// An error with its causes; hyper hides them in `source`.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let said = cause.to_string();
        if !text.contains(&said) {
            text = format!("{text}: {said}");
        }
        next = cause.source();
    }
    text
}
