//! Requests that leave HTTP: WebSocket, CONNECT. They get a connection of their own and end as plain copying.

use std::rc::Rc;

use http::{Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;

use super::body::BoxError;
use super::client::{Lease, MAX_HEADER_BYTES, chain};
use super::headers::names_h2c;
use super::received::Received;
use crate::copy;
use crate::drain::Live;
use crate::error::{Code, Error};
use crate::io::Io;
use crate::vigil::Vigil;

/// The response, and the lease back if the connection stays with HTTP.
pub type Sent = (Response<Incoming>, Option<Lease>);

/// Sends `request` over `io` as HTTP/1.1; when the server agrees, the two sides talk to each other from then on, as
/// long as the client's connection, which `vigil` watches, goes on. `revoked` ends that.
pub async fn send(
    io: Io,
    mut request: Request<Received>,
    lease: Lease,
    live: Live,
    vigil: &Rc<Vigil>,
    revoked: impl Future<Output = ()> + 'static,
) -> Result<Sent, Error> {
    let client = hyper::upgrade::on(&mut request);
    let connect = request.method() == Method::CONNECT;
    let lost = |e: hyper::Error| Error::new(Code::Lost, chain(&e));
    let mut builder = http1::Builder::new();
    builder.max_buf_size(2 * MAX_HEADER_BYTES as usize);
    let (mut sender, connection) = builder.handshake(TokioIo::new(io)).await.map_err(lost)?;
    tokio::task::spawn_local(connection.with_upgrades());
    let mut response = sender.send_request(request).await.map_err(lost)?;
    let status = response.status();
    if status != StatusCode::SWITCHING_PROTOCOLS && !(connect && status.is_success()) {
        return Ok((response, Some(lease)));
    }
    if names_h2c(response.headers()) {
        return Err(Error::new(Code::Protocol, "the server switches to h2c, which nobody may ask for"));
    }
    let (server, watch) = (hyper::upgrade::on(&mut response), vigil.clone());
    vigil.leave_http(async move {
        let _held = (lease, live);
        if let Err(error) = join(client, server, &watch, revoked).await {
            tracing::debug!(error = chain(&*error), "upgraded connection");
        }
    });
    Ok((response, None))
}

async fn join(
    client: OnUpgrade,
    server: OnUpgrade,
    vigil: &Vigil,
    revoked: impl Future<Output = ()>,
) -> Result<(), BoxError> {
    let (client, server) = futures_util::try_join!(client, server)?;
    let (mut client, mut server) = (take_back(client)?, take_back(server)?);
    tokio::select! {
        () = copy::watched(&mut client, &mut server, vigil) => return Ok(()),
        () = revoked => {}
    }
    client.reset();
    server.reset();
    Err("not allowed any more".into())
}

/// The connection that hyper was given, with what it has read too far.
fn take_back(upgraded: Upgraded) -> Result<Io, BoxError> {
    let parts = upgraded.downcast::<TokioIo<Io>>().map_err(|_| "no connection of this proxy's")?;
    Ok(parts.io.into_inner().holding(None).ending_by_closing(false).prefixed(parts.read_buf))
}
