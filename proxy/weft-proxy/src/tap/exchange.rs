//! One request and its response, as cheap to record as possible: shared strings, header maps by value.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use http::uri::{Authority, Parts, PathAndQuery};
use http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, Version};

use crate::discovery::DstLabels;

/// The method of what is no request: a connection that a policy denied, or would deny.
pub const CONNECTION: &str = "TCP";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    Inbound,
    Outbound,
}

impl Direction {
    /// As metrics and logs name it.
    pub fn as_str(self) -> &'static str {
        match self {
            Direction::Inbound => "inbound",
            Direction::Outbound => "outbound",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Success,
    Failure,
    Cancelled,
}

/// One exchange, complete. Every part is moved or shared, nothing is formatted here.
#[derive(Clone, Debug)]
pub struct Exchange {
    pub started: SystemTime,
    pub direction: Direction,
    pub source: SocketAddr,
    pub destination: SocketAddr,
    /// "true", or why there is no mesh TLS (the `tls` label of the metrics).
    pub tls: &'static str,
    pub peer_identity: Option<Arc<str>>,
    pub method: Method,
    /// Path and query; authority and scheme too when the request line had them (HTTP/2).
    pub uri: Uri,
    /// The Host header, when the request line named no authority.
    pub host: Option<HeaderValue>,
    /// As the application spoke it.
    pub version: Version,
    /// None: the client went away before there was one.
    pub status: Option<StatusCode>,
    /// None: not a gRPC exchange, or it ended without one.
    pub grpc_status: Option<u16>,
    pub outcome: Outcome,
    /// To the response's head.
    pub latency: Duration,
    /// To the response's end.
    pub duration: Duration,
    pub request_bytes: u64,
    pub response_bytes: u64,
    /// Empty when no route matched.
    pub route: Option<Arc<str>>,
    pub dst: Arc<DstLabels>,
    /// The caller clones these only while `Ring::wanted()`; secrets are redacted on recording.
    pub request_headers: HeaderMap,
    pub response_headers: HeaderMap,
    /// "E104 no ready endpoints of svc/x" when the proxy made the response.
    pub error: Option<String>,
    /// The rule or default that would have denied it, were drafts in audit enforced.
    pub audited: Option<Arc<str>>,
}

impl Exchange {
    /// About what it takes of memory.
    pub fn size(&self) -> usize {
        let uri = self.uri.path().len() + self.uri.query().map_or(0, str::len);
        let host = self.host.as_ref().map_or(0, HeaderValue::len);
        let error = self.error.as_ref().map_or(0, String::len);
        let headers =
            |map: &HeaderMap| map.iter().map(|(k, v)| k.as_str().len() + v.len() + 64).sum::<usize>();
        size_of::<Self>()
            + uri
            + host
            + error
            + headers(&self.request_headers)
            + headers(&self.response_headers)
    }
}

/// The same without the memory around it: a request's URI is a part of all that was read with it.
pub fn compact(uri: &Uri) -> Uri {
    let mut parts = Parts::default();
    parts.scheme = uri.scheme().cloned();
    parts.authority = uri.authority().and_then(|authority| Authority::try_from(authority.as_str()).ok());
    parts.path_and_query = uri.path_and_query().and_then(|path| PathAndQuery::try_from(path.as_str()).ok());
    Uri::from_parts(parts).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whatever a request line can hold stays as it is.
    #[test]
    fn compact_uris_are_the_same() {
        for uri in ["/a/b?c=d", "*", "http://shop:8080/x?y", "http://shop", "db.shop:5432", "/%ff?"] {
            let uri: Uri = uri.parse().unwrap();
            assert_eq!(uri, compact(&uri));
        }
    }
}
