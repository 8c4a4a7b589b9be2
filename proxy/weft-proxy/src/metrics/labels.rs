//! The labels of metrics: who is at the other end, where traffic goes, how it ended.

use prometheus_client::encoding::EncodeLabelSet;

use crate::discovery::DstLabels;

/// Stands for all peers, routes and results beyond the limits.
pub const OVERFLOW: &str = "overflow";
/// The route of the kubelet's probes; no ServiceProfile may name its routes so.
pub const PROBE: &str = "[probe]";

/// Whether a connection is encrypted by the mesh, and if not, why.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Tls {
    True,
    NoIdentity,
    Loopback,
    Passthrough,
}

impl Tls {
    pub fn as_str(self) -> &'static str {
        match self {
            Tls::True => "true",
            Tls::NoIdentity => "no_identity",
            Tls::Loopback => "loopback",
            Tls::Passthrough => "passthrough",
        }
    }
}

/// Who is at the other end, and where traffic goes.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Peer {
    pub direction: &'static str,
    pub tls: &'static str,
    pub peer_identity: String,
    pub dst_namespace: String,
    pub dst_service: String,
    pub dst_workload_kind: String,
    pub dst_workload: String,
}

impl Peer {
    pub fn new(direction: &'static str, tls: Tls, identity: Option<&str>, dst: &DstLabels) -> Self {
        Self {
            direction,
            tls: tls.as_str(),
            peer_identity: identity.unwrap_or_default().to_owned(),
            dst_namespace: dst.namespace.clone(),
            dst_service: dst.service.clone(),
            dst_workload_kind: dst.workload_kind.clone(),
            dst_workload: dst.workload.clone(),
        }
    }

    pub fn overflow(direction: &'static str) -> Self {
        let o = || OVERFLOW.to_owned();
        Self {
            direction,
            tls: OVERFLOW,
            peer_identity: o(),
            dst_namespace: o(),
            dst_service: o(),
            dst_workload_kind: o(),
            dst_workload: o(),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Routed {
    #[prometheus(flatten)]
    pub peer: Peer,
    pub route: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Answered {
    #[prometheus(flatten)]
    pub routed: Routed,
    pub result: &'static str,
    pub status: String,
    pub grpc_status: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Coded {
    pub code: &'static str,
}
