//! HTTP/2 by the `h2` crate itself: connections to an endpoint, shared by requests that cost no task and no channel; and
//! bodies, in and out.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};
use std::time::{Duration, Instant};

use bytes::Bytes;
use h2::client::{Builder, SendRequest};
use h2::{Ping, PingPong, Reason, RecvStream, SendStream};
use http::header::CONTENT_LENGTH;
use http::{HeaderMap, Request, Response};
use http_body::{Body, Frame, SizeHint};
use tokio::task::AbortHandle;

use super::body::{BoxError, RequestBody};
use super::client::{
    CONNECTION_WINDOW, FRAME_OVERHEAD, MAX_RESPONSE_HEAD, MAX_STREAMS, STREAM_WINDOW, chain,
};
use super::piece::Piece;
use super::received::Received;
use crate::held::Held;
use crate::io::Io;
use crate::vigil::Moves;

/// Streams before the settings of a server outside the mesh are known.
const FIRST_STREAMS: usize = 100;
/// A peer proxy that answers no ping for so long is gone.
const PING_TIMEOUT: Duration = Duration::from_secs(5);

pub struct Shared {
    sender: RefCell<SendRequest<Piece>>,
    active: Cell<usize>,
    used: Cell<Instant>,
    ended: Rc<Cell<bool>>,
    task: AbortHandle,
    pings: Option<Pings>,
}

/// One request on a shared connection.
pub struct Active(Rc<Shared>);

impl Active {
    pub fn new(shared: &Rc<Shared>, now: Instant) -> Self {
        shared.active.set(shared.active.get() + 1);
        shared.used.set(now);
        Self(shared.clone())
    }
}

impl Drop for Active {
    fn drop(&mut self) {
        self.0.active.set(self.0.active.get() - 1);
    }
}

impl Shared {
    /// Only a peer proxy is pinged: servers of gRPC close connections that ping often (`too_many_pings`).
    pub async fn over(io: Io, is_peer: bool) -> Result<Rc<Self>, h2::Error> {
        let moves = Arc::new(Moves::default());
        let mut builder = Builder::new();
        builder
            .initial_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_header_list_size(MAX_RESPONSE_HEAD)
            .data_frame_budget(FRAME_OVERHEAD)
            // A peer proxy allows as much before its settings are known.
            .initial_max_send_streams(if is_peer { MAX_STREAMS as usize } else { FIRST_STREAMS })
            .enable_push(false);
        let (sender, mut connection) =
            builder.handshake(io.telling(moves.clone()).holding(Some(0)).hearing_out()).await?;
        let pings = if is_peer { connection.ping_pong() } else { None };
        let ended = Rc::new(Cell::new(false));
        let told = ended.clone();
        let task = tokio::task::spawn_local(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "connection to endpoint");
            }
            told.set(true);
        });
        Ok(Rc::new(Self {
            sender: RefCell::new(sender),
            active: Cell::new(0),
            used: Cell::new(Instant::now()),
            ended,
            task: task.abort_handle(),
            pings: pings.map(|pings| Pings::new(pings, moves)),
        }))
    }

    /// Whether it takes no more requests: it has ended, or the server is about to end it.
    pub fn is_closed(&self) -> bool {
        let ready = self.sender.borrow_mut().poll_ready(&mut Context::from_waker(Waker::noop()));
        self.ended.get() || matches!(ready, Poll::Ready(Err(_)))
    }

    /// Whether it is over: cheaper to ask of one that is not about to be used.
    pub fn has_ended(&self) -> bool {
        self.ended.get()
    }

    pub fn has_room(&self) -> bool {
        let limit = self.sender.borrow().current_max_send_streams();
        self.active.get() < limit.min(MAX_STREAMS as usize)
    }

    pub fn is_idle(&self, limit: Duration, now: Instant) -> bool {
        self.active.get() == 0 && now.saturating_duration_since(self.used.get()) >= limit
    }

    /// While requests are under way and nothing comes, asks whether the peer is still there; call it regularly.
    pub fn look(&self, now: Instant) {
        if let Some(pings) = self.pings.as_ref().filter(|pings| pings.overdue(self.active.get() > 0, now)) {
            tracing::debug!(since = ?pings.asked.get(), "a peer answers no ping");
            self.task.abort();
            self.ended.set(true);
        }
    }

    /// The response. The request is gone with the error.
    pub async fn send(&self, request: Request<RequestBody>) -> Result<Response<Received>, h2::Error> {
        let (head, body) = request.into_parts();
        let ends = body.is_end_stream();
        let sent = {
            let mut sender = self.sender.borrow_mut();
            // Of a handle of its own: one request that waits for its turn does not hold up the next.
            if sender.poll_ready(&mut Context::from_waker(Waker::noop())).is_pending() {
                *sender = sender.clone();
            }
            sender.send_request(Request::from_parts(head, ()), ends)
        };
        let (response, stream) = sent?;
        let upload = if ends { None } else { Upload::begin(body, stream).await };
        let response = response.await?;
        let length = content_length(response.headers());
        Ok(response.map(|body| Received::Http2(Streamed::new(body, length, upload))))
    }
}

