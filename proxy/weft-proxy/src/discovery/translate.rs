//! From the messages of `discovery/v1` to the model, and back for targets. What does not make sense is left out and said.

use std::collections::HashSet;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use weft_api::discovery as api;

use super::model::{
    Breaker, Destination, DstLabels, Endpoint, Inbound, Outbound, Protocol, RetryBudget, ServiceDestination,
    ServicePort,
};
use crate::policy::{self, Access, Egress};
use crate::route::{Budget, Table};

mod routes;

/// What can be watched; the key of every update.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Target {
    Outbound(SocketAddr),
    Endpoints(ServicePort),
    Inbound(u16),
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Outbound(address) => write!(f, "{address}"),
            Self::Endpoints(service) => write!(f, "{service}"),
            Self::Inbound(port) => write!(f, "inbound port {port}"),
        }
    }
}

impl Target {
    pub fn encode(&self) -> api::Target {
        use api::target::Kind;
        let kind = match self {
            Self::Outbound(address) => Kind::Outbound(encode_address(*address)),
            Self::Endpoints(service) => Kind::Endpoints(api::ServicePort {
                namespace: service.namespace.to_string(),
                name: service.name.to_string(),
                port: service.port.into(),
            }),
            Self::Inbound(port) => Kind::Inbound((*port).into()),
        };
        api::Target { kind: Some(kind) }
    }

    pub fn decode(target: api::Target) -> Option<Self> {
        use api::target::Kind;
        match target.kind? {
            Kind::Outbound(address) => decode_address(&address).map(Self::Outbound),
            Kind::Endpoints(service) => decode_service(&service).map(Self::Endpoints),
            Kind::Inbound(port) => port.try_into().ok().map(Self::Inbound),
        }
    }
}

fn encode_address(address: SocketAddr) -> api::SocketAddress {
    let ip = match address.ip() {
        IpAddr::V4(ip) => ip.octets().to_vec(),
        IpAddr::V6(ip) => ip.octets().to_vec(),
    };
    api::SocketAddress { ip, port: address.port().into() }
}

pub fn decode_address(address: &api::SocketAddress) -> Option<SocketAddr> {
    let ip: IpAddr = match address.ip.len() {
        4 => <[u8; 4]>::try_from(&address.ip[..]).ok()?.into(),
        _ => <[u8; 16]>::try_from(&address.ip[..]).ok()?.into(),
    };
    Some(SocketAddr::new(ip, address.port.try_into().ok()?))
}

fn decode_service(service: &api::ServicePort) -> Option<ServicePort> {
    Some(ServicePort::new(&service.namespace, &service.name, service.port.try_into().ok()?))
}

fn decode_protocol(protocol: i32) -> Protocol {
    match api::Protocol::try_from(protocol) {
        Ok(api::Protocol::Http1) => Protocol::Http1,
        Ok(api::Protocol::Http2) => Protocol::Http2,
        Ok(api::Protocol::Grpc) => Protocol::Grpc,
        Ok(api::Protocol::Opaque) => Protocol::Opaque,
        // A newer control plane may know protocols that this proxy does not: find out.
        _ => Protocol::Detect,
    }
}

pub fn inbound(message: &api::Inbound, limits: &mut policy::Known) -> Inbound {
    Inbound { protocol: decode_protocol(message.protocol), access: Access::new(message, limits) }
}

/// None: the message says nothing this proxy understands, and what is known stays.
pub fn outbound(message: api::Outbound) -> Option<Outbound> {
    use api::outbound::Destination as Kind;
    let destination = match message.destination? {
        Kind::Service(service) => Destination::Service(service_destination(service)?),
        Kind::Pod(pod) => Destination::Pod(Arc::new(endpoint(pod, "", &mut Interner::default())?)),
        Kind::NotInMesh(message) => {
            Destination::NotInMesh(message.egress.as_ref().map(|egress| Arc::new(Egress::new(egress))))
        }
    };
    Some(Outbound { destination, protocol: decode_protocol(message.protocol) })
}

fn service_destination(message: api::ServiceDestination) -> Option<ServiceDestination> {
    let routes: Arc<[_]> = message.routes.into_iter().filter_map(routes::route).collect();
    Some(ServiceDestination {
        service: decode_service(&message.service?)?,
        table: Arc::new(Table::new(routes.clone())),
        routes,
        no_match_not_found: message.no_match_not_found,
        retry_budget: message.retry_budget.map(|budget| {
            let rules = RetryBudget {
                ratio_permille: budget.ratio_permille,
                min_retries_per_second: budget.min_retries_per_second,
                ttl: Duration::from_millis(budget.ttl_ms.into()),
            };
            Arc::new(Budget::new(rules, Instant::now()))
        }),
        breaker: message.breaker.map_or_else(Breaker::default, breaker),
    })
}

/// Lengths and numbers that are left out are the default's.
fn breaker(message: api::Breaker) -> Breaker {
    let default = Breaker::default();
    let ms = |ms: u32, default| if ms > 0 { Duration::from_millis(ms.into()) } else { default };
    let min_penalty = ms(message.min_penalty_ms, default.min_penalty);
    Breaker {
        max_failures: message.max_failures,
        min_penalty,
        max_penalty: ms(message.max_penalty_ms, default.max_penalty).max(min_penalty),
        min_success_permille: message.min_success_permille,
        window: ms(message.window_ms, default.window),
        min_requests: if message.min_requests > 0 { message.min_requests } else { default.min_requests },
    }
}

/// Endpoints of one Service share few identities and zones: each is stored once.
#[derive(Default)]
pub struct Interner(HashSet<Arc<str>>);

impl Interner {
    fn get(&mut self, text: &str) -> Arc<str> {
        if let Some(known) = self.0.get(text) {
            return known.clone();
        }
        let new: Arc<str> = text.into();
        self.0.insert(new.clone());
        new
    }
}

/// `service` is the name that goes into the labels; empty for a pod dialled directly.
pub fn endpoint(message: api::Endpoint, service: &str, texts: &mut Interner) -> Option<Endpoint> {
    Some(Endpoint {
        addr: decode_address(message.address.as_ref()?)?,
        weight: message.weight,
        identity: (!message.identity.is_empty()).then(|| texts.get(&message.identity)),
        zone: texts.get(&message.zone),
        labels: Arc::new(DstLabels {
            namespace: message.namespace,
            service: service.to_owned(),
            workload_kind: message.workload_kind,
            workload: message.workload,
            pod: message.pod,
        }),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_survive_the_wire() {
        for target in [
            Target::Outbound("10.1.2.3:80".parse().unwrap()),
            Target::Outbound("[fd00::1]:443".parse().unwrap()),
            Target::Endpoints(ServicePort::new("shop", "web", 80)),
            Target::Inbound(8080),
        ] {
            assert_eq!(Some(target.clone()), Target::decode(target.encode()));
        }
    }

    #[test]
    fn an_address_of_no_known_length_is_no_address() {
        assert_eq!(None, decode_address(&api::SocketAddress { ip: vec![1, 2, 3], port: 80 }));
        assert_eq!(None, decode_address(&api::SocketAddress { ip: vec![1, 2, 3, 4], port: 65536 }));
    }
}
