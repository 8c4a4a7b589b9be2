//! The compiled table beside an evaluator that is slow and obvious, on policies and calls drawn by lot; and what holds
//! of paths that could be read in two ways.

use std::net::IpAddr;

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use weft_api::discovery as api;
use weft_api::discovery::call_match::Path;
use weft_api::discovery::client::Kind;

use super::path::plain;
use super::{Call, Caller, Table};

const BYTES: Call<'_> = Call::Bytes { opaque: false };
const TRUST_DOMAIN: &str = "cluster.local";
const IDS: [&str; 4] = [
    "spiffe://cluster.local/ns/a/sa/x",
    "spiffe://cluster.local/ns/a/sa/y",
    "spiffe://cluster.local/ns/b/sa/x",
    "spiffe://other/ns/a/sa/x",
];
const IPS: [&str; 4] = ["10.0.0.1", "10.0.1.1", "192.168.0.1", "fd00::1"];
const NETWORKS: [(&str, u32); 5] =
    [("10.0.0.0", 8), ("10.0.0.0", 24), ("10.0.0.1", 32), ("fd00::", 8), ("0.0.0.0", 0)];
const METHODS: [&str; 3] = ["GET", "POST", "get"];
const PATHS: [&str; 14] = [
    "/", "/a", "/a/", "/A", "/a/b", "/a/b/", "/a/b/c", "/%61/b", "/ab", "/b/x/c", "/b//c", "/b/../a",
    "/a%2Fb", "*",
];
const RULES: [&str; 9] = ["/", "/a", "/a/", "/a/b", "/a/b/c", "/{}", "/{}/b", "/b/{}/c", "/{}/{}"];

fn pick<T: Copy>(lots: &mut StdRng, of: &[T]) -> T {
    *of.choose(lots).unwrap()
}

fn client(lots: &mut StdRng) -> api::Client {
    let kind = match lots.random_range(0..4) {
        0 => Kind::Identity(pick(lots, &IDS).into()),
        1 => Kind::Namespace(pick(lots, &["a", "b", "c"]).into()),
        2 => Kind::Authenticated(true),
        _ => {
            let (ip, prefix_length) = pick(lots, &NETWORKS);
            Kind::Network(api::Network { ip: bytes(ip), prefix_length, ports: vec![] })
        }
    };
    api::Client { kind: Some(kind) }
}

fn bytes(ip: &str) -> Vec<u8> {
    match ip.parse().unwrap() {
        IpAddr::V4(ip) => ip.octets().to_vec(),
        IpAddr::V6(ip) => ip.octets().to_vec(),
    }
}

fn call(lots: &mut StdRng) -> api::CallMatch {
    let path = pick(lots, &RULES).to_owned();
    let path = match lots.random_range(0..4) {
        0 => Some(Path::Exact(path)),
        1 => Some(Path::Prefix(path)),
        2 => Some(Path::Template(path)),
        _ => None,
    };
    api::CallMatch { method: pick(lots, &["", "GET", "POST"]).into(), path }
}

fn some<T>(lots: &mut StdRng, mut make: impl FnMut(&mut StdRng) -> T) -> Vec<T> {
    (0..lots.random_range(0..3)).map(|_| make(lots)).collect()
}

fn policy(lots: &mut StdRng, most: u32) -> api::Policy {
    let rules = (0..lots.random_range(0..most)).map(|n| api::Rule {
        name: format!("rule {n}"),
        deny: lots.random(),
        clients: some(lots, client),
        calls: some(lots, call),
    });
    api::Policy {
        rules: rules.collect(),
        default: lots.random_range(0..4),
        default_name: "the default".into(),
    }
}

/// Hundreds of rules that are by turns, in runs, of nobody and about nothing that is called, but for a few.
fn woven(lots: &mut StdRng) -> api::Policy {
    let mut policy = policy(lots, 400);
    let run = lots.random_range(1..100);
    for (n, rule) in policy.rules.iter_mut().enumerate() {
        match n / run % 2 {
            _ if lots.random_bool(0.03) => {}
            0 => rule.clients = vec![api::Client { kind: Some(Kind::Namespace("nobody".into())) }],
            _ => rule.calls = on(Path::Prefix("/nothing".into())),
        }
    }
    policy
}

/// The first rule that matches, rule by rule.
fn decide(policy: &api::Policy, caller: &Caller<'_>, call: Call<'_>) -> (bool, String) {
    for rule in &policy.rules {
        let client = rule.clients.is_empty() || rule.clients.iter().any(|client| is_client(client, caller));
        let called = match call {
            _ if rule.calls.is_empty() => true,
            Call::Bytes { opaque } => rule.deny && !opaque,
            Call::Request { method, path } => rule.calls.iter().any(|c| is_call(c, method, path, rule.deny)),
        };
        if client && called {
            return (!rule.deny, rule.name.clone());
        }
    }
    let allowed = match policy.default() {
        api::Default::Anyone => true,
        api::Default::Authenticated => caller.identity.is_some(),
        _ => false,
    };
    (allowed, policy.default_name.clone())
}

