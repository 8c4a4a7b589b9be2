//! The ring buffer: bounded, redacted, and complete for who observes.

use std::time::{Duration, SystemTime};

use http::{HeaderMap, HeaderValue, Method, StatusCode, Version};

use super::*;

/// An exchange as an HTTP/1 client makes it.
pub fn exchange(path: &str, status: u16) -> Exchange {
    let mut request_headers = HeaderMap::new();
    request_headers.insert("host", HeaderValue::from_static("web.shop"));
    request_headers.insert("authorization", HeaderValue::from_static("Bearer secret"));
    Exchange {
        started: SystemTime::now(),
        direction: Direction::Inbound,
        source: "10.0.0.1:1000".parse().unwrap(),
        destination: "10.0.0.2:80".parse().unwrap(),
        tls: "true",
        peer_identity: Some("spiffe://cluster.local/ns/shop/sa/api".into()),
        method: Method::GET,
        uri: path.parse().unwrap(),
        host: Some(HeaderValue::from_static("web.shop")),
        version: Version::HTTP_11,
        status: Some(StatusCode::from_u16(status).unwrap()),
        grpc_status: None,
        outcome: Outcome::Success,
        latency: Duration::from_millis(20),
        duration: Duration::from_millis(30),
        request_bytes: 1,
        response_bytes: 2,
        route: None,
        dst: Arc::default(),
        request_headers,
        response_headers: HeaderMap::new(),
        error: None,
        audited: None,
    }
}

fn ids(captured: &[Arc<Captured>]) -> Vec<u64> {
    captured.iter().map(|captured| captured.id).collect()
}

#[test]
fn the_newest_exchanges_are_kept_up_to_a_number() {
    let ring = Ring::new();
    let numbers: Vec<u64> = (0..RING_ENTRIES + 3).map(|_| ring.record(exchange("/", 200))).collect();
    let (last, _observer) = ring.observe();
    assert_eq!(numbers[3..], ids(&last));
}

#[test]
fn long_exchanges_push_out_more_of_the_old_ones() {
    let ring = Ring::new();
    let long = format!("/{}", "x".repeat(RING_BYTES / 8));
    for _ in 0..20 {
        ring.record(exchange(&long, 200));
    }
    let (last, _observer) = ring.observe();
    assert!((1..8).contains(&last.len()), "{}", last.len());
    assert_eq!(20, *ids(&last).last().unwrap());
}

#[test]
fn an_observer_sees_each_exchange_once_the_kept_and_the_following() {
    let ring = Ring::new();
    ring.record(exchange("/", 200));
    assert!(!ring.wanted());
    let (last, mut observer) = ring.observe();
    assert!(ring.wanted());
    ring.record(exchange("/", 200));
    assert_eq!(vec![1], ids(&last));
    assert_eq!(2, observer.live.try_recv().unwrap().id);
    assert!(observer.live.try_recv().is_err());
    drop(observer);
    assert!(!ring.wanted());
}

#[test]
fn secrets_are_gone_before_anything_is_kept() {
    let ring = Ring::new();
    ring.record(exchange("/", 200));
    let (last, _observer) = ring.observe();
    assert_eq!("[redacted]", last[0].exchange.request_headers["authorization"]);
}

#[test]
fn all_conditions_of_a_match_must_hold() {
    use weft_api::tap::Match;
    let mut seen = exchange("/menu/tea?x=1", 503);
    seen.response_headers.insert("retry-after", HeaderValue::from_static("5"));
    let holds = |wanted: Match| super::matching::matches(&wanted, &seen);
    assert!(holds(Match::default()));
    assert!(holds(Match {
        path_prefix: "/menu".into(),
        min_status: 500,
        max_status: 599,
        ..Match::default()
    }));
    assert!(holds(Match { authority: "web.shop".into(), min_latency_us: 20_000, ..Match::default() }));
    assert!(holds(Match { header_name: "Host".into(), header_value: "web.shop".into(), ..Match::default() }));
    let peer = "spiffe://cluster.local/ns/shop/sa/api";
    assert!(holds(Match { method: "GET".into(), peer_identity: peer.into(), ..Match::default() }));
    assert!(holds(Match { header_name: "host".into(), ..Match::default() }));
    assert!(holds(Match { header_name: "retry-after".into(), header_value: "5".into(), ..Match::default() }));
    assert!(holds(Match { min_status: 503, max_status: 503, ..Match::default() }));
    assert!(!holds(Match { min_status: 504, ..Match::default() }));
    assert!(!holds(Match { header_name: "cookie".into(), ..Match::default() }));
    assert!(!holds(Match {
        header_name: "retry-after".into(),
        header_value: "6".into(),
        ..Match::default()
    }));
    assert!(!holds(Match { method: "get".into(), ..Match::default() }));
    assert!(!holds(Match { authority: "web".into(), ..Match::default() }));
    assert!(!holds(Match { peer_identity: format!("{peer}x"), ..Match::default() }));
    assert!(!holds(Match { path_prefix: "/menu".into(), max_status: 499, ..Match::default() }));
    assert!(!holds(Match { min_latency_us: 20_001, ..Match::default() }));
    assert!(!holds(Match { header_name: "host".into(), header_value: "other".into(), ..Match::default() }));
    assert!(!holds(Match { direction: weft_api::tap::Direction::Outbound.into(), ..Match::default() }));
    assert!(!holds(Match { dst_workload: "web".into(), ..Match::default() }));
}
