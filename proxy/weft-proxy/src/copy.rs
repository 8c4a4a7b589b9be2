//! Bytes from one side to the other and back, each half closed for itself, with no buffer in an idle connection.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::held::Held;
use crate::io::Io;
use crate::vigil::Vigil;

/// Large enough that system calls are few, small enough for the second-level cache.
const SCRATCH: usize = 64 * 1024;

thread_local! {
    /// Every copy of this thread reads through it; only what the other side does not take at once is kept.
    static BUFFER: RefCell<Box<[u8]>> = RefCell::new(vec![0; SCRATCH].into_boxed_slice());
}

/// One direction of a copy.
#[derive(Default)]
struct Half {
    /// Read, and not yet taken by the writer.
    held: Vec<u8>,
    at: usize,
    /// Its size, as it counts for the limit.
    counted: Held,
    /// Written since the last flush; TLS needs one to send its last record.
    dirty: bool,
    /// How reading ended.
    failed: Option<io::Error>,
    state: State,
}

#[derive(Default, PartialEq)]
enum State {
    #[default]
    Copying,
    /// The reader ended; what is held must still go, then the writer is closed.
    Ending,
    Done,
}

/// Copies both ways until both have ended, or one fails.
pub async fn both<A, B>(a: &mut A, b: &mut B) -> io::Result<()>
where
    A: AsyncRead + AsyncWrite + Unpin,
    B: AsyncRead + AsyncWrite + Unpin,
{
    let (mut there, mut back) = (Half::default(), Half::default());
    poll_fn(|cx| {
        let there = there.poll(cx, a, b)?;
        let back = back.poll(cx, b, a)?;
        if there.is_ready() && back.is_ready() { Poll::Ready(Ok(())) } else { Poll::Pending }
    })
    .await
}

/// Copies until both have ended. When one fails, or nothing has come for too long, both are reset: an end would say that
/// all has come.
pub async fn watched(a: &mut Io, b: &mut Io, vigil: &Vigil) {
    let done = tokio::select! {
        done = both(a, b) => done,
        () = vigil.overdue() => Err(io::Error::new(io::ErrorKind::TimedOut, "idle for too long")),
    };
    if let Err(error) = done {
        tracing::debug!(%error, "copy");
        a.reset();
        b.reset();
    }
}

