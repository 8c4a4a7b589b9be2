//! What an observer asks to see: any match is decided as the contract says.

use std::sync::LazyLock;
use std::time::{Duration, SystemTime};

use prost::Message;
use weft_api::tap::Match;
use weft_proxy::discovery::DstLabels;
use weft_proxy::tap::matching::matches;
use weft_proxy::tap::{Direction, Exchange, Outcome};

const PEER: &str = "spiffe://cluster.local/ns/shop/sa/web";

static EXCHANGE: LazyLock<Exchange> = LazyLock::new(|| Exchange {
    started: SystemTime::UNIX_EPOCH,
    direction: Direction::Inbound,
    source: ([10, 0, 0, 1], 1000).into(),
    destination: ([10, 0, 0, 2], 80).into(),
    tls: "true",
    peer_identity: Some(PEER.into()),
    method: http::Method::GET,
    uri: http::Uri::from_static("/cups?of=tea"),
    host: Some(http::HeaderValue::from_static("web")),
    version: http::Version::HTTP_11,
    status: Some(http::StatusCode::NOT_FOUND),
    grpc_status: None,
    outcome: Outcome::Success,
    latency: Duration::from_millis(20),
    duration: Duration::from_millis(30),
    request_bytes: 1,
    response_bytes: 2,
    route: None,
    dst: DstLabels { namespace: "shop".into(), ..DstLabels::default() }.into(),
    request_headers: [(http::header::HOST, http::HeaderValue::from_static("web"))].into_iter().collect(),
    response_headers: [(http::header::SERVER, http::HeaderValue::from_static("tea"))].into_iter().collect(),
    error: None,
    audited: None,
});

pub fn check(message: &[u8]) {
    let Ok(wanted) = Match::decode(message) else { return };
    let failing = failing(&wanted);
    assert_eq!(failing.is_none(), matches(&wanted, &EXCHANGE), "{failing:?} of {wanted:?}");
}

/// The first condition, of those that are set, that `EXCHANGE` is against; said once more, from proto/tap/v1/tap.proto.
fn failing(wanted: &Match) -> Option<&'static str> {
    let texts = [
        ("method", &wanted.method, "GET"),
        ("authority", &wanted.authority, "web"),
        ("peer_identity", &wanted.peer_identity, PEER),
        ("dst_namespace", &wanted.dst_namespace, "shop"),
        ("dst_workload_kind", &wanted.dst_workload_kind, ""),
        ("dst_workload", &wanted.dst_workload, ""),
        ("dst_service", &wanted.dst_service, ""),
    ];
    let text =
        texts.into_iter().find(|(_, wanted, is)| !wanted.is_empty() && wanted != is).map(|(name, ..)| name);
    let header = match (wanted.header_name.to_ascii_lowercase().as_str(), wanted.header_value.as_str()) {
        ("", _) | ("host", "" | "web") | ("server", "" | "tea") => None,
        _ => Some("header"),
    };
    let others = [
        ("direction", ![0, weft_api::tap::Direction::Inbound as i32].contains(&wanted.direction)),
        ("path_prefix", !"/cups".starts_with(&wanted.path_prefix)),
        ("min_status", wanted.min_status > 404),
        ("max_status", (1..404).contains(&wanted.max_status)),
        ("min_latency_us", wanted.min_latency_us > 20_000),
    ];
    text.or(header).or_else(|| others.into_iter().find(|(_, fails)| *fails).map(|(name, _)| name))
}
