//! The ClientHello of who comes in: looked at before anything is answered, since it may be the application's to answer.

use std::io;

use bytes::BytesMut;
use rustls::server::{Accepted, Acceptor, ClientHello};
use tokio::net::TcpStream;

use crate::detect;
use crate::identity::{ALPN_H2, ALPN_TCP, SNI};

/// A ClientHello is complete within this many bytes.
const MAX_HELLO: usize = 32 * 1024;

/// What the bytes so far are.
pub enum Peeked {
    More,
    Hello(Box<Accepted>),
    /// Not TLS as we know it, or more than a ClientHello: the application may understand it.
    Foreign,
}

/// Takes a ClientHello in pieces.
#[derive(Default)]
pub struct Peek {
    acceptor: Acceptor,
    fed: usize,
}

impl Peek {
    /// `bytes` are all that came so far; those of earlier calls are not looked at again.
    pub fn feed(&mut self, bytes: &[u8]) -> io::Result<Peeked> {
        while let Some(mut rest) = bytes.get(self.fed..).filter(|rest| !rest.is_empty()) {
            self.fed += self.acceptor.read_tls(&mut rest)?;
            match self.acceptor.accept() {
                Ok(Some(accepted)) if self.fed == bytes.len() => return Ok(Peeked::Hello(accepted.into())),
                Ok(None) => {}
                Ok(Some(_)) | Err(_) => return Ok(Peeked::Foreign),
            }
        }
        Ok(if bytes.len() > MAX_HELLO { Peeked::Foreign } else { Peeked::More })
    }
}

/// Reads until the ClientHello is whole; none when it is none. All bytes stay in `buf`.
pub async fn read(stream: &TcpStream, buf: &mut BytesMut) -> io::Result<Option<Accepted>> {
    let mut peek = Peek::default();
    loop {
        match peek.feed(buf)? {
            Peeked::Hello(accepted) => return Ok(Some(*accepted)),
            Peeked::Foreign => return Ok(None),
            Peeked::More if detect::read_some(stream, buf).await? == 0 => return Ok(None),
            Peeked::More => {}
        }
    }
}

/// Whether it asks for mesh TLS.
pub fn is_mesh(hello: &ClientHello<'_>) -> bool {
    let ours = |p: &[u8]| p == ALPN_H2 || p == ALPN_TCP;
    hello.server_name() == Some(SNI) && hello.alpn().is_some_and(|mut all| all.any(ours))
}

/// Whether a peer brings bytes and no HTTP, which this side would prefer.
pub fn is_raw(hello: &ClientHello<'_>) -> bool {
    hello.alpn().is_none_or(|mut all| all.all(|p| p != ALPN_H2))
}
