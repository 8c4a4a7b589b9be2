//! A socket that is read in large pieces, for TLS, which asks for 4 KiB at a time.

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

const SCRATCH: usize = 64 * 1024;

thread_local! {
    /// Every socket of this thread is read through it; only what TLS does not take at once is kept.
    static BUFFER: RefCell<Box<[u8]>> = RefCell::new(vec![0; SCRATCH].into_boxed_slice());
}

pub struct Lookahead {
    stream: TcpStream,
    /// Read, and not yet asked for. Empty, and without memory, in an idle connection.
    held: Vec<u8>,
    at: usize,
}

impl Lookahead {
    pub fn new(stream: TcpStream) -> Self {
        Self { stream, held: Vec::new(), at: 0 }
    }

    pub fn socket(&self) -> &TcpStream {
        &self.stream
    }

    fn take_held(&mut self, buf: &mut ReadBuf<'_>) {
        let n = buf.remaining().min(self.held.len() - self.at);
        buf.put_slice(&self.held[self.at..self.at + n]);
        self.at += n;
        if self.at == self.held.len() {
            (self.held, self.at) = (Vec::new(), 0);
        }
    }
}

impl AsyncRead for Lookahead {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if !this.held.is_empty() {
            this.take_held(buf);
            return Poll::Ready(Ok(()));
        }
        BUFFER.with_borrow_mut(|buffer| {
            let mut read = ReadBuf::new(buffer);
            ready!(Pin::new(&mut this.stream).poll_read(cx, &mut read))?;
            let (now, later) = read.filled().split_at(read.filled().len().min(buf.remaining()));
            buf.put_slice(now);
            this.held.extend_from_slice(later);
            Poll::Ready(Ok(()))
        })
    }
}

impl AsyncWrite for Lookahead {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    /// However small the pieces that are asked for, all bytes come in order, and then the end.
    #[tokio::test]
    async fn small_reads_lose_nothing() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let (client, accepted) = tokio::join!(TcpStream::connect(addr), listener.accept());
        let (mut client, mut server) = (client.unwrap(), Lookahead::new(accepted.unwrap().0));
        let sent: Vec<u8> = (0..3 * SCRATCH).map(|n| (n % 251) as u8).collect();
        let write = async {
            client.write_all(&sent).await.unwrap();
            client.shutdown().await.unwrap();
        };
        let read = async {
            let (mut received, mut piece) = (Vec::new(), [0; 777]);
            loop {
                match server.read(&mut piece).await.unwrap() {
                    0 => return received,
                    n => received.extend_from_slice(&piece[..n]),
                }
            }
        };
        let ((), received) = tokio::join!(write, read);
        assert!(sent == received);
        assert_eq!(0, server.held.capacity());
    }
}