fn is_client(client: &api::Client, caller: &Caller<'_>) -> bool {
    match client.kind.as_ref().unwrap() {
        Kind::Identity(id) => caller.identity == Some(id),
        Kind::Namespace(name) => caller
            .identity
            .is_some_and(|id| id.starts_with(&format!("spiffe://{TRUST_DOMAIN}/ns/{name}/sa/"))),
        Kind::Authenticated(_) => caller.identity.is_some(),
        Kind::Network(network) => super::clients::decode_network(network).unwrap().contains(&caller.ip),
    }
}

fn is_call(wanted: &api::CallMatch, method: &str, path: &str, deny: bool) -> bool {
    let method = wanted.method.is_empty()
        || wanted.method == method
        || deny && wanted.method.eq_ignore_ascii_case(method);
    let Some(rule) = &wanted.path else { return method };
    let Some(plain) = plain(path) else { return method && deny };
    let same = |wanted: &str, segment: &str| wanted == segment;
    method
        && match rule {
            Path::Exact(wanted) => fits(wanted, &plain, deny, same),
            Path::Template(wanted) => {
                fits(wanted, &plain, deny, |w, s| w == s || (w == "{}" && !s.is_empty()))
            }
            Path::Prefix(wanted) => {
                let wanted = wanted.trim_end_matches('/');
                *plain == *wanted || plain.starts_with(&format!("{wanted}/"))
            }
        }
}

/// Segment by segment; to a rule that denies, a slash at the end is nothing.
fn fits(wanted: &str, path: &str, deny: bool, same: impl Fn(&str, &str) -> bool) -> bool {
    let trim = |path: &str| if deny { path.trim_end_matches('/').to_owned() } else { path.to_owned() };
    let (wanted, path) = (trim(wanted), trim(path));
    let (wanted, path): (Vec<_>, Vec<_>) = (wanted.split('/').collect(), path.split('/').collect());
    wanted.len() == path.len() && wanted.iter().zip(&path).all(|(wanted, segment)| same(wanted, segment))
}

/// Whatever the policy and the call, the table decides as the obvious evaluator does, by the same rule.
#[test]
fn the_table_decides_as_the_obvious_evaluator() {
    let mut lots = StdRng::seed_from_u64(47);
    for n in 0..600 {
        let policy = if n < 500 { policy(&mut lots, 12) } else { woven(&mut lots) };
        let table = Table::new(&policy);
        for _ in 0..30 {
            let id = lots.random_bool(0.7).then(|| pick(&mut lots, &IDS));
            let caller = Caller::new(id, TRUST_DOMAIN, pick(&mut lots, &IPS).parse().unwrap());
            let call = match lots.random_bool(0.9) {
                true => Call::Request { method: pick(&mut lots, &METHODS), path: pick(&mut lots, &PATHS) },
                false => Call::Bytes { opaque: lots.random() },
            };
            let verdict = table.decide(&caller, call);
            assert_eq!(
                decide(&policy, &caller, call),
                (verdict.allowed, verdict.by.to_string()),
                "{id:?} {call:?} {policy:?}"
            );
        }
    }
}

fn rule(name: &str, deny: bool, clients: Vec<Kind>, calls: Vec<api::CallMatch>) -> api::Rule {
    let clients = clients.into_iter().map(|kind| api::Client { kind: Some(kind) }).collect();
    api::Rule { name: name.into(), deny, clients, calls }
}

fn on(path: Path) -> Vec<api::CallMatch> {
    vec![api::CallMatch { method: String::new(), path: Some(path) }]
}

fn table(default: api::Default, rules: Vec<api::Rule>) -> Table {
    Table::new(&api::Policy { rules, default: default.into(), default_name: "cluster".into() })
}

fn allows(table: &Table, path: &str) -> bool {
    let caller = Caller::new(Some(IDS[0]), TRUST_DOMAIN, IPS[0].parse().unwrap());
    table.decide(&caller, Call::Request { method: "GET", path }).allowed
}

/// No spelling of a forbidden path is allowed: what may be meant by it is denied with it.
#[test]
fn a_deny_cannot_be_got_around() {
    let denied = rule("admin", true, vec![], on(Path::Exact("/admin/keys".into())));
    let table = table(api::Default::Anyone, vec![denied]);
    for path in [
        "/admin/keys",
        "/admin/keys/",
        "/%61dmin/keys",
        "/admin/%6Beys",
        "//admin/keys",
        "/admin//keys",
        "/./admin/keys",
        "/x/../admin/keys",
        "/admin%2Fkeys",
        "/admin%2fkeys",
        "/admin\\keys",
        "/admin/keys%00",
        "/admin/keys;a=b",
        "/admin;a/keys",
        "/%2561dmin/keys",
        "/admin/keys%0a",
        "/admin/keys/.",
        "/x/%2e%2e/admin/keys",
        "/admin/keys%",
    ] {
        assert!(!allows(&table, path), "{path}");
    }
    for path in ["/", "/admin", "/admin/keys/1", "/administrator", "/admin/keysx"] {
        assert!(allows(&table, path), "{path}");
    }
}

