//! The admin port: what may be changed while the proxy runs, and what may not.

mod support;

use std::net::SocketAddr;
use std::sync::Arc;

use http::{Method, Request};
use support::http::{full, http1, text};
use support::loopback::Mesh;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use weft_proxy::config::Config;
use weft_proxy::discovery::Discovery;
use weft_proxy::identity::Identity;
use weft_proxy::identity::testing::spiffe;
use weft_proxy::worker::Shared;
use weft_proxy::{admin, logs, socket};

/// The admin port of a proxy, and what ends the process.
async fn start(shutdown: bool) -> (SocketAddr, Arc<Notify>) {
    let mesh = Mesh::start();
    serve(mesh.pod_with(2, "web", |config| config.admin_shutdown = shutdown).shared).await
}

async fn serve(shared: Arc<Shared>) -> (SocketAddr, Arc<Notify>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, stop) = (listener.local_addr().unwrap(), Arc::new(Notify::new()));
    tokio::spawn(admin::serve(listener, shared, stop.clone()));
    (address, stop)
}

async fn ask(address: SocketAddr, method: Method, path: &str, body: &str) -> (u16, String) {
    let mut client = http1(TcpStream::connect(address).await.unwrap()).await;
    let request = Request::builder().method(method).uri(path).body(full(body.to_owned())).unwrap();
    let response = client.send_request(request).await.unwrap();
    (response.status().as_u16(), text(response).await)
}

/// The log's filter can be changed while the proxy runs; nonsense is refused and changes nothing.
#[tokio::test]
async fn the_log_level_changes() {
    let (admin, _) = start(false).await;
    logs::start(&weft_proxy::config::Config::parse([("WEFT_LOG".into(), "off".into())].into()).unwrap());
    let filter = "weft_proxy=error";
    assert_eq!((200, format!("{filter}\n")), ask(admin, Method::PUT, "/log-level", filter).await);
    for refused in ["a=b=c", "trace", "info,h2=trace"] {
        assert_eq!(400, ask(admin, Method::PUT, "/log-level", refused).await.0, "{refused}");
    }
    assert_eq!((200, format!("{filter}\n")), ask(admin, Method::GET, "/log-level", "").await);
}

/// The process is ended by the admin port only where that is switched on.
#[tokio::test]
async fn shutdown_is_off_by_default() {
    let (admin, _) = start(false).await;
    assert_eq!(403, ask(admin, Method::POST, "/shutdown", "").await.0);
    let (admin, stop) = start(true).await;
    assert_eq!(405, ask(admin, Method::PUT, "/shutdown", "").await.0);
    assert_eq!(200, ask(admin, Method::POST, "/shutdown", "").await.0);
    stop.notified().await;
}

/// What `/ready` says of a proxy that no worker serves.
async fn ready(identity: Arc<Identity>) -> (u16, String) {
    let config = Config::parse([].into()).unwrap();
    let shared = Shared::new(config, identity, Discovery::new(vec![]), Arc::new(socket::original_dst));
    ask(serve(Arc::new(shared)).await.0, Method::GET, "/ready", "").await
}

/// Ready is who has a certificate and has heard of the control plane, and is not about to leave.
#[tokio::test]
async fn ready_means_ready() {
    let mesh = Mesh::start();
    let id = spiffe("shop", "web");
    assert_eq!((503, "no certificate yet\n".into()), ready(Identity::new(&id, "cluster.local")).await);
    let known = mesh.plane.identity.ca.identity(&id).unwrap();
    assert_eq!((503, "no word of the destination service yet\n".into()), ready(known).await);
    let pod = mesh.pod(2, "web");
    let (admin, _) = serve(pod.shared.clone()).await;
    pod.settled(async || ask(admin, Method::GET, "/ready", "").await.0 == 200).await;
    pod.shared.drain.start();
    assert_eq!((503, "ending\n".into()), ask(admin, Method::GET, "/ready", "").await);
}

/// What is held of each target is told with its version; "-" before the control plane has spoken of it.
#[tokio::test]
async fn what_is_held_is_told() {
    assert_eq!("- 0.0.0.0:1\n", Discovery::new(vec![]).held());
    let mesh = Mesh::start();
    let pod = mesh.pod(2, "web");
    let (admin, _) = serve(pod.shared.clone()).await;
    pod.settled(async || {
        let (status, held) = ask(admin, Method::GET, "/held", "").await;
        status == 200 && held.lines().any(|line| line.ends_with(" 0.0.0.0:1") && !line.starts_with('-'))
    })
    .await;
}
