//! Where requests go: what the destination service says, cached and kept while it is away.

pub mod model;

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::sync::watch;

pub use model::{
    Breaker, Destination, DstLabels, Endpoint, EndpointSet, Inbound, Outbound, Protocol, RetryBudget, Route,
    RouteMatch, ServiceDestination, ServicePort, WeightedBackend,
};

/// Nothing is known of the target, and the destination service did not say within the time limit.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[error("the control plane does not answer for {target}")]
pub struct DiscoveryError {
    pub target: String,
}

impl DiscoveryError {
    /// The stable code of this error in headers, metrics and logs.
    pub const CODE: &'static str = "E102";
}

/// Handle of the cache; cheap to clone, works from any runtime.
#[derive(Clone)]
pub struct Discovery;

impl Discovery {
    /// Where the application's connection to `dst` leads.
    pub async fn outbound(&self, dst: SocketAddr) -> Result<watch::Receiver<Arc<Outbound>>, DiscoveryError> {
        todo!("{dst}")
    }

    /// The endpoints of a port of a Service.
    pub async fn endpoints(&self, service: &ServicePort) -> Result<watch::Receiver<Arc<EndpointSet>>, DiscoveryError> {
        todo!("{service}")
    }

    /// What is known of a port of the own pod; the default until the control plane answers.
    pub fn inbound(&self, port: u16) -> watch::Receiver<Arc<Inbound>> {
        todo!("{port}")
    }

    pub fn is_connected(&self) -> bool {
        todo!()
    }
}
