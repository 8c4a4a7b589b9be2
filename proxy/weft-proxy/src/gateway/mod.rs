//! The proxy of a control-plane pod: no redirection, it ends mesh TLS on public ports and forwards to the loopback.

pub mod connect;
mod forward;

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context;
use tokio::task::JoinSet;

use crate::config::Config;
use crate::control::accept::{self, Clients};
use crate::drain::Drain;
use crate::identity::Identity;

/// Connections to one public port: every proxy of the mesh holds one.
const MAX_CONNECTIONS: usize = 16 * 1024;

/// Binds every listener now, so that a port in use is an error at start, and serves them in `tasks`.
pub fn start(
    tasks: &mut JoinSet<()>,
    config: &Config,
    identity: &Arc<Identity>,
    drain: &Drain,
) -> anyhow::Result<()> {
    for forward in &config.forward {
        let address = SocketAddr::new([0; 16].into(), forward.port);
        let listener = accept::bind(address).with_context(|| format!("port {}", forward.port))?;
        let anonymous = config.forward_anonymous.contains(&forward.port);
        let clients = if anonymous { Clients::Anyone } else { Clients::Certified };
        let (to, ending) = (forward.to, drain.clone());
        let handle = move |stream, peer| forward::connection(stream, peer, to, ending.live());
        tasks.spawn(accept::serve(
            listener,
            identity.clone(),
            clients,
            MAX_CONNECTIONS,
            drain.clone(),
            handle,
        ));
    }
    if let Some(address) = config.connect_listen {
        let listener = accept::bind(address).with_context(|| format!("CONNECT on {address}"))?;
        tasks.spawn(connect::serve(listener, identity.clone(), config.trust_domain.clone()));
    }
    Ok(())
}
