//! Endpoint sets from whole states and from deltas; always sorted by address.

use std::collections::{BTreeMap, HashSet};
use std::net::SocketAddr;
use std::sync::Arc;

use weft_api::discovery as api;

use super::model::{Endpoint, EndpointSet, ServicePort};
use super::translate::{Interner, decode_address, endpoint};

pub fn whole(service: &ServicePort, message: api::Endpoints, version: &str) -> EndpointSet {
    let endpoints = decode(service, message.endpoints).map(|e| (e.addr, e)).collect();
    build(endpoints, version, message.exists)
}

/// `held` with the delta applied. Endpoints that did not change stay the same objects, and so do their statistics.
pub fn changed(
    service: &ServicePort,
    held: &EndpointSet,
    delta: api::EndpointsDelta,
    version: &str,
) -> EndpointSet {
    let removed: HashSet<SocketAddr> = delta.removed.iter().filter_map(decode_address).collect();
    let kept = held.endpoints.iter().filter(|e| !removed.contains(&e.addr)).cloned();
    let upserted = decode(service, delta.upserted);
    build(kept.chain(upserted).map(|e| (e.addr, e)).collect(), version, true)
}

fn decode(service: &ServicePort, messages: Vec<api::Endpoint>) -> impl Iterator<Item = Arc<Endpoint>> {
    let mut texts = Interner::default();
    messages.into_iter().filter_map(move |message| endpoint(message, &service.name, &mut texts).map(Arc::new))
}

fn build(endpoints: BTreeMap<SocketAddr, Arc<Endpoint>>, version: &str, exists: bool) -> EndpointSet {
    EndpointSet { version: version.to_owned(), endpoints: endpoints.into_values().collect(), exists }
}
