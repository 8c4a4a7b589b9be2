//! What an observer asks to see: any match is decided, and one that asks for nothing matches all.

use std::sync::LazyLock;
use std::time::{Duration, SystemTime};

use prost::Message;
use weft_api::tap::Match;
use weft_proxy::discovery::DstLabels;
use weft_proxy::tap::matching::matches;
use weft_proxy::tap::{Direction, Exchange, Outcome};

static EXCHANGE: LazyLock<Exchange> = LazyLock::new(|| Exchange {
    started: SystemTime::UNIX_EPOCH,
    direction: Direction::Inbound,
    source: ([10, 0, 0, 1], 1000).into(),
    destination: ([10, 0, 0, 2], 80).into(),
    tls: "true",
    peer_identity: None,
    method: http::Method::GET,
    uri: http::Uri::from_static("/cups?of=tea"),
    host: Some(http::HeaderValue::from_static("web")),
    version: http::Version::HTTP_11,
    status: Some(http::StatusCode::OK),
    grpc_status: None,
    outcome: Outcome::Success,
    latency: Duration::from_millis(20),
    duration: Duration::from_millis(30),
    request_bytes: 1,
    response_bytes: 2,
    route: None,
    dst: DstLabels::default().into(),
    request_headers: [(http::header::HOST, http::HeaderValue::from_static("web"))].into_iter().collect(),
    response_headers: http::HeaderMap::new(),
    error: None,
    audited: None,
});

pub fn check(message: &[u8]) {
    let Ok(wanted) = Match::decode(message) else { return };
    if wanted == Match::default() || !matches(&wanted, &EXCHANGE) {
        assert!(matches(&Match::default(), &EXCHANGE));
    }
}
