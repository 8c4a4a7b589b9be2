//! Whether an exchange is what an observer asked for; decided after the response, so status and latency count too.

use http::HeaderMap;
use weft_api::tap::Match;

use super::exchange::{Direction, Exchange};

/// All conditions that are set must hold.
pub fn matches(wanted: &Match, exchange: &Exchange) -> bool {
    let status = exchange.status.map_or(0, |s| u32::from(s.as_u16()));
    let direction = match exchange.direction {
        Direction::Inbound => weft_api::tap::Direction::Inbound,
        Direction::Outbound => weft_api::tap::Direction::Outbound,
    };
    (wanted.direction == 0 || wanted.direction == direction as i32)
        && same(&wanted.method, exchange.method.as_str())
        && exchange.uri.path().starts_with(&wanted.path_prefix)
        && same(&wanted.authority, &exchange.authority())
        && status >= wanted.min_status
        && (wanted.max_status == 0 || status <= wanted.max_status)
        && exchange.latency.as_micros() >= wanted.min_latency_us.into()
        && header(wanted, &exchange.request_headers, &exchange.response_headers)
        && same(&wanted.peer_identity, exchange.peer_identity.as_deref().unwrap_or_default())
        && same(&wanted.dst_namespace, &exchange.dst.namespace)
        && same(&wanted.dst_workload_kind, &exchange.dst.workload_kind)
        && same(&wanted.dst_workload, &exchange.dst.workload)
        && same(&wanted.dst_service, &exchange.dst.service)
}

fn same(wanted: &str, actual: &str) -> bool {
    wanted.is_empty() || wanted == actual
}

/// In the request or in the response.
fn header(wanted: &Match, request: &HeaderMap, response: &HeaderMap) -> bool {
    let name = wanted.header_name.as_str();
    let value = wanted.header_value.as_bytes();
    let found = |map: &HeaderMap| map.get_all(name).iter().any(|v| value.is_empty() || v.as_bytes() == value);
    name.is_empty() || found(request) || found(response)
}
