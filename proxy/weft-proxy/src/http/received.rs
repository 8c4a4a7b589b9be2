//! The body of a message as it comes in, whatever it comes over.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use hyper::body::Incoming;

use super::body::BoxError;
use super::http1::Exclusive;
use super::http2::Streamed;

pub enum Received {
    /// HTTP/1, and something else drives the connection.
    Driven(Incoming),
    /// A response over HTTP/1; whoever reads it drives the connection.
    Http1(Incoming, Option<Box<Exclusive>>),
    Http2(Streamed),
}

impl Received {
    /// The connection that a complete response came over, if it may carry another request.
    pub fn reusable(&mut self) -> Option<Box<Exclusive>> {
        match self {
            Received::Http1(_, connection) => connection.take(),
            _ => None,
        }
    }
}

impl http_body::Body for Received {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let incoming = match self.get_mut() {
            Received::Http2(streamed) => return streamed.poll_frame(cx),
            Received::Driven(incoming) => incoming,
            Received::Http1(incoming, connection) => {
                if let Some(connection) = connection {
                    connection.drive(cx);
                }
                incoming
            }
        };
        Pin::new(incoming).poll_frame(cx).map_err(Into::into)
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Received::Driven(incoming) | Received::Http1(incoming, _) => incoming.is_end_stream(),
            Received::Http2(streamed) => streamed.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Received::Driven(incoming) | Received::Http1(incoming, _) => incoming.size_hint(),
            Received::Http2(streamed) => streamed.size_hint(),
        }
    }
}
