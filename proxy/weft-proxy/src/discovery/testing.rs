//! A cache filled by hand, for tests of the data path: as if the control plane had answered.

use std::net::SocketAddr;
use std::sync::Arc;

use weft_api::discovery as api;

use super::Discovery;
use super::model::{Endpoint, EndpointSet, Inbound, Outbound, ServicePort};

impl Discovery {
    /// Answers `outbound(address)` from now on; readers see a change at once.
    pub fn put_outbound(&self, address: SocketAddr, outbound: Outbound) {
        self.state().cache.put_outbound(address, outbound);
    }

    /// Answers `endpoints(service)` from now on; readers see a change at once.
    pub fn put_endpoints(&self, service: &ServicePort, endpoints: Vec<Endpoint>) {
        let endpoints = endpoints.into_iter().map(Arc::new).collect();
        let set = EndpointSet { version: String::new(), endpoints, exists: true };
        self.state().cache.put_endpoints(service, set);
    }

    /// Answers `inbound(port)` from now on.
    pub fn put_inbound(&self, port: u16, inbound: Inbound) {
        self.state().cache.put_inbound(port, inbound);
    }

    /// As if the stream had brought `update`.
    pub fn hear(&self, update: api::Update) {
        self.apply(update);
    }
}
