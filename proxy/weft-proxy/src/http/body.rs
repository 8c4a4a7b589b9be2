//! Bodies on their way: a request's can be sent again, a response's tells the record how it ended.

use std::cell::{Cell, RefCell};
use std::io::ErrorKind;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_util::future::LocalBoxFuture;
use http::Version;
use http_body::{Body as _, Frame, SizeHint};

use super::classify::End;
use super::client::Lease;
use super::headers::strip_trailers;
use super::received::Received;
use super::record::Record;
use crate::error::Error;
use crate::held::Held;

/// Of a request's body so much is kept until the response begins, to send it to another endpoint.
const MAX_REPLAY: usize = 64 * 1024;

pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// What ends a response before its server does: its time is over, or it is not allowed any more.
pub type Ending = LocalBoxFuture<'static, Error>;

/// Why a request's body will never be whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It breaks the rules of its own framing.
    Malformed,
    /// The client went away first.
    Gone,
}

impl Fault {
    fn of(error: &BoxError) -> Self {
        let cause = error.source().and_then(|e| e.downcast_ref::<std::io::Error>());
        match cause.map(std::io::Error::kind) {
            Some(ErrorKind::InvalidInput | ErrorKind::InvalidData) => Fault::Malformed,
            _ => Fault::Gone,
        }
    }
}

/// Where a request's body comes from; shared by the attempts to send it.
pub struct Source {
    incoming: RefCell<Received>,
    /// What was read, for the next attempt; none once it is too much, or the response is there.
    kept: RefCell<Option<Vec<Bytes>>>,
    held: RefCell<Held>,
    size: Cell<usize>,
    limit: usize,
    /// Number of the attempt that may read on.
    attempt: Cell<u32>,
    bytes: Cell<u64>,
    ended: Cell<bool>,
    fault: Cell<Option<Fault>>,
}

impl Source {
    /// `keep`: what was read is kept for another attempt.
    pub fn new(incoming: Received, keep: bool) -> Rc<Self> {
        let limit = if keep { MAX_REPLAY } else { 0 };
        Rc::new(Self {
            incoming: RefCell::new(incoming),
            kept: RefCell::new(Some(Vec::new())),
            held: RefCell::default(),
            limit,
            size: Cell::new(0),
            attempt: Cell::new(0),
            bytes: Cell::new(0),
            ended: Cell::new(false),
            fault: Cell::new(None),
        })
    }

    /// The body from its beginning; none when that is gone. Earlier attempts read no more.
    pub fn attempt(self: &Rc<Self>) -> Option<RequestBody> {
        self.kept.borrow().as_ref()?;
        self.attempt.set(self.attempt.get() + 1);
        Some(RequestBody::Stream { source: self.clone(), attempt: self.attempt.get(), at: 0 })
    }

    /// Nothing of the body is lost yet.
    pub fn is_whole(&self) -> bool {
        self.kept.borrow().is_some()
    }

    /// There will be no other attempt.
    pub fn settle(&self) {
        self.kept.take();
        self.held.take();
    }

    /// The client has sent all of it.
    pub fn is_ended(&self) -> bool {
        self.ended.get()
    }

    /// Why the client's side of it broke off, if it did.
    pub fn fault(&self) -> Option<Fault> {
        self.fault.get()
    }

    /// Bytes read from the client so far.
    pub fn bytes(&self) -> u64 {
        self.bytes.get()
    }

    fn keep(&self, data: &Bytes) {
        self.size.set(self.size.get() + data.len());
        match &mut *self.kept.borrow_mut() {
            Some(chunks) if self.has_room() => return chunks.push(data.clone()),
            other => *other = None,
        }
        self.held.take();
    }

    fn has_room(&self) -> bool {
        self.size.get() <= self.limit && self.held.borrow_mut().fits(self.size.get())
    }

    fn kept(&self, at: usize) -> Option<Bytes> {
        self.kept.borrow().as_ref()?.get(at).cloned()
    }

    fn kept_size(&self, from: usize) -> u64 {
        self.kept.borrow().iter().flatten().skip(from).map(|b| b.len() as u64).sum()
    }
}

/// What is sent to an endpoint.
pub enum RequestBody {
    Empty,
    Stream { source: Rc<Source>, attempt: u32, at: usize },
}

impl RequestBody {
    /// None: there is no body.
    pub fn source(&self) -> Option<&Rc<Source>> {
        match self {
            RequestBody::Empty => None,
            RequestBody::Stream { source, .. } => Some(source),
        }
    }
}

