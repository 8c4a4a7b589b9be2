//! The control side of the proxy: what it asks of the control plane, and what the control plane asks of it.

pub mod accept;
pub mod backoff;
pub mod dial;
pub mod dns;

use anyhow::Context;
use tokio::task::JoinSet;
use weft_api::discovery::Hello;

use crate::config::{Config, IdentityAddr, Mode};
use crate::discovery;
use crate::gateway;
use crate::identity::certify;
use crate::tap;
use crate::worker::Shared;
use dial::Address;

/// Starts everything that runs on the control thread, in `tasks` that end when the proxy leaves and not before.
pub fn start(tasks: &mut JoinSet<()>, shared: &Shared) -> anyhow::Result<()> {
    let Shared { config, identity, discovery, ring, drain, .. } = shared;
    tasks.spawn(certify::run(identity.clone(), certification(config)?));
    match config.mode {
        Mode::Gateway => gateway::start(tasks, config, identity, drain),
        Mode::Sidecar => {
            tasks.spawn(discovery::stream::run(discovery.clone(), identity.clone(), subscription(config)?));
            let listener =
                accept::bind(config.tap_listen).with_context(|| format!("tap on {}", config.tap_listen))?;
            tasks.spawn(tap::server::run(
                listener,
                identity.clone(),
                ring.clone(),
                config.tap_id.clone(),
                drain.clone(),
            ));
            Ok(())
        }
    }
}

fn certification(config: &Config) -> anyhow::Result<certify::Settings> {
    let address = match &config.identity_addr {
        IdentityAddr::Mesh(address) => address.parse().context("WEFT_IDENTITY_ADDR")?,
        IdentityAddr::Plain(address) => Address::plain(*address).context("WEFT_IDENTITY_ADDR")?,
    };
    Ok(certify::Settings {
        address,
        server_id: config.identity_id.clone(),
        token_file: config.token_file.clone(),
        bundle_file: config.trust_bundle.clone(),
    })
}

fn subscription(config: &Config) -> anyhow::Result<discovery::stream::Settings> {
    let hello = Hello {
        namespace: config.pod_namespace.clone(),
        pod: config.pod_name.clone(),
        workload: config.workload.clone(),
        node: config.node_name.clone(),
        zone: config.zone.clone(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        heartbeats: true,
    };
    Ok(discovery::stream::Settings {
        address: config.destination_addr.parse().context("WEFT_DESTINATION_ADDR")?,
        server_id: config.destination_id.clone(),
        hello,
    })
}
