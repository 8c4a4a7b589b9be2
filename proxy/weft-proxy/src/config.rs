//! Settings, all from the environment; every fault is told at once.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use ipnet::IpNet;

use crate::balance::Queue;
use crate::vigil::Limits;

/// Where the kernel tells a container's limit: of version 2, and of version 1.
const MEMORY_LIMIT: [&str; 2] = ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"];

/// How the proxy is used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// iptables redirects the pod's traffic here.
    #[default]
    Sidecar,
    /// No redirection: ends mesh TLS on the public ports of a control-plane pod.
    Gateway,
}

/// Where certificates come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IdentityAddr {
    /// `host:port`, by mesh TLS.
    Mesh(String),
    /// `plain:ip:port`: identity's own pod, on the loopback.
    Plain(SocketAddr),
}

/// A public port of a control-plane pod and the loopback address behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Forward {
    pub port: u16,
    pub to: SocketAddr,
}

#[derive(Clone, Debug)]
pub struct Config {
    pub mode: Mode,
    pub log: String,
    pub log_json: bool,
    /// Every exchange as JSON on standard output.
    pub access_log: bool,
    /// Whether POST /shutdown on the admin port ends the process.
    pub admin_shutdown: bool,
    pub outbound_listen: Vec<SocketAddr>,
    pub inbound_listen: Vec<SocketAddr>,
    pub tap_listen: SocketAddr,
    pub admin_listen: SocketAddr,
    pub connect_listen: Option<SocketAddr>,
    pub identity_addr: IdentityAddr,
    pub identity_id: String,
    pub destination_addr: String,
    pub destination_id: String,
    pub tap_id: String,
    pub token_file: PathBuf,
    pub trust_bundle: PathBuf,
    pub trust_domain: String,
    pub pod_name: String,
    pub pod_namespace: String,
    pub pod_ips: Vec<IpAddr>,
    pub node_name: String,
    /// `topology.kubernetes.io/zone` of the node; empty when unknown.
    pub zone: String,
    pub service_account: String,
    /// "deployment/web"; empty when unknown.
    pub workload: String,
    pub cluster_networks: Vec<IpNet>,
    pub opaque_ports: Vec<u16>,
    /// Ports that the pod's containers declare: who may call them is asked for from the start.
    pub inbound_ports: Vec<u16>,
    /// Ports of the pod's tcpSocket probes, which ask this proxy's admin port instead.
    pub probe_ports: Vec<u16>,
    /// HTTPS probes of the pod, which do so too, as `8443/healthz`.
    pub https_probes: Vec<String>,
    pub forward: Vec<Forward>,
    /// Ports of `forward` that clients without certificate may use.
    pub forward_anonymous: Vec<u16>,
    pub shutdown_grace: Duration,
    /// How long a request that was let in may go on when a change denies it.
    pub revoked_grace: Duration,
    /// Requests that wait for an endpoint.
    pub queue: Queue,
    /// To an endpoint; and from the server's proxy to its application, on the same machine.
    pub connect_timeout: Duration,
    pub app_connect_timeout: Duration,
    /// Of routes that have none of their own; none: no limit.
    pub request_timeout: Option<Duration>,
    pub limits: Limits,
    /// Accepted by one worker at once, in each direction.
    pub max_connections: usize,
    /// Bytes that one worker holds for slow readers.
    pub max_buffered: usize,
    pub workers: usize,
}

impl Config {
    /// Reads the process's environment. What is held for slow readers never brings the container to its memory limit,
    /// unless that was asked for.
    pub fn from_env() -> Result<Self, Vec<String>> {
        let mut config = Self::parse(std::env::vars().collect())?;
        let asked_for = std::env::var("WEFT_MAX_BUFFERED").is_ok_and(|text| !text.is_empty());
        let files = MEMORY_LIMIT.iter().find_map(|file| std::fs::read_to_string(file).ok());
        if let Some(memory) = files.and_then(|text| memory_limit(&text)).filter(|_| !asked_for) {
            config.max_buffered = config.max_buffered.min(memory / 2 / config.workers);
        }
        Ok(config)
    }

