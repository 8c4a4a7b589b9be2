//! A socket that is read in large pieces, for TLS, which asks for 4 KiB at a time.

use std::cell::Cell;
use std::io;
use std::ops::Range;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

const SCRATCH: usize = 64 * 1024;

thread_local! {
    /// The buffer that no socket of this thread holds anything in.
    static SPARE: Cell<Box<[u8]>> = Cell::default();
}

pub struct Lookahead {
    stream: TcpStream,
    /// Read, and not yet asked for.
    held: Range<usize>,
    /// Where that lies; empty, and without memory, in an idle connection.
    buffer: Box<[u8]>,
}

impl Lookahead {
    pub fn new(stream: TcpStream) -> Self {
        Self { stream, held: 0..0, buffer: Box::default() }
    }

    /// Reads what there is.
    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let spare = SPARE.take();
        self.buffer = if spare.is_empty() { vec![0; SCRATCH].into() } else { spare };
        let mut read = ReadBuf::new(&mut self.buffer);
        let done = Pin::new(&mut self.stream).poll_read(cx, &mut read);
        self.held = 0..read.filled().len();
        done
    }

    pub fn socket(&self) -> &TcpStream {
        &self.stream
    }

    fn take_held(&mut self, buf: &mut ReadBuf<'_>) {
        let held = self.buffer.get(self.held.clone()).unwrap_or_default();
        let now = held.get(..buf.remaining()).unwrap_or(held);
        buf.put_slice(now);
        self.held.start += now.len();
        if self.held.is_empty() {
            SPARE.set(std::mem::take(&mut self.buffer));
        }
    }
}

impl AsyncRead for Lookahead {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let filled = if self.held.is_empty() { self.poll_fill(cx) } else { Poll::Ready(Ok(())) };
        self.take_held(buf);
        filled
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
        assert_eq!(0, server.buffer.len());
    }
}