/// `h2` has seen to it that the body keeps to it.
fn content_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// Whether a peer is still there.
struct Pings {
    handle: RefCell<PingPong>,
    moves: Arc<Moves>,
    /// Since when an answer is awaited.
    asked: Cell<Option<Instant>>,
}

impl Pings {
    fn new(handle: PingPong, moves: Arc<Moves>) -> Self {
        Self { handle: RefCell::new(handle), moves, asked: Cell::new(None) }
    }

    fn overdue(&self, busy: bool, now: Instant) -> bool {
        let mut handle = self.handle.borrow_mut();
        if let Some(since) = self.asked.get() {
            if handle.poll_pong(&mut Context::from_waker(Waker::noop())).is_pending() {
                return now.saturating_duration_since(since) >= PING_TIMEOUT;
            }
            self.asked.set(None);
        }
        // Also makes the kernel notice when nobody acknowledges: see `connect::UNANSWERED`.
        if !self.moves.moved_since_asked() && busy && handle.send_ping(Ping::opaque()).is_ok() {
            self.asked.set(Some(now));
        }
        false
    }
}

/// The body of a request or response.
pub struct Streamed {
    body: RecvStream,
    /// What is left of the announced length.
    length: Option<u64>,
    /// Of a response: its request, which is still being sent.
    upload: Option<Upload>,
}

impl Streamed {
    pub fn request(request: Request<RecvStream>) -> Request<Received> {
        let length = content_length(request.headers());
        request.map(|body| Received::Http2(Self::new(body, length, None)))
    }

    fn new(body: RecvStream, length: Option<u64>, upload: Option<Upload>) -> Self {
        let length = if body.is_end_stream() { Some(0) } else { length };
        Self { body, length, upload }
    }

