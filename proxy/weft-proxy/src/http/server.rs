//! The client's side of HTTP: hyper serves HTTP/1, `h2` serves HTTP/2; every request goes to one async function.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::Poll;

use h2::Reason;
use h2::server::{Builder, SendResponse};
use http::header::EXPECT;
use http::{Request, Response, StatusCode};
use http_body::Body as _;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;

use super::body::{Body, BoxError};
use super::client::{
    CONNECTION_WINDOW, FRAME_OVERHEAD, HTTP1_BACKLOG, MAX_HEADER_BYTES, MAX_STREAMS, STREAM_WINDOW, chain,
};
use super::http2::{Streamed, carry};
use super::piece::Piece;
use super::received::Received;
use crate::drain::Live;
use crate::io::Io;

/// Serves a connection until it ends; when the proxy leaves, requests under way are finished first.
pub async fn serve<F, R>(io: Io, http2: bool, live: Live, answer: F) -> Result<(), BoxError>
where
    F: Fn(Request<Received>) -> R,
    R: Future<Output = Result<Response<Body>, BoxError>> + 'static,
    F: 'static,
{
    // Boxed: there are few, and the many of HTTP/1 would each have room for it.
    if http2 { Box::pin(serve2(io, live, answer)).await } else { serve1(io, live, answer).await }
}

async fn serve1<F, R>(io: Io, mut live: Live, answer: F) -> Result<(), BoxError>
where
    F: Fn(Request<Received>) -> R,
    R: Future<Output = Result<Response<Body>, BoxError>>,
{
    // Boxed: hyper would move it about, and keep room for it in every idle connection.
    let answer = move |request: Request<_>| Box::pin(answer(request.map(Received::Driven)));
    let mut builder = http1::Builder::new();
    builder.auto_date_header(false).max_buf_size(2 * MAX_HEADER_BYTES as usize);
    let io = TokioIo::new(io.holding(Some(HTTP1_BACKLOG)).ending_by_closing(true));
    let mut connection = pin!(builder.serve_connection(io, service_fn(answer)).with_upgrades());
    tokio::select! {
        biased;
        done = connection.as_mut() => return Ok(done?),
        () = live.ending() => connection.as_mut().graceful_shutdown(),
    }
    Ok(connection.await?)
}

async fn serve2<F, R>(io: Io, mut live: Live, answer: F) -> Result<(), BoxError>
where
    F: Fn(Request<Received>) -> R,
    R: Future<Output = Result<Response<Body>, BoxError>> + 'static,
{
    let mut builder = Builder::new();
    builder
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_header_list_size(MAX_HEADER_BYTES)
        .max_concurrent_streams(MAX_STREAMS)
        .data_frame_budget(FRAME_OVERHEAD);
    let mut connection = builder.handshake(io.framed().holding(Some(0))).await?;
    let mut leaving = false;
    loop {
        let accepted = tokio::select! {
            biased;
            accepted = connection.accept() => accepted,
            () = live.ending(), if !leaving => {
                connection.graceful_shutdown();
                leaving = true;
                continue;
            }
        };
        let Some(accepted) = accepted else { return Ok(()) };
        let (request, mut respond) = accepted?;
        if request.headers().contains_key(EXPECT) {
            proceed(&mut respond);
        }
        // Boxed: it is large, a task would copy it several times and keep its room while the body goes out.
        let answer = Box::pin(answer(Streamed::request(request)));
        tokio::task::spawn_local(reply(answer, respond));
    }
}

/// The client waits with its body for this; hyper says it by itself to clients of HTTP/1.
fn proceed(respond: &mut SendResponse<Piece>) {
    let mut response = Response::new(());
    *response.status_mut() = StatusCode::CONTINUE;
    // Fails only when the client has gone: its request tells.
    let _ = respond.send_informational(response);
}

/// Answers one request of HTTP/2, if its client waits for the answer.
async fn reply<R>(mut answer: Pin<Box<R>>, mut respond: SendResponse<Piece>)
where
    R: Future<Output = Result<Response<Body>, BoxError>>,
{
    let answered = poll_fn(|cx| match respond.poll_reset(cx) {
        Poll::Ready(reset) => {
            Poll::Ready(Err(reset.map_or_else(BoxError::from, |r| h2::Error::from(r).into())))
        }
        Poll::Pending => answer.as_mut().poll(cx),
    });
    let answered = answered.await;
    drop(answer);
    let sent = match answered {
        Ok(response) => {
            let (head, body) = response.into_parts();
            let ends = body.is_end_stream();
            respond.send_response(Response::from_parts(head, ()), ends).map(|stream| (stream, body, ends))
        }
        Err(error) => return tracing::debug!(error = chain(&*error), "a client does not wait"),
    };
    match sent {
        Ok((_, _, true)) => {}
        Ok((stream, body, false)) => carry(body, stream).await,
        Err(error) => {
            tracing::debug!(%error, "a response that cannot be sent");
            respond.send_reset(Reason::INTERNAL_ERROR);
        }
    }
}