/// A rule is about the calls that the contract's table says, which every language is tested by.
#[test]
fn rules_are_about_the_calls_of_the_contract_s_table() {
    let lines = include_str!("../../../../proto/discovery/v1/rules.txt").lines();
    for line in lines.filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let mut columns = line.split(" | ");
        let mut column = || columns.next().unwrap().split(' ').collect::<Vec<_>>();
        let (written, called, expected) = (column(), column(), column() == ["yes"]);
        let deny = written[0] == "deny";
        let default = if deny { api::Default::Anyone } else { api::Default::Deny };
        let rule = rule("rule", deny, written_client(written[1]), written_call(&written[2..]));
        let uri: http::Uri = called.get(2).unwrap_or(&"/").parse().unwrap();
        let call = match called[1] {
            "BYTES" => BYTES,
            "OPAQUE" => Call::Bytes { opaque: true },
            method => Call::Request { method, path: uri.path() },
        };
        let identity = called[0].starts_with("spiffe:").then_some(called[0]);
        let caller = Caller::new(identity, TRUST_DOMAIN, called[0].parse().unwrap_or([10, 0, 0, 1].into()));
        let allowed = table(default, vec![rule]).decide(&caller, call).allowed;
        assert_eq!(expected, allowed != deny, "{line}");
    }
}

fn written_client(text: &str) -> Vec<Kind> {
    match text.split_once(':') {
        None if text == "anyone" => vec![],
        None => vec![Kind::Authenticated(true)],
        Some(("identity", id)) => vec![Kind::Identity(id.into())],
        Some(("namespace", name)) => vec![Kind::Namespace(name.into())],
        Some((_, network)) => {
            let (ip, length) = network.split_once('/').unwrap();
            let prefix_length = length.parse().unwrap();
            vec![Kind::Network(api::Network { ip: bytes(ip), prefix_length, ports: vec![] })]
        }
    }
}

fn written_call(words: &[&str]) -> Vec<api::CallMatch> {
    let Some(method) = words.first() else { return vec![] };
    let path = words.get(1).map(|path| match path.split_once(':').unwrap() {
        ("exact", path) => Path::Exact(path.into()),
        ("prefix", path) => Path::Prefix(path.into()),
        (_, path) => Path::Template(path.into()),
    });
    vec![api::CallMatch { method: method.trim_matches('*').into(), path }]
}

/// What could be read in two ways is on no path that a rule allows, and under rules without paths as everything is.
#[test]
fn ambiguous_paths_are_allowed_by_no_path() {
    let public = || rule("public", false, vec![], on(Path::Prefix("/public".into())));
    let closed = table(api::Default::Deny, vec![public()]);
    assert!(allows(&closed, "/public/a"));
    for path in ["/public/../keys", "/public//a", "/public/%2e%2e/keys", "/public%2Fa", "*"] {
        assert!(!allows(&closed, path), "{path}");
    }
    let open = table(api::Default::Deny, vec![public(), rule("all", false, vec![], vec![])]);
    assert!(allows(&open, "/public/../keys"));
}

/// A rule in words of a newer control plane opens nothing, and denies rather more than less.
#[test]
fn what_is_not_understood_opens_nothing() {
    let strange =
        |deny| api::Rule { clients: vec![api::Client { kind: None }], ..rule("new", deny, vec![], vec![]) };
    assert!(!allows(&table(api::Default::Deny, vec![strange(false)]), "/"));
    assert!(!allows(&table(api::Default::Anyone, vec![strange(true)]), "/"));
    assert!(!allows(&table(api::Default::Unspecified, vec![]), "/"));
}

/// Identities are compared byte for byte.
#[test]
fn identities_are_exact() {
    let known = rule("x", false, vec![Kind::Identity(IDS[0].into())], vec![]);
    let table = table(api::Default::Deny, vec![known]);
    let allowed =
        |id: &str| table.decide(&Caller::new(Some(id), TRUST_DOMAIN, IPS[0].parse().unwrap()), BYTES).allowed;
    assert!(allowed(IDS[0]));
    for id in [
        "spiffe://cluster.local/ns/a/sa/X",
        "spiffe://cluster.local/ns/a/sa/x\0",
        "spiffe://cluster.local/ns/a/sa/xy",
    ] {
        assert!(!allowed(id), "{id}");
    }
}

/// On a port that is not opaque, bytes that are allowed could be no request that is denied: else a request that only its
/// application understands would get around the rules.
#[test]
fn bytes_are_no_way_around() {
    let mut lots = StdRng::seed_from_u64(48);
    for _ in 0..500 {
        let table = Table::new(&policy(&mut lots, 12));
        let id = lots.random_bool(0.7).then(|| pick(&mut lots, &IDS));
        let caller = Caller::new(id, TRUST_DOMAIN, pick(&mut lots, &IPS).parse().unwrap());
        if table.decide(&caller, BYTES).allowed {
            for path in PATHS {
                assert!(
                    table.decide(&caller, Call::Request { method: "GET", path }).allowed,
                    "{id:?} {path}"
                );
            }
        }
    }
}
