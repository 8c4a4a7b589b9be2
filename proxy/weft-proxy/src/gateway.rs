//! The proxy of a control-plane pod: no redirection, it ends mesh TLS on public ports and forwards to the loopback.

mod connect;
mod forward;

use std::net::SocketAddr;
use std::str::FromStr;
use std::sync::Arc;

use anyhow::{Context, anyhow};

use crate::control::accept::{self, Clients};
use crate::identity::Identity;

/// Connections to one public port: every proxy of the mesh holds one.
const MAX_CONNECTIONS: usize = 16 * 1024;

/// `8086=127.0.0.1:8087`: a public port, and where its requests go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Forward {
    pub port: u16,
    pub to: SocketAddr,
}

impl FromStr for Forward {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        let (port, to) = text.split_once('=').ok_or_else(|| anyhow!("{text:?} is not PORT=ADDRESS:PORT"))?;
        Ok(Self {
            port: port.parse().with_context(|| format!("port of {text:?}"))?,
            to: to.parse().with_context(|| format!("address of {text:?}"))?,
        })
    }
}

#[derive(Clone, Debug, Default)]
pub struct Settings {
    pub forwards: Vec<Forward>,
    /// Public ports that take clients without a certificate: only identity's, where they come for their first.
    pub anonymous_ports: Vec<u16>,
    /// Loopback address of the CONNECT listener (in tap's pod).
    pub connect: Option<SocketAddr>,
    pub trust_domain: String,
}

/// Binds every listener now, so that a port in use is an error at start, and serves them in tasks.
pub async fn start(settings: Settings, identity: Arc<Identity>) -> anyhow::Result<()> {
    for forward in &settings.forwards {
        let address = SocketAddr::new([0; 16].into(), forward.port);
        let listener = accept::bind(address).await.with_context(|| format!("port {}", forward.port))?;
        let anonymous = settings.anonymous_ports.contains(&forward.port);
        let clients = if anonymous { Clients::Anyone } else { Clients::Certified };
        let to = forward.to;
        let handle = move |stream, peer| forward::connection(stream, peer, to);
        tokio::spawn(accept::serve(listener, identity.clone(), clients, MAX_CONNECTIONS, handle));
    }
    if let Some(address) = settings.connect {
        let listener = accept::bind(address).await.with_context(|| format!("CONNECT on {address}"))?;
        tokio::spawn(connect::serve(listener, identity, settings.trust_domain));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
