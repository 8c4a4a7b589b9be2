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

#[cfg(test)]
mod tests {
    use super::*;

    /// Hosts are kept apart up to a number, each verdict for itself; later ones are `other`, and none is left uncounted.
    #[test]
    fn later_hosts_are_other() {
        let mut registry = Registry::default();
        let egress = Egress::new(&mut registry);
        for n in 0..MAX_OUTSIDE + 5 {
            egress.count(&format!("h{n}.example"), "allow");
        }
        egress.count("h0.example", "allow");
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        let series: Vec<_> = text.lines().filter(|line| line.starts_with("weft_egress_total")).collect();
        let has = |host: &str, n: u64| {
            series.contains(&&*format!("weft_egress_total{{destination=\"{host}\",verdict=\"allow\"}} {n}"))
        };
        assert_eq!(MAX_OUTSIDE + 1, series.len());
        assert!(has("other", 5) && has("h0.example", 2) && has("h199.example", 1), "{series:?}");
    }
}
