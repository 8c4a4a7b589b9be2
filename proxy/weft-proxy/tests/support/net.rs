//! Network namespaces: two pods and the node between them, all traffic of the pods passing the node.
//!
//! ```text
//! client 10.77.1.2, fd77:1::2 ── node ── 10.77.2.2, fd77:2::2 server
//! ```

use std::fs::File;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

use nix::sched::{CloneFlags, setns};
use tokio::runtime::{Builder, Runtime};

static COUNT: AtomicU32 = AtomicU32::new(0);

/// A namespace; gone when dropped.
pub struct Namespace {
    pub name: String,
}

impl Namespace {
    fn new(role: &str, number: u32) -> Self {
        let name = format!("weft-{}-{number}-{role}", std::process::id());
        ip(&["netns", "add", &name]);
        ip(&["-n", &name, "link", "set", "lo", "up"]);
        let namespace = Self { name };
        // With it, an interface asks nobody for its neighbours for two seconds after it is up.
        namespace.set("net/ipv6/conf/default/accept_dad", "0");
        namespace
    }

    fn set(&self, setting: &'static str, value: &'static str) {
        self.run(move || std::fs::write(Path::new("/proc/sys").join(setting), value).unwrap());
    }

    /// What puts the calling thread into the namespace.
    pub fn enter(&self) -> impl Fn() + Send + Sync + Clone + 'static {
        let path = format!("/run/netns/{}", self.name);
        move || setns(File::open(&path).unwrap(), CloneFlags::CLONE_NEWNET).unwrap()
    }

    /// Runs `work` on a thread inside; processes that it starts are inside as well.
    pub fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> T {
        let enter = self.enter();
        let inside = thread::spawn(move || {
            enter();
            work()
        });
        inside.join().unwrap()
    }

    /// A runtime whose sockets are inside.
    pub fn runtime(&self) -> Runtime {
        let enter = self.enter();
        Builder::new_multi_thread().worker_threads(1).enable_all().on_thread_start(enter).build().unwrap()
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let _ = Command::new("ip").args(["netns", "del", &self.name]).status();
    }
}

/// The three namespaces, wired.
pub struct Net {
    pub client: Arc<Namespace>,
    pub server: Arc<Namespace>,
    pub node: Arc<Namespace>,
}

pub const CLIENT: [IpAddr; 2] = pod(1);
pub const SERVER: [IpAddr; 2] = pod(2);
pub const NODE: Ipv4Addr = Ipv4Addr::new(10, 77, 1, 1);
pub const NODE6: Ipv6Addr = Ipv6Addr::new(0xfd77, 1, 0, 0, 0, 0, 0, 1);
pub const NETWORKS: &str = "10.77.0.0/16,10.78.0.0/16,fd77::/16,fd78::/16";

/// IPv4 and IPv6 of a pod; its gateway ends in 1.
const fn pod(number: u8) -> [IpAddr; 2] {
    let v6 = Ipv6Addr::new(0xfd77, number as u16, 0, 0, 0, 0, 0, 2);
    [IpAddr::V4(Ipv4Addr::new(10, 77, number, 2)), IpAddr::V6(v6)]
}

impl Net {
    pub fn new() -> Self {
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let node = Namespace::new("node", number);
        node.set("net/ipv4/ip_forward", "1");
        node.set("net/ipv6/conf/all/forwarding", "1");
        let client = Namespace::new("client", number);
        let server = Namespace::new("server", number);
        wire(&node, &client, 1);
        wire(&node, &server, 2);
        Self { client: client.into(), server: server.into(), node: node.into() }
    }
}

/// A pair of interfaces: `p<number>` on the node, `eth0` in the pod.
fn wire(node: &Namespace, pod: &Namespace, number: u8) {
    let outside = format!("p{number}");
    ip(&[
        "-n", &node.name, "link", "add", &outside, "type", "veth", "peer", "name", "eth0", "netns", &pod.name,
    ]);
    for (namespace, interface, last) in [(node, outside.as_str(), 1), (pod, "eth0", 2)] {
        ip(&["-n", &namespace.name, "addr", "add", &format!("10.77.{number}.{last}/24"), "dev", interface]);
        ip(&["-n", &namespace.name, "addr", "add", &format!("fd77:{number}::{last}/64"), "dev", interface]);
        ip(&["-n", &namespace.name, "link", "set", interface, "up"]);
    }
    ip(&["-n", &pod.name, "route", "add", "default", "via", &format!("10.77.{number}.1")]);
    ip(&["-n", &pod.name, "-6", "route", "add", "default", "via", &format!("fd77:{number}::1")]);
}

fn ip(arguments: &[&str]) {
    let output = Command::new("ip").args(arguments).output().unwrap();
    assert!(output.status.success(), "ip {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Why these tests cannot run here; None when they can.
pub fn missing() -> Option<&'static str> {
    if !nix::unistd::geteuid().is_root() {
        return Some("not root");
    }
    let probe =
        |program: &str| Command::new(program).arg("-V").output().is_ok_and(|output| output.status.success());
    if !probe("ip") {
        return Some("no iproute2");
    }
    (!probe("iptables-nft")).then_some("no iptables")
}
