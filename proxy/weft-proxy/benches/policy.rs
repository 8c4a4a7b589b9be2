//! What one decision costs by how many rules a policy has: `make bench-policy`. Nanoseconds, median of some runs.

use std::collections::BTreeMap;
use std::hint::black_box;
use std::io::Write;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use weft_api::discovery as api;
use weft_api::discovery::call_match::Path;
use weft_api::discovery::client::Kind;
use weft_proxy::policy::{Call, Caller, Table};

const RULES: [u32; 5] = [1, 10, 500, 1000, 10_000];
const RUNS: usize = 15;
const DECISIONS: u32 = 20_000;
const ID: &str = "spiffe://cluster.local/ns/shop/sa/web";

/// How the rules of a policy differ. The caller falls under the last one only.
const SHAPES: [(&str, fn(u32, u32) -> api::Rule); 6] = [
    ("identities", |n, last| rule(Kind::Identity(identity(n, last)), template("/menu/{}"))),
    ("networks", |n, last| rule(Kind::Network(network(n, last)), template("/menu/{}"))),
    ("paths", |n, last| rule(Kind::Authenticated(true), template(&path(n, last)))),
    ("identities and paths", |n, last| {
        rule(Kind::Identity(identity(n, last)), template(&path(n % 100, last % 100)))
    }),
    // Half of them name the caller, and the others the path.
    ("woven", |n, last| match n % 2 {
        0 => rule(Kind::Identity(identity(last, last)), template(&path(n, last))),
        _ => rule(Kind::Identity(identity(n, last)), template("/menu/{}")),
    }),
    // The worst: they do so in every way.
    ("woven in many ways", |n, last| match n % 8 {
        0 => rule(Kind::Identity(identity(last, last)), template(&path(n, last))),
        2 => rule(Kind::Namespace("shop".to_owned()), template(&path(n, last))),
        4 => rule(Kind::Authenticated(true), template(&path(n, last))),
        6 => rule(Kind::Network(network(last, last)), template(&path(n, last))),
        1 => rule(Kind::Identity(identity(n, last)), Path::Exact("/menu/17".to_owned())),
        3 => rule(Kind::Identity(identity(n, last)), Path::Prefix("/menu".to_owned())),
        5 => rule(Kind::Identity(identity(n, last)), Path::Prefix("/".to_owned())),
        _ => rule(Kind::Identity(identity(n, last)), template("/menu/{}")),
    }),
];

fn identity(n: u32, last: u32) -> String {
    if n == last { ID.to_owned() } else { format!("spiffe://cluster.local/ns/shop/sa/web-{n}") }
}

fn path(n: u32, last: u32) -> String {
    if n == last { "/menu/{}".to_owned() } else { format!("/menu-{n}/{{}}") }
}

fn network(n: u32, last: u32) -> api::Network {
    let ip = if n == last { [10, 0, 0, 1] } else { (0x0b00_0000 + n).to_be_bytes() };
    api::Network { ip: ip.to_vec(), prefix_length: 32, ports: vec![] }
}

fn template(path: &str) -> Path {
    Path::Template(path.to_owned())
}

fn rule(client: Kind, path: Path) -> api::Rule {
    api::Rule {
        name: "shop/rule".to_owned(),
        clients: vec![api::Client { kind: Some(client) }],
        calls: vec![api::CallMatch { method: "GET".to_owned(), path: Some(path) }],
        deny: false,
    }
}

fn policy(count: u32, make: fn(u32, u32) -> api::Rule) -> api::Policy {
    let rules = (0..count).map(|n| make(n, count - 1)).collect();
    api::Policy { rules, default: api::Default::Deny.into(), default_name: "cluster".to_owned() }
}

fn median(mut runs: Vec<Duration>) -> Duration {
    runs.sort_unstable();
    runs[runs.len() / 2]
}

/// One decision, from what a connection and a request have.
fn decision(table: &Table) -> Duration {
    let ip = IpAddr::from([10, 0, 0, 1]);
    let once = || {
        let caller = Caller::new(Some(black_box(ID)), "cluster.local", ip);
        let call = Call::Request { method: "GET", path: black_box("/menu/17") };
        assert!(black_box(table).decide(&caller, call).allowed);
    };
    let run = |_| {
        let start = Instant::now();
        (0..DECISIONS).for_each(|_| once());
        start.elapsed() / DECISIONS
    };
    median((0..RUNS).map(run).collect())
}

fn main() -> std::io::Result<()> {
    let mut results = BTreeMap::new();
    for (shape, make) in SHAPES {
        for count in RULES {
            let policy = policy(count, make);
            let start = Instant::now();
            let table = Table::new(&policy);
            let compile = start.elapsed();
            results.insert((shape, count), (decision(&table), compile));
        }
    }
    let line = |((shape, count), (decision, compile)): (&(&str, u32), &(Duration, Duration))| {
        let (ns, us) = (decision.as_nanos(), compile.as_micros());
        format!("  \"{shape}, {count}\": {{\"decision_ns\": {ns}, \"compile_us\": {us}}}")
    };
    let lines: Vec<_> = results.iter().map(line).collect();
    writeln!(std::io::stdout(), "{{\n{}\n}}", lines.join(",\n"))
}