impl http_body::Body for RequestBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let RequestBody::Stream { source, attempt, at } = &mut *self else { return Poll::Ready(None) };
        if *attempt != source.attempt.get() {
            return Poll::Ready(Some(Err("another attempt took over".into())));
        }
        if let Some(data) = source.kept(*at) {
            *at += 1;
            return Poll::Ready(Some(Ok(Frame::data(data))));
        }
        let mut frame = ready!(Pin::new(&mut *source.incoming.borrow_mut()).poll_frame(cx));
        if let Some(trailers) = frame.as_mut().and_then(|f| f.as_mut().ok()).and_then(Frame::trailers_mut) {
            strip_trailers(trailers);
        }
        if let Some(Err(error)) = &frame {
            source.fault.set(Some(Fault::of(error)));
        }
        if let Some(data) = frame.as_ref().and_then(|f| f.as_ref().ok()).and_then(Frame::data_ref) {
            source.bytes.set(source.bytes.get() + data.len() as u64);
            source.keep(data);
            *at += 1;
        }
        let data = frame.as_ref().is_some_and(|f| f.as_ref().is_ok_and(Frame::is_data));
        source.ended.set(!data || source.incoming.borrow().is_end_stream());
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        match self {
            RequestBody::Empty => true,
            RequestBody::Stream { source, at, .. } => {
                source.kept(*at).is_none() && source.incoming.borrow().is_end_stream()
            }
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            RequestBody::Empty => SizeHint::with_exact(0),
            RequestBody::Stream { source, at, .. } => {
                let (rest, kept) = (source.incoming.borrow().size_hint(), source.kept_size(*at));
                let mut hint = SizeHint::new();
                hint.set_lower(rest.lower() + kept);
                if let Some(upper) = rest.upper() {
                    hint.set_upper(upper + kept);
                }
                hint
            }
        }
    }
}

/// What the client is sent.
pub enum Body {
    Fixed(Option<Bytes>),
    Stream(Box<Stream>),
}

/// A response on its way from the server to the client.
pub struct Stream {
    incoming: Received,
    record: Record,
    lease: Lease,
    ending: Option<Ending>,
    /// That of the client.
    version: Version,
    over: bool,
}

impl Body {
    /// Passes `incoming` on; record and lease end with it.
    pub fn stream(
        mut incoming: Received,
        mut record: Record,
        lease: Lease,
        ending: Option<Ending>,
        version: Version,
    ) -> Self {
        if incoming.is_end_stream() {
            record.finish(End::Complete);
            incoming.reusable().into_iter().for_each(|connection| lease.give_back(connection));
            return Body::Fixed(None);
        }
        Body::Stream(Box::new(Stream { incoming, record, lease, ending, version, over: false }))
    }
}

impl Stream {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if self.over {
            return Poll::Ready(None);
        }
        // First: who reads slowly always finds something there.
        if let Poll::Ready(last) = self.poll_ending(cx) {
            return Poll::Ready(last);
        }
        let mut frame = ready!(Pin::new(&mut self.incoming).poll_frame(cx));
        if let Some(trailers) = frame.as_mut().and_then(|f| f.as_mut().ok()).and_then(Frame::trailers_mut) {
            strip_trailers(trailers);
        }
        match &frame {
            Some(Ok(frame)) => self.note(frame),
            // Without its request no server can answer.
            Some(Err(_)) if self.record.fault().is_some() => self.end(End::Cancelled),
            Some(Err(_)) => self.end(End::Broken),
            None => self.end(End::Complete),
        }
        if matches!(frame, Some(Err(_))) {
            self.break_off();
        }
        Poll::Ready(frame)
    }

    /// A client of HTTP/1.0 may know the end of a body by that of its connection.
    fn break_off(&self) {
        if let Some(busy) = self.record.busy().filter(|_| self.version == Version::HTTP_10) {
            busy.break_off();
        }
    }

    fn note(&mut self, frame: &Frame<Bytes>) {
        if let Some(data) = frame.data_ref() {
            self.record.response_bytes(data.len());
        }
        if let Some(trailers) = frame.trailers_ref() {
            self.record.trailers(trailers);
            self.end(End::Complete);
        } else if self.incoming.is_end_stream() {
            self.end(End::Complete);
        }
    }

    /// gRPC hears in trailers why, for others the response breaks off.
    fn poll_ending(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let Some(ending) = &mut self.ending else { return Poll::Pending };
        let error = ready!(ending.as_mut().poll(cx));
        let trailers = self.record.failed_late(&error);
        self.end(End::Broken);
        Poll::Ready(Some(match trailers {
            Some(trailers) => Ok(Frame::trailers(trailers)),
            None => {
                self.break_off();
                Err(error.into())
            }
        }))
    }

    fn end(&mut self, end: End) {
        self.over = true;
        self.record.finish(end);
        if end == End::Complete {
            self.incoming.reusable().into_iter().for_each(|connection| self.lease.give_back(connection));
        }
    }
}

impl Drop for Stream {
    /// The client went away, or the server of hyper saw that nothing more would come.
    fn drop(&mut self) {
        if !self.over {
            self.end(if self.incoming.is_end_stream() { End::Complete } else { End::Cancelled });
        }
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        match &mut *self {
            Body::Fixed(bytes) => Poll::Ready(bytes.take().map(|b| Ok(Frame::data(b)))),
            Body::Stream(stream) => stream.poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Body::Fixed(bytes) => bytes.is_none(),
            Body::Stream(stream) => stream.over || stream.incoming.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Body::Fixed(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, |b| b.len() as u64)),
            Body::Stream(stream) => stream.incoming.size_hint(),
        }
    }
}
