//! Sending one request to one endpoint, over a connection from its pool or a new one.

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioIo, TokioTimer};

use super::body::RequestBody;
use super::pool::{Active, Sender1, Sender2};
use crate::balance::node::{InFlight, Node};
use crate::connect;
use crate::error::{Code, Error};
use crate::identity::ALPN_H2;
use crate::io::Io;
use crate::worker::Worker;

/// What one stream may send that nobody reads yet.
pub const STREAM_WINDOW: u32 = 256 * 1024;
/// Requests at once on one connection; a peer proxy brings those of its whole pod.
pub const MAX_STREAMS: u32 = 1024;
/// Room for every stream: those that nobody reads must not hold up the others.
pub const CONNECTION_WINDOW: u32 = STREAM_WINDOW * MAX_STREAMS;
pub const MAX_HEADER_BYTES: u32 = 64 * 1024;
/// While requests are under way and nothing comes: something to be acknowledged, see `connect::UNANSWERED`.
const PING_INTERVAL: Duration = Duration::from_secs(1);
const PING_TIMEOUT: Duration = Duration::from_secs(5);
/// A connection from the pool may be closing just now: then another one is taken, but not for ever.
const MAX_STALE: u32 = 8;

/// Tasks of hyper stay on their worker.
#[derive(Clone, Copy)]
pub struct LocalExec;

impl<F> hyper::rt::Executor<F> for LocalExec
where
    F: Future<Output: 'static> + 'static,
{
    fn execute(&self, future: F) {
        tokio::task::spawn_local(future);
    }
}

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
    sender: Option<Sender1>,
    _active: Option<Active>,
}

impl Lease {
    /// For a connection that goes back to no pool.
    pub fn new(node: Rc<Node>) -> Self {
        Self { in_flight: InFlight::new(node), sender: None, _active: None }
    }

    /// The connection can be used again.
    pub fn give_back(&mut self) {
        if let Some(sender) = self.sender.take() {
            self.in_flight.0.pool.give_back(sender);
        }
    }
}

/// What came of sending.
pub type Sent = (Response<Incoming>, Lease);

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
    let node = in_flight.0.clone();
    for _ in 0..MAX_STALE {
        let mut sender = match node.pool.http1() {
            Some(sender) => sender,
            None => Box::pin(connect1(worker, &node)).await?,
        };
        match sender.try_send_request(request).await {
            Ok(response) => return Ok((response, Lease { in_flight, sender: Some(sender), _active: None })),
            Err(mut failed) => match failed.take_message() {
                Some(unsent) => request = unsent,
                None => return Err(lost(failed.into_error(), &node)),
            },
        }
    }
    Err(Error::new(Code::Connect, format!("{} closes every connection", node.endpoint.addr)))
}

async fn send2(
    worker: &Worker,
    in_flight: InFlight,
    mut request: Request<RequestBody>,
) -> Result<Sent, Error> {
    let node = in_flight.0.clone();
    for _ in 0..MAX_STALE {
        let (mut sender, active) = match node.pool.http2() {
            Some(found) => found,
            None => Box::pin(connection2(worker, &node)).await?,
        };
        match sender.try_send_request(request).await {
            Ok(response) => return Ok((response, Lease { in_flight, sender: None, _active: Some(active) })),
            Err(mut failed) => match failed.take_message() {
                Some(unsent) => request = unsent,
                None => return Err(lost(failed.into_error(), &node)),
            },
        }
    }
    Err(Error::new(Code::Connect, format!("{} closes every connection", node.endpoint.addr)))
}

/// A new connection of HTTP/2; of a crowd one makes it and the others wait.
async fn connection2(worker: &Worker, node: &Rc<Node>) -> Result<(Sender2, Active), Error> {
    let failures = node.pool.failures();
    let _turn = node.pool.connecting.lock().await;
    if let Some(found) = node.pool.http2() {
        return Ok(found);
    }
    if let Some(error) = node.pool.failed_since(failures) {
        return Err(error);
    }
    let made = connect2(worker, node).await;
    made.map(|made| node.pool.add_http2(made)).inspect_err(|e| node.pool.fail(e))
}

async fn connect1(worker: &Worker, node: &Rc<Node>) -> Result<Sender1, Error> {
    let io = connect::open(worker, node, ALPN_H2, None).await?;
    let mut builder = http1::Builder::new();
    builder.max_buf_size(2 * MAX_HEADER_BYTES as usize);
    let (sender, connection) = builder.handshake(TokioIo::new(io)).await.map_err(|e| unreachable(e, node))?;
    tokio::task::spawn_local(async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "connection to endpoint");
        }
    });
    Ok(sender)
}

async fn connect2(worker: &Worker, node: &Rc<Node>) -> Result<(Sender2, Rc<Cell<usize>>), Error> {
    let io = connect::open(worker, node, ALPN_H2, None).await?;
    let mut builder = http2::Builder::new(LocalExec);
    builder
        .timer(TokioTimer::new())
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_header_list_size(MAX_HEADER_BYTES);
    // A peer proxy allows as much before its settings are known. Only it is pinged: servers of gRPC close connections that ping often (`too_many_pings`).
    if node.identity().is_some() {
        builder
            .initial_max_send_streams(MAX_STREAMS as usize)
            .keep_alive_interval(PING_INTERVAL)
            .keep_alive_timeout(PING_TIMEOUT);
    }
    let (sender, connection) = builder.handshake(TokioIo::new(io)).await.map_err(|e| unreachable(e, node))?;
    let limit = Rc::new(Cell::new(connection.current_max_send_streams()));
    tokio::task::spawn_local(drive2(connection, limit.clone()));
    Ok((sender, limit))
}

/// Keeps a connection going, and `limit` at what its server allows.
async fn drive2(connection: http2::Connection<TokioIo<Io>, RequestBody, LocalExec>, limit: Rc<Cell<usize>>) {
    let mut connection = pin!(connection);
    let ended = poll_fn(|cx| {
        let polled = connection.as_mut().poll(cx);
        limit.set(connection.current_max_send_streams());
        polled
    });
    if let Err(error) = ended.await {
        tracing::debug!(%error, "connection to endpoint");
    }
}

fn unreachable(error: hyper::Error, node: &Node) -> Error {
    Error::new(Code::Connect, format!("{}: {error}", node.endpoint.addr))
}

/// What became of a request that was handed over: refused streams were not processed, of others nobody knows.
fn lost(error: hyper::Error, node: &Node) -> Error {
    let addr = node.endpoint.addr;
    let h2 = std::error::Error::source(&error).and_then(|s| s.downcast_ref::<h2::Error>());
    let code = match h2 {
        Some(e) if e.is_remote() && e.reason() == Some(h2::Reason::REFUSED_STREAM) => Code::Connect,
        Some(e) if e.is_remote() && e.is_go_away() && e.reason() == Some(h2::Reason::NO_ERROR) => {
            Code::Connect
        }
        Some(e) if e.is_reset() => Code::Lost,
        _ if error.is_parse() || error.is_user() => Code::Protocol,
        _ => Code::Lost,
    };
    Error::new(code, format!("{addr}: {}", chain(&error)))
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