    pub fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let frame = ready!(self.poll_any(cx));
        if self.is_end_stream() || !matches!(&frame, Some(Ok(frame)) if frame.is_data()) {
            self.upload.take().into_iter().for_each(Upload::detach);
        }
        Poll::Ready(frame)
    }

    fn poll_any(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let failed = |error: h2::Error| match error.reason() {
            // The server has answered in full and does not want the rest of the request.
            Some(Reason::NO_ERROR) => None,
            _ => Some(Err(error.into())),
        };
        Poll::Ready(match ready!(self.body.poll_data(cx)) {
            Some(Ok(data)) => {
                // Fails only when the stream has ended: nobody needs room in it then.
                let _ = self.body.flow_control().release_capacity(data.len());
                self.length = self.length.map(|left| left.saturating_sub(data.len() as u64));
                Some(Ok(Frame::data(data)))
            }
            Some(Err(error)) => failed(error),
            None => match ready!(self.body.poll_trailers(cx)) {
                Ok(trailers) => trailers.map(|trailers| Ok(Frame::trailers(trailers))),
                Err(error) => failed(error),
            },
        })
    }

    pub fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    pub fn size_hint(&self) -> SizeHint {
        self.length.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

/// A request's body on its way. When this is dropped the rest is not sent, and the stream reset.
struct Upload(Option<AbortHandle>);

impl Upload {
    /// Sends what there is; a task sends the rest.
    async fn begin(body: RequestBody, stream: SendStream<Piece>) -> Option<Self> {
        let mut carried = Box::pin(carry(body, stream));
        let pending = futures_util::poll!(&mut carried).is_pending();
        pending.then(|| Self(Some(tokio::task::spawn_local(carried).abort_handle())))
    }

    /// The response has ended, but the server may still read.
    fn detach(mut self) {
        self.0 = None;
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        if let Some(task) = &self.0 {
            task.abort();
        }
    }
}

/// Sends a body to its end; when it breaks off, so does the stream.
pub async fn carry<B: Body<Data = Bytes, Error = BoxError> + Unpin>(
    mut body: B,
    mut stream: SendStream<Piece>,
) {
    if let Err(error) = pipe(&mut body, &mut stream).await {
        tracing::debug!(error = chain(&*error), "a body breaks off");
        stream.send_reset(reason(&*error));
    }
}

async fn pipe<B>(body: &mut B, stream: &mut SendStream<Piece>) -> Result<(), BoxError>
where
    B: Body<Data = Bytes, Error = BoxError> + Unpin,
{
    while let Some(frame) = poll_fn(|cx| poll_next(body, stream, cx)).await? {
        match frame.into_data() {
            Ok(data) => {
                let last = body.is_end_stream();
                if !data.is_empty() {
                    room(stream).await?;
                }
                stream.send_data(Piece::new(data)?, last)?;
                if last {
                    return Ok(());
                }
            }
            Err(frame) => {
                if let Ok(trailers) = frame.into_trailers() {
                    return Ok(stream.send_trailers(trailers)?);
                }
            }
        }
    }
    Ok(stream.send_data(Piece::new(Bytes::new())?, true)?)
}

/// The next frame; an error when the other side has reset the stream.
fn poll_next<B>(
    body: &mut B,
    stream: &mut SendStream<Piece>,
    cx: &mut Context<'_>,
) -> Poll<Result<Option<Frame<Bytes>>, BoxError>>
where
    B: Body<Data = Bytes, Error = BoxError> + Unpin,
{
    if let Poll::Ready(reset) = stream.poll_reset(cx) {
        return Poll::Ready(Err(h2::Error::from(reset?).into()));
    }
    Pin::new(body).poll_frame(cx).map(Option::transpose)
}

/// Waits until the other side has room for some of the body. No more than a byte is asked for: who waits with a large
/// piece would keep the connection's window from the other streams. Meanwhile the body's own stream may fill its window.
async fn room(stream: &mut SendStream<Piece>) -> Result<(), BoxError> {
    stream.reserve_capacity(1);
    if stream.capacity() > 0 {
        return Ok(());
    }
    let mut held = Held::default();
    poll_fn(|cx| poll_room(stream, &mut held, cx)).await
}

fn poll_room(
    stream: &mut SendStream<Piece>,
    held: &mut Held,
    cx: &mut Context<'_>,
) -> Poll<Result<(), BoxError>> {
    while stream.capacity() == 0 {
        match stream.poll_capacity(cx) {
            Poll::Ready(Some(granted)) => drop(granted?),
            Poll::Ready(None) => return Poll::Ready(Err("the stream has ended".into())),
            Poll::Pending => {
                held.wait(STREAM_WINDOW as usize, cx)?;
                return Poll::Pending;
            }
        }
    }
    Poll::Ready(Ok(()))
}

/// What a stream is reset with: what the one that the body comes from was reset with.
fn reason(error: &(dyn std::error::Error + 'static)) -> Reason {
    let mut next = Some(error);
    while let Some(cause) = next {
        if let Some(reason) = cause.downcast_ref::<h2::Error>().and_then(h2::Error::reason) {
            return reason;
        }
        next = cause.source();
    }
    Reason::CANCEL
}
