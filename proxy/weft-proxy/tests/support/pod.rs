//! A pod as Kubernetes would start it: redirect rules first, then the proxy, both the real programs.

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use weft_proxy::identity::testing::spiffe;

use super::control_plane::ControlPlane;
use super::net::{NETWORKS, Namespace};

const PROXY_UID: u32 = 2102;
/// What a proxy that leaves gives to what is under way.
pub const GRACE: Duration = Duration::from_secs(3);
const READY_TIMEOUT: Duration = Duration::from_secs(20);
const ADMIN: &str = "127.0.0.1:4191";

/// The proxy of a pod; killed when dropped.
pub struct Pod {
    child: Child,
    files: PathBuf,
    namespace: Arc<Namespace>,
}

impl Pod {
    /// Redirects the namespace's traffic and starts its proxy as shop/`account`; returns when it is ready.
    pub fn start(namespace: Arc<Namespace>, ips: [IpAddr; 2], plane: &ControlPlane, account: &str) -> Self {
        redirect(&namespace);
        let files = std::env::temp_dir().join(&namespace.name);
        std::fs::create_dir_all(&files).unwrap();
        std::fs::write(files.join("token"), format!("shop/{account}")).unwrap();
        std::fs::write(files.join("ca.crt"), plane.identity.ca.pem()).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_weft-proxy"));
        command.uid(PROXY_UID).gid(PROXY_UID).env_clear().envs(settings(&files, ips, plane, account));
        let log = std::fs::File::create(files.join("log")).unwrap();
        command.stdout(Stdio::null()).stderr(log);
        let child = namespace.run(move || command.spawn().unwrap());
        let pod = Self { child, files, namespace };
        pod.wait_ready();
        pod
    }

    fn wait_ready(&self) {
        let started = Instant::now();
        while !self.get("/ready").starts_with("HTTP/1.1 200") {
            assert!(started.elapsed() < READY_TIMEOUT, "proxy not ready; its log:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Kubernetes ends the pod.
    pub fn terminate(&self) {
        let sent = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status().unwrap();
        assert!(sent.success());
    }

    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// The answer of the proxy's admin port, head and body; empty when it does not answer.
    pub fn get(&self, path: &str) -> String {
        let request = format!("GET {path} HTTP/1.1\r\nHost: admin\r\nConnection: close\r\n\r\n");
        self.namespace.run(move || {
            let mut answer = String::new();
            let Ok(mut stream) = TcpStream::connect(ADMIN) else { return answer };
            let _ = stream.write_all(request.as_bytes()).and_then(|()| stream.read_to_string(&mut answer));
            answer
        })
    }

    /// The value of the one metric line that holds all of `parts`; 0 without one.
    pub fn metric(&self, parts: &[&str]) -> f64 {
        let metrics = self.get("/metrics");
        let mut values = metrics.lines().filter(|line| !line.starts_with('#'));
        let line = values.find(|line| parts.iter().all(|part| line.contains(part)));
        line.and_then(|line| line.rsplit(' ').next()?.parse().ok()).unwrap_or_default()
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.files.join("log")).unwrap_or_default()
    }
}

impl Drop for Pod {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("log of the proxy in {}:\n{}", self.namespace.name, self.log());
        }
        let _ = std::fs::remove_dir_all(&self.files);
    }
}

/// Runs weft-proxy-init, which cargo has put beside the proxy.
fn redirect(namespace: &Namespace) {
    let program = Path::new(env!("CARGO_BIN_EXE_weft-proxy")).with_file_name("weft-proxy-init");
    assert!(program.exists(), "build it first: cargo build -p weft-init");
    let output = namespace.run(move || Command::new(program).output().unwrap());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

fn settings(
    files: &Path,
    ips: [IpAddr; 2],
    plane: &ControlPlane,
    account: &str,
) -> Vec<(&'static str, String)> {
    let at = |address: SocketAddr| address.to_string();
    vec![
        ("WEFT_LOG", "debug,h2=warn,hyper=warn".to_owned()),
        ("WEFT_LOG_FORMAT", "plain".to_owned()),
        ("WEFT_OUTBOUND_LISTEN", "127.0.0.1:4140,[::1]:4140".to_owned()),
        ("WEFT_IDENTITY_ADDR", at(plane.identity_addr)),
        ("WEFT_IDENTITY_ID", spiffe("weft", "identity")),
        ("WEFT_DESTINATION_ADDR", at(plane.destination_addr)),
        ("WEFT_DESTINATION_ID", spiffe("weft", "destination")),
        ("WEFT_TOKEN_FILE", files.join("token").display().to_string()),
        ("WEFT_TRUST_BUNDLE", files.join("ca.crt").display().to_string()),
        ("WEFT_POD_NAME", format!("{account}-1")),
        ("WEFT_POD_NAMESPACE", "shop".to_owned()),
        ("WEFT_POD_IPS", ips.map(|ip| ip.to_string()).join(",")),
        ("WEFT_SERVICE_ACCOUNT", account.to_owned()),
        ("WEFT_WORKLOAD", format!("deployment/{account}")),
        ("WEFT_CLUSTER_NETWORKS", NETWORKS.to_owned()),
        ("WEFT_SHUTDOWN_GRACE", format!("{}s", GRACE.as_secs())),
    ]
}
