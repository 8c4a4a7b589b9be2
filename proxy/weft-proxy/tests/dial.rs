//! Connections to endpoints that do not come about.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::net::TcpListener;
use weft_proxy::balance::node::Node;
use weft_proxy::config::Config;
use weft_proxy::connect;
use weft_proxy::discovery::{Discovery, DstLabels, Endpoint};
use weft_proxy::identity::ALPN_TCP;
use weft_proxy::identity::testing::{Authority, spiffe};
use weft_proxy::metrics::Tls;
use weft_proxy::socket;
use weft_proxy::worker::{Shared, Worker};

/// A peer that takes the connection and says nothing has 3 s for its handshake.
#[tokio::test(start_paused = true)]
async fn handshakes_that_stall_are_given_up() {
    let identity = Authority::new().unwrap().identity(&spiffe("shop", "web")).unwrap();
    let config = Config::parse([].into()).unwrap();
    let original = Arc::new(socket::original_dst);
    let worker = Worker::new(Arc::new(Shared::new(config, identity, Discovery::new(vec![]), original)), 1);
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = Endpoint {
        addr: silent.local_addr().unwrap(),
        weight: 1,
        identity: Some(spiffe("shop", "api").into()),
        zone: "".into(),
        labels: Arc::new(DstLabels::default()),
    };
    let node = Node::new(Arc::new(endpoint), Tls::True, Duration::from_millis(1), None, Instant::now());
    let began = tokio::time::Instant::now();
    let error = connect::open(&worker, &node, ALPN_TCP, None).await.err().unwrap().to_string();
    assert!(error.starts_with("E106 ") && error.ends_with(": no answer in time"), "{error}");
    assert_eq!(3, began.elapsed().as_secs());
}