    /// Reads settings; the error lists every fault.
    pub fn parse(env: HashMap<String, String>) -> Result<Self, Vec<String>> {
        let mut r = Reader { env, faults: Vec::new() };
        let config = Self {
            mode: r.get("WEFT_MODE", "sidecar", parse_mode),
            log: r.text("WEFT_LOG", "info,h2=warn,hyper=warn,hickory_proto=warn,hickory_resolver=warn"),
            log_json: r.get("WEFT_LOG_FORMAT", "json", parse_format),
            access_log: r.get("WEFT_ACCESS_LOG", "off", parse_access_log),
            admin_shutdown: r.get("WEFT_ADMIN_SHUTDOWN", "false", parse),
            outbound_listen: r.list("WEFT_OUTBOUND_LISTEN", "127.0.0.1:4140", parse),
            inbound_listen: r.list("WEFT_INBOUND_LISTEN", "[::]:4143", parse),
            tap_listen: r.get("WEFT_TAP_LISTEN", "[::]:4190", parse),
            admin_listen: r.get("WEFT_ADMIN_LISTEN", "[::]:4191", parse),
            connect_listen: r.optional("WEFT_CONNECT_LISTEN"),
            identity_addr: r.get(
                "WEFT_IDENTITY_ADDR",
                "identity.weft.svc.cluster.local:8080",
                parse_identity,
            ),
            identity_id: r.text("WEFT_IDENTITY_ID", "spiffe://cluster.local/ns/weft/sa/identity"),
            destination_addr: r.text("WEFT_DESTINATION_ADDR", "destination.weft.svc.cluster.local:8086"),
            destination_id: r.text("WEFT_DESTINATION_ID", "spiffe://cluster.local/ns/weft/sa/destination"),
            tap_id: r.text("WEFT_TAP_ID", "spiffe://cluster.local/ns/weft/sa/tap"),
            token_file: r.text("WEFT_TOKEN_FILE", "/var/run/secrets/weft.dev/token").into(),
            trust_bundle: r.text("WEFT_TRUST_BUNDLE", "/etc/weft/bundle/ca.crt").into(),
            trust_domain: r.text("WEFT_TRUST_DOMAIN", "cluster.local"),
            pod_name: r.text("WEFT_POD_NAME", ""),
            pod_namespace: r.text("WEFT_POD_NAMESPACE", "default"),
            pod_ips: r.list("WEFT_POD_IPS", "", parse),
            node_name: r.text("WEFT_NODE_NAME", ""),
            zone: r.text("WEFT_ZONE", ""),
            service_account: r.text("WEFT_SERVICE_ACCOUNT", "default"),
            workload: r.text("WEFT_WORKLOAD", ""),
            cluster_networks: r.list("WEFT_CLUSTER_NETWORKS", "", parse),
            opaque_ports: r.list("WEFT_OPAQUE_PORTS", "", parse_ports).into_iter().flatten().collect(),
            inbound_ports: r.list("WEFT_INBOUND_PORTS", "", parse),
            probe_ports: r.list("WEFT_PROBE_PORTS", "", parse),
            https_probes: r.text("WEFT_PROBE_HTTPS", "").split_whitespace().map(Into::into).collect(),
            forward: r.list("WEFT_FORWARD", "", parse_forward),
            forward_anonymous: r.list("WEFT_FORWARD_ANONYMOUS", "", parse),
            shutdown_grace: r.get("WEFT_SHUTDOWN_GRACE", "30s", parse_duration),
            revoked_grace: r.get("WEFT_REVOKED_GRACE", "5s", parse_duration),
            queue: Queue {
                timeout: r.get("WEFT_QUEUE_TIMEOUT", "3s", parse_duration),
                max: r.get("WEFT_QUEUE_MAX", "1000", parse),
            },
            connect_timeout: r.get("WEFT_CONNECT_TIMEOUT", "1s", parse_duration),
            app_connect_timeout: r.get("WEFT_APP_CONNECT_TIMEOUT", "300ms", parse_duration),
            request_timeout: r.get("WEFT_REQUEST_TIMEOUT", "0s", parse_limit),
            limits: Limits {
                head: r.get("WEFT_HEADER_TIMEOUT", "10s", parse_duration),
                idle: r.get("WEFT_IDLE_TIMEOUT", "1h", parse_limit),
            },
            max_connections: r.get("WEFT_MAX_CONNECTIONS", "10000", |s| parse(s).and_then(at_least_one)),
            max_buffered: r.get("WEFT_MAX_BUFFERED", "256Mi", parse_bytes),
            workers: r.get("WEFT_WORKERS", "1", |s| parse(s).and_then(at_least_one)),
        };
        if r.faults.is_empty() { Ok(config) } else { Err(r.faults) }
    }

