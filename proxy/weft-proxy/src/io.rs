//! One type for every connection: plain or TLS, with bytes that were read too far put back, and a byte counter.

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::{client, server};

use crate::held::Held;
use crate::http::frames::Frames;
use crate::lookahead::Lookahead;
use crate::metrics::Meter;
use crate::socket;
use crate::vigil::{Moves, Vigil};

/// Up to this size copying pieces together costs less than handing the kernel a list of them.
const SMALL: usize = 2048;

thread_local! {
    static JOINED: RefCell<Vec<u8>> = RefCell::new(Vec::with_capacity(SMALL));
}

/// A connection. Bytes are counted as the application sees them, so inside TLS.
pub struct Io {
    kind: Kind,
    /// What detection read, still to be read.
    prefix: Bytes,
    meter: Option<Meter>,
    moves: Option<Arc<Moves>>,
    /// Of a client of HTTP/2: its `moves` hear of heads.
    frames: Option<Box<Frames>>,
    /// What waits at most for a peer that does not read; none: it counts elsewhere.
    backlog: Option<usize>,
    held: Held,
    /// See `hearing_out`.
    hears_out: bool,
    /// See `ending_by_closing`.
    ends_by_closing: bool,
}

enum Kind {
    Tcp(TcpStream),
    Client(Box<client::TlsStream<Lookahead>>),
    Server(Box<server::TlsStream<Lookahead>>),
}

impl Io {
    pub fn tcp(stream: TcpStream) -> Self {
        Self::of(Kind::Tcp(stream))
    }

    pub fn tls_client(stream: client::TlsStream<Lookahead>) -> Self {
        Self::of(Kind::Client(Box::new(stream)))
    }

    pub fn tls_server(stream: server::TlsStream<Lookahead>) -> Self {
        Self::of(Kind::Server(Box::new(stream)))
    }

    fn of(kind: Kind) -> Self {
        Self {
            kind,
            prefix: Bytes::new(),
            meter: None,
            moves: None,
            frames: None,
            backlog: None,
            held: Held::default(),
            hears_out: false,
            ends_by_closing: false,
        }
    }

    /// Puts back what was read already.
    pub fn prefixed(mut self, prefix: Bytes) -> Self {
        self.prefix =
            if self.prefix.is_empty() { prefix } else { [&prefix[..], &self.prefix[..]].concat().into() };
        self
    }

    /// Counts this connection and its bytes from now on.
    pub fn metered(mut self, meter: Meter) -> Self {
        self.meter = Some(meter);
        self
    }
}

impl Io {
    /// Tells `vigil` of what comes and goes from now on.
    pub fn watched(self, vigil: &Vigil) -> Self {
        self.telling(vigil.moves.clone())
    }

    pub fn telling(mut self, moves: Arc<Moves>) -> Self {
        self.moves = Some(moves);
        self
    }

    /// A client of HTTP/2 speaks from now on.
    pub fn framed(mut self) -> Self {
        self.frames = Some(Box::default());
        self
    }

    /// Dropping it then resets the connection.
    pub fn reset(&self) {
        let socket = match &self.kind {
            Kind::Tcp(stream) => stream,
            Kind::Client(tls) => tls.get_ref().0.socket(),
            Kind::Server(tls) => tls.get_ref().0.socket(),
        };
        let _ = socket::reset(socket);
    }

    /// Up to `backlog` bytes wait while the peer does not read: they count as held, or the connection is reset. 0 if they
    /// are counted elsewhere, and go with the connection. None: the connection holds nothing.
    pub fn holding(mut self, backlog: Option<usize>) -> Self {
        self.backlog = backlog;
        self
    }

    /// What a peer said before it closed is read, though writing fails already: its last words may be which requests it
    /// has not begun. Reading comes to the end that writing keeps quiet about.
    pub fn hearing_out(mut self) -> Self {
        self.hears_out = true;
        self
    }

    /// Whether it is dropped as soon as it is shut down: closing the socket says then that this is the end.
    pub fn ending_by_closing(mut self, so: bool) -> Self {
        self.ends_by_closing = so;
        self
    }

    fn is_past_writing(&self, error: &io::Error) -> bool {
        let closed = matches!(error.kind(), io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe);
        self.hears_out && closed
    }

