//! What leaves the mesh, by host or address.

use std::time::Instant;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

use super::known::Known;

/// Hosts and addresses that are kept apart; later ones are `other`.
const MAX_OUTSIDE: usize = 200;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Left {
    destination: String,
    verdict: &'static str,
}

pub struct Egress {
    left: Family<Left, Counter>,
    known: Known<Left, ()>,
}

impl Egress {
    pub fn new(registry: &mut Registry) -> Self {
        let this = Self { left: Family::default(), known: Known::new(MAX_OUTSIDE) };
        registry.register("weft_egress", "Requests and connections out of the mesh", this.left.clone());
        this
    }

    pub fn count(&self, destination: &str, verdict: &'static str) {
        let mut labels = Left { destination: destination.to_owned(), verdict };
        if self.known.admit(&labels).is_none() {
            labels.destination = "other".to_owned();
        }
        self.left.get_or_create(&labels).inc();
    }

    pub fn expire(&self, now: Instant) {
        for (labels, _) in self.known.expire(now) {
            self.left.remove(&labels);
        }
    }
}
