//! `/probe/tcp/PORT`: does the application take connections?
//!
//! The kubelet's own dial would end at this proxy, which takes every connection before it knows of the application.
//! So the injector turns a pod's tcpSocket probes into requests for this path. Only ports of such probes are dialled:
//! nobody can search the pod for open ones.

use std::net::SocketAddr;
use std::time::Duration;

use http::StatusCode;

use crate::config::Config;
use crate::socket;

pub mod https;

/// An application of the same machine that takes longer has no room for connections.
const LIMIT: Duration = Duration::from_secs(1);

/// The answer for a port, as the path spells it.
pub async fn tcp(config: &Config, port: &str) -> (StatusCode, String) {
    let Some(port) = port.parse().ok().filter(|port| config.probe_ports.contains(port)) else {
        return (StatusCode::NOT_FOUND, format!("no tcpSocket probe of this pod is for port {port}\n"));
    };
    let Some(ip) = config.pod_ips.first() else {
        return (StatusCode::SERVICE_UNAVAILABLE, "this pod's address is unknown\n".into());
    };
    match socket::connect(SocketAddr::new(*ip, port), LIMIT).await {
        Ok(_) => (StatusCode::OK, format!("port {port} takes connections\n")),
        Err(e) => (StatusCode::SERVICE_UNAVAILABLE, format!("port {port} takes no connections: {e}\n")),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use tokio::net::TcpListener;

    use super::*;

    async fn status(probed: u16, asked: &str) -> StatusCode {
        let settings = [("WEFT_POD_IPS", "127.0.0.1".to_owned()), ("WEFT_PROBE_PORTS", probed.to_string())];
        let settings: HashMap<_, _> =
            settings.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        tcp(&Config::parse(settings).unwrap(), asked).await.0
    }

    /// As the kubelet's dial would say it if there were no proxy.
    #[tokio::test]
    async fn a_port_is_up_while_somebody_listens() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        assert_eq!(StatusCode::OK, status(port, &port.to_string()).await);
        drop(listener);
        assert_eq!(StatusCode::SERVICE_UNAVAILABLE, status(port, &port.to_string()).await);
    }

    /// Others learn nothing of the pod's ports.
    #[tokio::test]
    async fn only_probed_ports_are_dialled() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let open = listener.local_addr().unwrap().port();
        for asked in [open.to_string(), "http".to_owned(), String::new(), "65537".to_owned()] {
            assert_eq!(StatusCode::NOT_FOUND, status(1, &asked).await);
        }
    }
}
