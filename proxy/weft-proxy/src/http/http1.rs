//! A connection of HTTP/1 to an endpoint. One request has it to itself, and who waits for the response drives it:
//! no task stands between them.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::{Context, Waker};

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::TrySendError;
use hyper::client::conn::http1::{Builder, Connection, SendRequest};
use hyper_util::rt::TokioIo;

use super::body::RequestBody;
use super::client::{HTTP1_BACKLOG, MAX_HEADER_BYTES};
use super::received::Received;
use crate::io::Io;

pub struct Exclusive {
    sender: SendRequest<RequestBody>,
    /// None once it has ended.
    connection: Option<Connection<TokioIo<Io>, RequestBody>>,
}

impl Exclusive {
    pub async fn over(io: Io) -> hyper::Result<Box<Self>> {
        let mut builder = Builder::new();
        builder.max_buf_size(2 * MAX_HEADER_BYTES as usize);
        let (sender, connection) = builder.handshake(TokioIo::new(io.holding(Some(HTTP1_BACKLOG)))).await?;
        Ok(Box::new(Self { sender, connection: Some(connection) }))
    }

    /// Sends and receives what can be now.
    pub fn drive(&mut self, cx: &mut Context<'_>) {
        let Some(connection) = &mut self.connection else { return };
        let ended = Pin::new(connection).poll(cx);
        if ended.is_ready() {
            self.connection = None;
        }
    }

    /// Whether it can carry a request now. Nobody drives an idle connection: this looks whether the server has closed it.
    pub fn is_usable(&mut self) -> bool {
        self.drive(&mut Context::from_waker(Waker::noop()));
        self.connection.is_some() && self.sender.is_ready()
    }

    /// The response; with the error comes the request if it was not sent.
    pub async fn send(
        mut self: Box<Self>,
        request: Request<RequestBody>,
    ) -> Result<Response<Received>, TrySendError<Request<RequestBody>>> {
        let upload = request.body().source().cloned();
        let response = {
            let mut sent = pin!(self.sender.try_send_request(request));
            poll_fn(|cx| {
                self.drive(cx);
                sent.as_mut().poll(cx)
            })
            .await?
        };
        Ok(response.map(|incoming| match upload {
            // The server may read on when the client has stopped reading what it answers.
            Some(source) if !source.is_ended() => self.detach(incoming),
            _ => Received::Http1(incoming, Some(self)),
        }))
    }

    fn detach(self, incoming: Incoming) -> Received {
        if let Some(connection) = self.connection {
            tokio::task::spawn_local(connection);
        }
        Received::Driven(incoming)
    }
}