    /// The SPIFFE ID this proxy will have.
    pub fn own_id(&self) -> String {
        format!("spiffe://{}/ns/{}/sa/{}", self.trust_domain, self.pod_namespace, self.service_account)
    }
}

/// Collects faults while it reads.
struct Reader {
    env: HashMap<String, String>,
    faults: Vec<String>,
}

impl Reader {
    fn text(&self, name: &str, default: &str) -> String {
        self.env.get(name).filter(|v| !v.is_empty()).cloned().unwrap_or_else(|| default.to_owned())
    }

    fn get<T>(&mut self, name: &str, default: &str, parse: impl Fn(&str) -> Result<T, String>) -> T {
        let fallback = |e| unreachable_default(name, default, e);
        match parse(&self.text(name, default)) {
            Ok(value) => value,
            Err(e) => {
                self.faults.push(format!("{name}: {e}"));
                parse(default).unwrap_or_else(fallback)
            }
        }
    }

    fn list<T>(&mut self, name: &str, default: &str, parse: impl Fn(&str) -> Result<T, String>) -> Vec<T> {
        let text = self.text(name, default);
        let items = text.split(',').map(str::trim).filter(|s| !s.is_empty()).map(parse);
        items.filter_map(|item| item.map_err(|e| self.faults.push(format!("{name}: {e}"))).ok()).collect()
    }

    fn optional<T: FromStr<Err: std::fmt::Display>>(&mut self, name: &str) -> Option<T> {
        self.list(name, "", parse).pop()
    }
}

/// Defaults are constants of this file, and a test reads them all.
fn unreachable_default<T>(name: &str, default: &str, e: String) -> T {
    unreachable!("{name}: the default {default:?} does not parse: {e}")
}

fn parse<T: FromStr<Err: std::fmt::Display>>(text: &str) -> Result<T, String> {
    text.parse().map_err(|e| format!("{text:?}: {e}"))
}

fn parse_mode(text: &str) -> Result<Mode, String> {
    match text {
        "sidecar" => Ok(Mode::Sidecar),
        "gateway" => Ok(Mode::Gateway),
        _ => Err(format!("{text:?} is neither sidecar nor gateway")),
    }
}

fn parse_format(text: &str) -> Result<bool, String> {
    match text {
        "json" => Ok(true),
        "plain" => Ok(false),
        _ => Err(format!("{text:?} is neither json nor plain")),
    }
}

fn parse_access_log(text: &str) -> Result<bool, String> {
    match text {
        "json" => Ok(true),
        "off" => Ok(false),
        _ => Err(format!("{text:?} is neither json nor off")),
    }
}

fn parse_identity(text: &str) -> Result<IdentityAddr, String> {
    match text.strip_prefix("plain:") {
        Some(addr) => Ok(IdentityAddr::Plain(parse(addr)?)),
        None => Ok(IdentityAddr::Mesh(text.to_owned())),
    }
}

/// A port, or all from the first to the last: "8000-8010".
fn parse_ports(text: &str) -> Result<RangeInclusive<u16>, String> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    Ok(parse(first)?..=parse(last)?)
}

fn parse_forward(text: &str) -> Result<Forward, String> {
    let (port, to) = text.split_once('=').ok_or_else(|| format!("{text:?} is not PORT=ADDRESS"))?;
    Ok(Forward { port: parse(port)?, to: parse(to)? })
}

