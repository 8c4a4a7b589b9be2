//! What this pod may call outside the mesh: by host, which a ClientHello or a request names, or by address.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::Arc;

use ipnet::IpNet;
use weft_api::discovery as api;

use super::clients::decode_network;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Egress {
    /// As errors, metrics and tap name it.
    pub name: Arc<str>,
    /// What would be refused is only counted and told.
    pub audit: bool,
    hosts: HashSet<Box<str>>,
    /// What lies below them.
    above: HashSet<Box<str>>,
    /// With their ports; none: every port.
    networks: Vec<(IpNet, Vec<u32>)>,
}

impl Egress {
    /// What makes no sense of it allows nothing.
    pub fn new(message: &api::Egress) -> Self {
        let above = message.hosts.iter().filter_map(|host| host.strip_prefix("*."));
        let network = |network: &api::Network| Some((decode_network(network)?, network.ports.clone()));
        Self {
            name: message.name.as_str().into(),
            audit: message.audit,
            hosts: message.hosts.iter().map(|host| host.as_str().into()).collect(),
            above: above.map(Into::into).collect(),
            networks: message.networks.iter().filter_map(network).collect(),
        }
    }

    pub fn allows_address(&self, address: SocketAddr) -> bool {
        let port = u32::from(address.port());
        let fits = |ports: &[u32]| ports.is_empty() || ports.contains(&port);
        self.networks.iter().any(|(network, ports)| network.contains(&address.ip()) && fits(ports))
    }

    /// By address, or by the name that is given for it.
    pub fn allows(&self, address: SocketAddr, host: Option<&str>) -> bool {
        self.allows_address(address) || host.is_some_and(|host| self.allows_host(host))
    }

    /// `host`: as `host` makes it.
    pub fn allows_host(&self, host: &str) -> bool {
        let below = |(dot, _)| host.get(dot + 1..).is_some_and(|above| self.above.contains(above));
        self.hosts.contains(host) || host.match_indices('.').any(below)
    }
}

/// A host as rules and metrics spell it; none: no DNS name.
pub fn host(name: &str) -> Option<String> {
    let name = name.strip_suffix('.').unwrap_or(name);
    let label = |label: &str| {
        let letters = label.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'));
        (1..=63).contains(&label.len()) && letters
    };
    (name.len() <= 253 && name.split('.').all(label)).then(|| name.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn egress(hosts: &[&str], networks: Vec<api::Network>) -> Egress {
        let hosts = hosts.iter().map(ToString::to_string).collect();
        Egress::new(&api::Egress { name: "policy shop/egress".into(), hosts, networks, audit: false })
    }

    /// A host is itself; a star is what lies below, however deep, and not what ends alike.
    #[test]
    fn hosts_are_whole_labels() {
        let egress = egress(&["api.example.com", "*.example.org"], vec![]);
        for host in ["api.example.com", "a.example.org", "b.a.example.org"] {
            assert!(egress.allows_host(host), "{host}");
        }
        for host in
            ["example.com", "x.api.example.com", "example.org", "evilexample.org", "a.example.org.evil", ""]
        {
            assert!(!egress.allows_host(host), "{host}");
        }
    }

    /// An address is allowed with its port.
    #[test]
    fn networks_have_ports() {
        let network = |ports| api::Network { ip: vec![192, 0, 2, 0], prefix_length: 24, ports };
        let allows =
            |ports, address: &str| egress(&[], vec![network(ports)]).allows_address(address.parse().unwrap());
        assert!(allows(vec![], "192.0.2.7:1") && allows(vec![443], "192.0.2.7:443"));
        assert!(!allows(vec![443], "192.0.2.7:80") && !allows(vec![], "192.0.3.7:443"));
    }

    /// Names are compared in lower case, without the root's dot; what is no name is none.
    #[test]
    fn hosts_have_one_spelling() {
        assert_eq!(Some("api.example.com"), host("API.Example.com.").as_deref());
        for name in ["", ".", "a..b", "a b", "a\0.com", "[fd00::1]", "exämple.com", "a.com/.."] {
            assert_eq!(None, host(name), "{name}");
        }
    }
}
