//! An exchange as the message of `tap/v1`; formatted only for who observes.

use std::time::{Duration, UNIX_EPOCH};

use http::{HeaderMap, Version};
use weft_api::tap::{self as api, Event, Header};

use super::Captured;
use super::exchange::{CONNECTION, Direction, Exchange, Outcome};

pub fn event(captured: &Captured, skipped: u64) -> Event {
    let e = &captured.exchange;
    let is_http = e.method.as_str() != CONNECTION;
    Event {
        id: captured.id,
        started_us: micros(e.started.duration_since(UNIX_EPOCH).unwrap_or_default()),
        direction: direction(e.direction).into(),
        source: e.source.to_string(),
        destination: e.destination.to_string(),
        tls: e.tls.to_owned(),
        peer_identity: e.peer_identity.as_deref().unwrap_or_default().to_owned(),
        method: e.method.to_string(),
        scheme: e.uri.scheme_str().unwrap_or(if is_http { "http" } else { "" }).to_owned(),
        authority: e.authority(),
        path: if is_http { e.uri.path_and_query().map_or("/", |path| path.as_str()) } else { "" }.to_owned(),
        version: if is_http { version(e.version) } else { "" }.to_owned(),
        status: e.status.map_or(0, |s| s.as_u16().into()),
        grpc_status: e.grpc_status.map_or(-1, i32::from),
        result: result(e.outcome).into(),
        latency_us: micros(e.latency),
        duration_us: micros(e.duration),
        request_bytes: e.request_bytes,
        response_bytes: e.response_bytes,
        route: e.route.as_deref().unwrap_or_default().to_owned(),
        dst_namespace: e.dst.namespace.clone(),
        dst_service: e.dst.service.clone(),
        dst_workload_kind: e.dst.workload_kind.clone(),
        dst_workload: e.dst.workload.clone(),
        dst_pod: e.dst.pod.clone(),
        request_headers: headers(&e.request_headers),
        response_headers: headers(&e.response_headers),
        error: e.error.clone().unwrap_or_default(),
        skipped,
        audited: e.audited.as_deref().unwrap_or_default().to_owned(),
    }
}

impl Exchange {
    /// From the request line, else from the Host header.
    pub fn authority(&self) -> String {
        let host = || self.host.as_ref().map(|host| String::from_utf8_lossy(host.as_bytes()).into_owned());
        self.uri.authority().map_or_else(|| host().unwrap_or_default(), ToString::to_string)
    }
}

fn micros(duration: Duration) -> u64 {
    duration.as_micros().try_into().unwrap_or(u64::MAX)
}

fn direction(direction: Direction) -> api::Direction {
    match direction {
        Direction::Inbound => api::Direction::Inbound,
        Direction::Outbound => api::Direction::Outbound,
    }
}

fn result(outcome: Outcome) -> api::Result {
    match outcome {
        Outcome::Success => api::Result::Success,
        Outcome::Failure => api::Result::Failure,
        Outcome::Cancelled => api::Result::Cancelled,
    }
}

fn version(version: Version) -> &'static str {
    match version {
        Version::HTTP_09 => "HTTP/0.9",
        Version::HTTP_10 => "HTTP/1.0",
        Version::HTTP_11 => "HTTP/1.1",
        Version::HTTP_2 => "HTTP/2",
        _ => "HTTP/3",
    }
}

fn headers(map: &HeaderMap) -> Vec<Header> {
    let header = |(name, value): (&http::HeaderName, &http::HeaderValue)| Header {
        name: name.to_string(),
        value: String::from_utf8_lossy(value.as_bytes()).into_owned(),
    };
    map.iter().map(header).collect()
}
