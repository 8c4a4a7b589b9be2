//! The client's side of HTTP: hyper serves the connection, every request goes to one async function.

use std::future::Future;
use std::pin::pin;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};

use super::body::{Body, BoxError};
use super::client::{CONNECTION_WINDOW, LocalExec, MAX_HEADER_BYTES, MAX_STREAMS, STREAM_WINDOW};
use crate::drain::Live;
use crate::io::Io;

/// Serves a connection until it ends; when the proxy leaves, requests under way are finished first.
///
/// What answers a request is boxed: hyper would move it about, and keep room for it in every idle connection.
pub async fn serve<F, R>(io: Io, http2: bool, live: Live, answer: F) -> Result<(), BoxError>
where
    F: Fn(Request<Incoming>) -> R,
    R: Future<Output = Result<Response<Body>, BoxError>> + 'static,
    F: 'static,
{
    let answer = move |request| Box::pin(answer(request));
    if http2 { serve2(io, live, answer).await } else { serve1(io, live, answer).await }
}

async fn serve1<F, R>(io: Io, mut live: Live, answer: F) -> Result<(), BoxError>
where
    F: Fn(Request<Incoming>) -> R,
    R: Future<Output = Result<Response<Body>, BoxError>>,
{
    let mut builder = http1::Builder::new();
    builder.auto_date_header(false).max_buf_size(2 * MAX_HEADER_BYTES as usize);
    let mut connection = pin!(builder.serve_connection(TokioIo::new(io), service_fn(answer)).with_upgrades());
    tokio::select! {
        done = connection.as_mut() => return Ok(done?),
        () = live.ending() => connection.as_mut().graceful_shutdown(),
    }
    Ok(connection.await?)
}

async fn serve2<F, R>(io: Io, mut live: Live, answer: F) -> Result<(), BoxError>
where
    F: Fn(Request<Incoming>) -> R,
    R: Future<Output = Result<Response<Body>, BoxError>> + 'static,
    F: 'static,
{
    let mut builder = http2::Builder::new(LocalExec);
    builder
        .timer(TokioTimer::new())
        .auto_date_header(false)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_header_list_size(MAX_HEADER_BYTES)
        .max_concurrent_streams(MAX_STREAMS);
    let mut connection = pin!(builder.serve_connection(TokioIo::new(io), service_fn(answer)));
    tokio::select! {
        done = connection.as_mut() => return Ok(done?),
        () = live.ending() => connection.as_mut().graceful_shutdown(),
    }
    Ok(connection.await?)
}
