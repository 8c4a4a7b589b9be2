//! What policies deny and limit, by rule and client.

use std::time::Instant;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

use super::MAX_PEERS;
use super::known::Known;
use super::labels::OVERFLOW;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Denied {
    policy: String,
    /// `enforce` or `audit`; in `known` also `LIMIT`.
    mode: &'static str,
    peer_identity: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Limited {
    policy: String,
    peer_identity: String,
}

pub struct Policies {
    denied: Family<Denied, Counter>,
    limited: Family<Limited, Counter>,
    known: Known<Denied, ()>,
}

const LIMIT: &str = "limit";

impl Policies {
    pub fn new(registry: &mut Registry) -> Self {
        let this =
            Self { denied: Family::default(), limited: Family::default(), known: Known::new(MAX_PEERS) };
        registry.register(
            "weft_policy_denied",
            "Requests and connections that a policy denied, or would deny",
            this.denied.clone(),
        );
        registry.register("weft_rate_limited", "Requests above a rate limit", this.limited.clone());
        this
    }

    pub fn denied(&self, policy: &str, mode: &'static str, identity: Option<&str>) {
        self.denied.get_or_create(&self.admit(policy, mode, identity)).inc();
    }

    pub fn limited(&self, policy: &str, identity: Option<&str>) {
        let Denied { policy, peer_identity, .. } = self.admit(policy, LIMIT, identity);
        self.limited.get_or_create(&Limited { policy, peer_identity }).inc();
    }

    /// The labels to use: those asked for, or `overflow` once there are too many.
    fn admit(&self, policy: &str, mode: &'static str, identity: Option<&str>) -> Denied {
        let identity = identity.unwrap_or_default();
        let labels = Denied { policy: policy.to_owned(), mode, peer_identity: identity.to_owned() };
        match self.known.admit(&labels) {
            Some(_) => labels,
            None => Denied { policy: OVERFLOW.to_owned(), mode, peer_identity: OVERFLOW.to_owned() },
        }
    }

    pub fn expire(&self, now: Instant) {
        for (labels, _) in self.known.expire(now) {
            if labels.mode == LIMIT {
                let Denied { policy, peer_identity, .. } = labels;
                self.limited.remove(&Limited { policy, peer_identity });
            } else {
                self.denied.remove(&labels);
            }
        }
    }
}
