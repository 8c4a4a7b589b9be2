//! A new connection to an endpoint: TCP in time, mesh TLS to exactly the identity that discovery names.

use std::time::{Duration, Instant};

use rustls::pki_types::ServerName;
use tokio::sync::SemaphorePermit;
use tokio_rustls::TlsConnector;

use crate::balance::node::Node;
use crate::error::{Code, Error};
use crate::http::client::chain;
use crate::identity::{ALPN_H2, SNI};
use crate::io::Io;
use crate::lookahead::Lookahead;
use crate::metrics::Tls;
use crate::socket;
use crate::tap::Direction;
use crate::worker::Worker;

/// Connections that are made to one endpoint at once; others wait, and hear at once when nobody gets through.
pub const MAX_DIALS: usize = 64;
/// A peer's machine that acknowledges nothing for so long is gone.
const UNANSWERED: Duration = Duration::from_secs(2);
const HANDSHAKE: Duration = Duration::from_secs(3);

/// Connects to `node`; `tls` says in metrics why there is no mesh TLS if it is not the node's own reason.
pub async fn open(worker: &Worker, node: &Node, alpn: &'static [u8], tls: Option<Tls>) -> Result<Io, Error> {
    let _turn = turn(node).await?;
    let began = node.pool.dialled.last();
    let opened = dial(worker, node, alpn).await;
    match &opened {
        Ok(_) => {
            node.pool.dialled.connected();
            node.reached();
        }
        Err(error) => {
            node.pool.dialled.failed(began, error);
            node.missed(Instant::now());
        }
    }
    let io = opened?;
    let metrics = &worker.shared.metrics;
    Ok(match (node.direction, tls) {
        // Those of the application itself are counted where they were accepted.
        (Direction::Inbound, _) => io,
        (_, Some(tls)) if node.identity().is_none() => {
            io.metered(metrics.connections(&node.peer(tls)).open())
        }
        _ => io.metered(node.connections(metrics).open()),
    })
}

/// The turn to connect, or why there is no use in it.
async fn turn(node: &Node) -> Result<Option<SemaphorePermit<'_>>, Error> {
    if let Ok(turn) = node.dials.try_acquire() {
        return Ok(Some(turn));
    }
    let waits = node.pool.dialled.last();
    // None only if it were closed, which nobody does.
    let turn = node.dials.acquire().await.ok();
    node.pool.dialled.failure_since(waits).map_or(Ok(turn), Err)
}

async fn dial(worker: &Worker, node: &Node, alpn: &'static [u8]) -> Result<Io, Error> {
    let addr = node.endpoint.addr;
    let config = &worker.shared.config;
    let limit = match node.direction {
        Direction::Inbound => config.app_connect_timeout,
        Direction::Outbound => config.connect_timeout,
    };
    let stream = socket::connect(addr, limit)
        .await
        .map_err(|e| Error::new(Code::Connect, format!("cannot connect to {addr}: {e}")))?;
    let Some(id) = node.identity() else { return Ok(Io::tcp(stream)) };
    if alpn == ALPN_H2 {
        let _ = socket::expect_answers(&stream, UNANSWERED);
    }
    // Never in plain text: a peer of the mesh is reached by mesh TLS or not at all.
    let config = worker.shared.identity.client_config(id, alpn);
    let config = config.ok_or_else(|| Error::new(Code::Tls, "this proxy has no certificate yet"))?;
    let name = ServerName::try_from(SNI).map_err(|e| Error::new(Code::Tls, e.to_string()))?;
    let failed = |cause: String| Error::new(Code::Tls, format!("mesh TLS to {id} at {addr}: {cause}"));
    match tokio::time::timeout(HANDSHAKE, TlsConnector::from(config).connect(name, Lookahead::new(stream)))
        .await
    {
        Ok(Ok(stream)) => Ok(Io::tls_client(stream)),
        Ok(Err(e)) => Err(failed(chain(&e))),
        Err(_) => Err(failed("no answer in time".into())),
    }
}

#[cfg(test)]
mod tests;
