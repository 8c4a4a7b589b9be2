//! Policies for tests, in few words.

use weft_api::discovery as api;
use weft_api::discovery::call_match::Path;
use weft_api::discovery::client::Kind;
use weft_proxy::identity::testing::spiffe;

use super::loopback::{Mesh, Pod};

pub fn policy(default: api::Default, rules: Vec<api::Rule>) -> api::Policy {
    api::Policy { rules, default: default.into(), default_name: "namespace shop".into() }
}

/// A rule of `clients` and of requests to `paths`; none: everybody, everything.
pub fn rule(name: &str, clients: Vec<Kind>, paths: &[&str]) -> api::Rule {
    let call =
        |path: &&str| api::CallMatch { path: Some(Path::Prefix((*path).into())), ..Default::default() };
    api::Rule {
        name: name.into(),
        clients: clients.into_iter().map(|kind| api::Client { kind: Some(kind) }).collect(),
        calls: paths.iter().map(call).collect(),
        deny: false,
    }
}

pub fn deny(rule: api::Rule) -> api::Rule {
    api::Rule { deny: true, ..rule }
}

/// The client's pod in these tests.
pub fn web() -> Vec<Kind> {
    vec![Kind::Identity(spiffe("shop", "web"))]
}

/// Every client on this machine.
pub fn loopback() -> Vec<Kind> {
    vec![Kind::Network(api::Network { ip: vec![127, 0, 0, 0], prefix_length: 8, ports: vec![] })]
}

pub fn enforced(default: api::Default, rules: Vec<api::Rule>) -> api::Inbound {
    api::Inbound { enforced: Some(policy(default, rules)), ..Default::default() }
}

impl Mesh {
    /// What holds for the application of `pod` from the start.
    pub fn access(&self, pod: &Pod, inbound: api::Inbound) {
        self.inbound(pod.app_port(), inbound);
    }

    /// A change of what holds, once the proxy of `pod` knows of it.
    pub async fn change_access(&self, pod: &Pod, inbound: api::Inbound) {
        let mut known = pod.shared.discovery.inbound(pod.app_port()).await.unwrap();
        self.inbound(pod.app_port(), inbound);
        known.changed().await.unwrap();
    }
}