    fn wrote(
        &mut self,
        written: Poll<io::Result<usize>>,
        size: usize,
        cx: &Context<'_>,
    ) -> Poll<io::Result<usize>> {
        if matches!(&written, Poll::Ready(Err(error)) if self.is_past_writing(error)) {
            return Poll::Ready(Ok(size));
        }
        let Poll::Ready(n) = written? else {
            if let Some(backlog) = self.backlog {
                self.held.wait(backlog, cx).inspect_err(|_| self.reset())?;
            }
            return Poll::Pending;
        };
        self.held.set(0)?;
        if let Some(meter) = &self.meter {
            meter.written(n);
        }
        if let Some(moves) = &self.moves {
            moves.written();
        }
        Poll::Ready(Ok(n))
    }
}

impl Drop for Io {
    fn drop(&mut self) {
        if self.moves.as_ref().is_some_and(|moves| moves.is_broken()) {
            self.reset();
        }
    }
}

/// Runs one expression on whichever stream there is.
macro_rules! each {
    ($kind:expr, $s:ident => $e:expr) => {
        match $kind {
            Kind::Tcp($s) => $e,
            Kind::Client($s) => $e,
            Kind::Server($s) => $e,
        }
    };
}

impl AsyncRead for Io {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let before = buf.filled().len();
        if this.prefix.is_empty() {
            ready!(each!(&mut this.kind, s => Pin::new(s).poll_read(cx, buf)))?;
        } else {
            let n = this.prefix.len().min(buf.remaining());
            buf.put_slice(&this.prefix.split_to(n));
        }
        if let Some(meter) = &this.meter {
            meter.read(buf.filled().len() - before);
        }
        if let Some(moves) = &this.moves {
            moves.read();
            if let Some(frames) = &mut this.frames {
                frames.follow(buf.filled().get(before..).unwrap_or_default());
                moves.within(frames.is_within());
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Io {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let written = each!(&mut self.kind, s => Pin::new(s).poll_write(cx, buf));
        self.wrote(written, buf.len(), cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let size = bufs.iter().map(|b| b.len()).sum();
        if bufs.len() > 1 && size <= SMALL {
            return JOINED.with_borrow_mut(|joined| {
                joined.clear();
                bufs.iter().for_each(|b| joined.extend_from_slice(b));
                self.poll_write(cx, joined)
            });
        }
        let written = each!(&mut self.kind, s => Pin::new(s).poll_write_vectored(cx, bufs));
        self.wrote(written, size, cx)
    }

    fn is_write_vectored(&self) -> bool {
        each!(&self.kind, s => s.is_write_vectored())
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match each!(&mut self.kind, s => Pin::new(s).poll_flush(cx)) {
            Poll::Ready(Err(error)) if self.is_past_writing(&error) => Poll::Ready(Ok(())),
            flushed => flushed,
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.ends_by_closing && matches!(self.kind, Kind::Tcp(_)) {
            return Poll::Ready(Ok(()));
        }
        each!(&mut self.kind, s => Pin::new(s).poll_shutdown(cx))
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    /// A connection whose peer said something and closed it without reading, noticed by writing first.
    async fn closed() -> Io {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut ours = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (mut peer, _) = listener.accept().await.unwrap();
        ours.write_all(b"request").await.unwrap();
        peer.readable().await.unwrap();
        peer.write_all(b"last words").await.unwrap();
        drop(peer);
        Io::tcp(ours)
    }

    /// Bytes that go nowhere are no reason not to hear what the peer said before it closed; then that it did is told.
    #[tokio::test]
    async fn last_words_are_heard() {
        let mut io = closed().await.hearing_out();
        let mut heard = [0; 10];
        for _ in 0..3 {
            io.write_all(b"more").await.unwrap();
            io.flush().await.unwrap();
        }
        io.read_exact(&mut heard).await.unwrap();
        assert_eq!(b"last words", &heard);
        assert!(!matches!(io.read(&mut heard).await, Ok(1..)));
    }

    /// Otherwise the first failure is the end.
    #[tokio::test]
    async fn failed_writes_are_told() {
        let mut io = closed().await;
        assert!(io.write_all(b"more").await.is_err());
    }
}
