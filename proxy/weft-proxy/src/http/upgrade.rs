//! Requests that leave HTTP: WebSocket, CONNECT. They get a connection of their own and end as plain copying.

use http::{Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;

use super::client::{MAX_HEADER_BYTES, chain};
use super::received::Received;
use crate::copy;
use crate::drain::Live;
use crate::error::{Code, Error};
use crate::io::Io;

/// Sends `request` over `io` as HTTP/1.1; when the server agrees, the two sides talk to each other from then on.
/// `revoked` ends that.
pub async fn send(
    io: Io,
    mut request: Request<Received>,
    live: Live,
    revoked: impl Future<Output = ()> + 'static,
) -> Result<Response<Incoming>, Error> {
    let client = hyper::upgrade::on(&mut request);
    let connect = request.method() == Method::CONNECT;
    let lost = |e: hyper::Error| Error::new(Code::Lost, chain(&e));
    let mut builder = http1::Builder::new();
    builder.max_buf_size(2 * MAX_HEADER_BYTES as usize);
    let (mut sender, connection) = builder.handshake(TokioIo::new(io)).await.map_err(lost)?;
    tokio::task::spawn_local(connection.with_upgrades());
    let mut response = sender.send_request(request).await.map_err(lost)?;
    let status = response.status();
    if status == StatusCode::SWITCHING_PROTOCOLS || (connect && status.is_success()) {
        tokio::task::spawn_local(join(client, hyper::upgrade::on(&mut response), live, revoked));
    }
    Ok(response)
}

async fn join(client: OnUpgrade, server: OnUpgrade, _live: Live, revoked: impl Future<Output = ()>) {
    let joined = async {
        let (client, server) = futures_util::try_join!(client, server)?;
        copy::both(&mut TokioIo::new(client), &mut TokioIo::new(server)).await?;
        Ok::<_, super::body::BoxError>(())
    };
    tokio::select! {
        joined = joined => if let Err(error) = joined {
            tracing::debug!(error = chain(&*error), "upgraded connection");
        },
        () = revoked => tracing::debug!("an upgraded connection is not allowed any more"),
    }
}
