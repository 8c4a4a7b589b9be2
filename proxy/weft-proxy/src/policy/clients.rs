//! Which rules a client falls under: by identity, by namespace, by network, or because it has an identity at all.

use std::collections::HashMap;
use std::net::IpAddr;

use ipnet::IpNet;
use weft_api::discovery as api;
use weft_api::discovery::client::Kind;

use super::rules::Rules;

/// Who calls: what mesh TLS proves, and where the connection comes from.
#[derive(Clone, Copy)]
pub struct Caller<'a> {
    pub identity: Option<&'a str>,
    /// Of the identity.
    pub namespace: Option<&'a str>,
    pub ip: IpAddr,
}

impl<'a> Caller<'a> {
    pub fn new(identity: Option<&'a str>, trust_domain: &str, ip: IpAddr) -> Self {
        Self { identity, namespace: identity.and_then(|id| namespace_of(id, trust_domain)), ip }
    }
}

/// Of `spiffe://<trust domain>/ns/<namespace>/sa/<service account>` and nothing else.
fn namespace_of<'a>(id: &'a str, trust_domain: &str) -> Option<&'a str> {
    let path = id.strip_prefix("spiffe://")?.strip_prefix(trust_domain)?.strip_prefix("/ns/")?;
    let (namespace, account) = path.split_once("/sa/")?;
    let is_name = |text: &str| !text.is_empty() && !text.contains('/');
    (is_name(namespace) && is_name(account)).then_some(namespace)
}

/// Rules by the clients that they name.
#[derive(Default)]
pub struct Clients {
    anyone: Rules,
    authenticated: Rules,
    identities: HashMap<Box<str>, Rules>,
    namespaces: HashMap<Box<str>, Rules>,
    networks: HashMap<IpNet, Rules>,
    /// Prefix lengths that there are.
    lengths_v4: Vec<u8>,
    lengths_v6: Vec<u8>,
}

impl Clients {
    /// Adds the rule with the highest number so far. `guard`: it denies or limits. False: not all clients make sense;
    /// those that do not, and guard, are everybody.
    pub fn add(&mut self, rule: u32, clients: &[api::Client], guard: bool) -> bool {
        if clients.is_empty() {
            self.anyone.add(rule);
        }
        let strange =
            clients.iter().filter(|client| self.add_client(rule, client.kind.as_ref()).is_none()).count();
        if strange > 0 && guard {
            self.anyone.add(rule);
        }
        strange == 0
    }

    fn add_client(&mut self, rule: u32, kind: Option<&Kind>) -> Option<()> {
        let rules = match kind? {
            Kind::Identity(id) => self.identities.entry(id.as_str().into()).or_default(),
            Kind::Namespace(namespace) => self.namespaces.entry(namespace.as_str().into()).or_default(),
            Kind::Authenticated(true) => &mut self.authenticated,
            Kind::Authenticated(false) => return None,
            Kind::Network(network) => {
                let network = decode_network(network)?;
                let is_v6 = network.addr().is_ipv6();
                let lengths = if is_v6 { &mut self.lengths_v6 } else { &mut self.lengths_v4 };
                if !lengths.contains(&network.prefix_len()) {
                    lengths.push(network.prefix_len());
                }
                self.networks.entry(network).or_default()
            }
        };
        rules.add(rule);
        Some(())
    }

    /// The sets of rules that a client falls under.
    pub fn sets<'a>(&'a self, caller: &Caller<'_>) -> Vec<&'a Rules> {
        let mut sets = Vec::with_capacity(4);
        sets.push(&self.anyone);
        if let Some(id) = caller.identity {
            sets.push(&self.authenticated);
            sets.extend(self.identities.get(id));
        }
        sets.extend(caller.namespace.and_then(|name| self.namespaces.get(name)));
        for length in if caller.ip.is_ipv6() { &self.lengths_v6 } else { &self.lengths_v4 } {
            let network = IpNet::new(caller.ip, *length).ok().map(|network| network.trunc());
            sets.extend(network.and_then(|network| self.networks.get(&network)));
        }
        sets
    }
}

pub fn decode_network(network: &api::Network) -> Option<IpNet> {
    let ip: IpAddr = match network.ip.len() {
        4 => <[u8; 4]>::try_from(&network.ip[..]).ok()?.into(),
        _ => <[u8; 16]>::try_from(&network.ip[..]).ok()?.into(),
    };
    let network = IpNet::new(ip, network.prefix_length.try_into().ok()?).ok()?;
    Some(network.trunc())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A namespace is believed only in an identity that is whole and of the own trust domain.
    #[test]
    fn namespaces_are_parsed_strictly() {
        let of = |id| namespace_of(id, "cluster.local");
        assert_eq!(Some("shop"), of("spiffe://cluster.local/ns/shop/sa/web"));
        assert_eq!(Some("shop"), of("spiffe://cluster.local/ns/shop/sa/web.v2"));
        for id in [
            "spiffe://cluster.local.evil/ns/shop/sa/web",
            "spiffe://other/ns/shop/sa/web",
            "spiffe://cluster.local/ns/shop/sa/",
            "spiffe://cluster.local/ns//sa/web",
            "spiffe://cluster.local/ns/shop/sa/web/x",
            "spiffe://cluster.local/ns/a/ns/shop/sa/web",
            "spiffe://cluster.local/x/ns/shop/sa/web",
            "spiffe://cluster.local/ns/shop",
            "SPIFFE://cluster.local/ns/shop/sa/web",
        ] {
            assert_eq!(None, of(id), "{id}");
        }
    }
}