fn parse_duration(text: &str) -> Result<Duration, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let n: u64 = parse(digits)?;
    match text.trim_start_matches(digits) {
        "ms" => Ok(Duration::from_millis(n)),
        "s" => Ok(Duration::from_secs(n)),
        "m" => Ok(Duration::from_secs(60 * n)),
        "h" => Ok(Duration::from_secs(3600 * n)),
        _ => Err(format!("{text:?} needs a unit: ms, s, m or h")),
    }
}

/// No limit is a duration of 0.
fn parse_limit(text: &str) -> Result<Option<Duration>, String> {
    Ok(Some(parse_duration(text)?).filter(|limit| !limit.is_zero()))
}

/// As Kubernetes spells memory: "256Mi".
fn parse_bytes(text: &str) -> Result<usize, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let n: usize = parse(digits)?;
    let shift = match text.trim_start_matches(digits) {
        "Ki" => 10,
        "Mi" => 20,
        "Gi" => 30,
        _ => return Err(format!("{text:?} needs a unit: Ki, Mi or Gi")),
    };
    n.checked_mul(1 << shift).ok_or_else(|| format!("{text:?} is too much"))
}

/// What a container may have, in bytes; none: as much as there is.
fn memory_limit(text: &str) -> Option<usize> {
    text.trim().parse().ok()
}

fn at_least_one(n: usize) -> Result<usize, String> {
    if n >= 1 { Ok(n) } else { Err("at least 1".into()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env(pairs: &[(&str, &str)]) -> HashMap<String, String> {
        pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
    }

    /// Every setting has a default that parses.
    #[test]
    fn nothing_set_is_a_sidecar() {
        let config = Config::parse(env(&[])).unwrap();
        assert_eq!(
            (Mode::Sidecar, 1, Duration::from_secs(30)),
            (config.mode, config.workers, config.shutdown_grace)
        );
    }

    /// All faults are told at once, each with its variable.
    #[test]
    fn faults_are_told_together() {
        let faults =
            Config::parse(env(&[("WEFT_WORKERS", "0"), ("WEFT_POD_IPS", "10.0.0.1,x"), ("WEFT_MODE", "y")]));
        let names: Vec<_> =
            faults.unwrap_err().iter().map(|f| f.split(':').next().unwrap().to_owned()).collect();
        assert_eq!(vec!["WEFT_MODE", "WEFT_POD_IPS", "WEFT_WORKERS"], names);
    }

    /// Memory is given as to Kubernetes, with its unit.
    #[test]
    fn bytes_have_units() {
        assert_eq!((Ok(3 << 10), Ok(2 << 30)), (parse_bytes("3Ki"), parse_bytes("2Gi")));
        assert!(parse_bytes("100").is_err() && parse_bytes("99999999999999999Gi").is_err());
    }

    /// Nothing, of time, is no limit.
    #[test]
    fn zero_is_no_limit() {
        let limits = [parse_limit("0s"), parse_limit("0h"), parse_limit("5ms")];
        assert_eq!([Ok(None), Ok(None), Ok(Some(Duration::from_millis(5)))], limits);
    }

    /// As the kernel writes it.
    #[test]
    fn containers_may_have_no_limit() {
        assert_eq!((Some(64 << 20), None), (memory_limit("67108864\n"), memory_limit("max\n")));
    }

    /// Ports as annotations spell them.
    #[test]
    fn port_ranges_are_expanded() {
        let config = Config::parse(env(&[("WEFT_OPAQUE_PORTS", "25,8000-8002")])).unwrap();
        assert_eq!(vec![25, 8000, 8001, 8002], config.opaque_ports);
    }

    /// What the chart sets in identity's own pod.
    #[test]
    fn gateway_settings_parse() {
        let config = Config::parse(env(&[
            ("WEFT_MODE", "gateway"),
            ("WEFT_FORWARD", "8080=127.0.0.1:8081"),
            ("WEFT_FORWARD_ANONYMOUS", "8080"),
            ("WEFT_IDENTITY_ADDR", "plain:127.0.0.1:8081"),
        ]))
        .unwrap();
        let to = "127.0.0.1:8081".parse().unwrap();
        assert_eq!(vec![Forward { port: 8080, to }], config.forward);
        assert_eq!(IdentityAddr::Plain(to), config.identity_addr);
    }
}