impl Half {
    fn poll<R, W>(&mut self, cx: &mut Context<'_>, reader: &mut R, writer: &mut W) -> Poll<io::Result<()>>
    where
        R: AsyncRead + Unpin,
        W: AsyncWrite + Unpin,
    {
        while self.state != State::Done {
            ready!(self.poll_drain(cx, writer))?;
            if self.state == State::Ending {
                ready!(Pin::new(&mut *writer).poll_shutdown(cx))?;
                self.state = State::Done;
            } else if self.poll_fill(cx, reader, writer)?.is_pending() {
                if self.dirty && Pin::new(&mut *writer).poll_flush(cx)?.is_ready() {
                    self.dirty = false;
                }
                return Poll::Pending;
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Writes what is held.
    fn poll_drain<W: AsyncWrite + Unpin>(
        &mut self,
        cx: &mut Context<'_>,
        writer: &mut W,
    ) -> Poll<io::Result<()>> {
        while let Some(rest @ [_, ..]) = self.held.get(self.at..) {
            let Poll::Ready(n) = Pin::new(&mut *writer).poll_write(cx, rest)? else {
                self.counted.wait(self.held.len(), cx)?;
                return Poll::Pending;
            };
            self.at += n;
            self.counted.moved();
            self.dirty = true;
        }
        if self.at > 0 {
            (self.held, self.at) = (Vec::new(), 0);
            self.counted.set(0)?;
        }
        Poll::Ready(Ok(()))
    }

    /// Reads what there is, as far as it fits, and writes what the writer takes at once.
    fn poll_fill<R, W>(
        &mut self,
        cx: &mut Context<'_>,
        reader: &mut R,
        writer: &mut W,
    ) -> Poll<io::Result<()>>
    where
        R: AsyncRead + Unpin,
        W: AsyncWrite + Unpin,
    {
        BUFFER.with_borrow_mut(|buffer| {
            let mut read = ReadBuf::new(buffer);
            ready!(self.poll_read(cx, reader, &mut read))?;
            let bytes = read.filled();
            if bytes.is_empty() {
                return Poll::Ready(Ok(()));
            }
            let n = match Pin::new(writer).poll_write(cx, bytes)? {
                Poll::Ready(n) => n,
                Poll::Pending => 0,
            };
            self.held.extend_from_slice(bytes.get(n..).unwrap_or_default());
            self.counted.set(self.held.len())?;
            self.dirty |= n > 0;
            Poll::Ready(Ok(()))
        })
    }

    /// Pending with nothing read. TLS gives one record at a time: several make one write. An error waits for what
    /// was read before it.
    fn poll_read<R>(
        &mut self,
        cx: &mut Context<'_>,
        reader: &mut R,
        read: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>>
    where
        R: AsyncRead + Unpin,
    {
        if let Some(error) = self.failed.take() {
            return Poll::Ready(Err(error));
        }
        while read.remaining() > 0 {
            let before = read.filled().len();
            match Pin::new(&mut *reader).poll_read(cx, read) {
                Poll::Pending if before == 0 => return Poll::Pending,
                Poll::Pending => break,
                Poll::Ready(Err(error)) if before == 0 => return Poll::Ready(Err(error)),
                Poll::Ready(Err(error)) => {
                    self.failed = Some(error);
                    break;
                }
                Poll::Ready(Ok(())) if read.filled().len() == before => {
                    self.state = State::Ending;
                    break;
                }
                Poll::Ready(Ok(())) => {}
            }
        }
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    /// Far more than fits into any buffer arrives whole, in both directions at once.
    #[tokio::test]
    async fn bulk_arrives_whole() {
        let (mut client, mut a) = duplex(1000);
        let (mut b, mut server) = duplex(333);
        let sent = vec![7u8; 1 << 20];
        let (mut request, mut response) = (Vec::new(), Vec::new());
        let proxy = both(&mut a, &mut b);
        let near = async {
            client.write_all(&sent).await.unwrap();
            client.shutdown().await.unwrap();
            client.read_to_end(&mut response).await.unwrap();
        };
        let far = async {
            server.read_to_end(&mut request).await.unwrap();
            server.write_all(&request).await.unwrap();
            server.shutdown().await.unwrap();
        };
        let (done, (), ()) = tokio::join!(proxy, near, far);
        done.unwrap();
        assert_eq!((sent.len(), sent.len()), (request.len(), response.len()));
    }

    /// Bytes that nobody takes end their copy when there is no room for them.
    #[tokio::test]
    async fn what_cannot_be_held_ends_the_copy() {
        crate::held::limit(100);
        let ((mut client, mut a), (mut b, _server)) = (duplex(1000), duplex(10));
        client.write_all(&[7; 500]).await.unwrap();
        assert!(both(&mut a, &mut b).await.is_err());
        crate::held::limit(usize::MAX);
    }

    /// A side that has said all it has to say still hears the other.
    #[tokio::test]
    async fn half_close_is_kept() {
        let (mut client, mut a) = duplex(64);
        let (mut b, mut server) = duplex(64);
        client.shutdown().await.unwrap();
        let far = async {
            assert_eq!(0, server.read(&mut [0; 8]).await.unwrap());
            server.write_all(b"late answer").await.unwrap();
            drop(server);
        };
        let (done, ()) = tokio::join!(both(&mut a, &mut b), far);
        done.unwrap();
        drop(a);
        let mut heard = String::new();
        client.read_to_string(&mut heard).await.unwrap();
        assert_eq!("late answer", heard);
    }
}
