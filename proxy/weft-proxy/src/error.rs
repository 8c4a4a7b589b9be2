//! What can go wrong on the data path: a stable code, a cause in words, and how a client is told.

use std::fmt;
use std::time::Duration;

/// Stable codes: part of `weft-error`, of the body and of `weft_proxy_errors_total{code}`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Code {
    NoRoute,
    Unknown,
    Connect,
    NoEndpoints,
    Timeout,
    Tls,
    Loop,
    Protocol,
    Overloaded,
    /// The connection went away after the request may have been seen, before any response byte.
    Lost,
    /// The request itself is at fault.
    Request,
    /// The route cannot be followed as it is written.
    Route,
    /// A policy of this pod does not let the client do this.
    Denied,
    /// The client comes too often.
    Limited,
    /// Who may come in is not known yet.
    NoPolicy,
    /// A policy of this pod does not let it leave the mesh.
    Egress,
}

impl Code {
    pub const ALL: [Code; 16] = [
        Code::NoRoute,
        Code::Unknown,
        Code::Connect,
        Code::NoEndpoints,
        Code::Timeout,
        Code::Tls,
        Code::Loop,
        Code::Protocol,
        Code::Overloaded,
        Code::Lost,
        Code::Request,
        Code::Route,
        Code::Denied,
        Code::Limited,
        Code::NoPolicy,
        Code::Egress,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Code::NoRoute => "E101",
            Code::Unknown => "E102",
            Code::Connect => "E103",
            Code::NoEndpoints => "E104",
            Code::Timeout => "E105",
            Code::Tls => "E106",
            Code::Loop => "E107",
            Code::Protocol => "E108",
            Code::Overloaded => "E110",
            Code::Lost => "E111",
            Code::Request => "E112",
            Code::Route => "E113",
            Code::Denied => "E114",
            Code::Limited => "E115",
            Code::NoPolicy => "E116",
            Code::Egress => "E117",
        }
    }

    /// The HTTP status of a response that the proxy makes itself.
    pub fn status(self) -> http::StatusCode {
        match self {
            Code::NoEndpoints | Code::Unknown | Code::Overloaded | Code::NoPolicy => {
                http::StatusCode::SERVICE_UNAVAILABLE
            }
            Code::Timeout => http::StatusCode::GATEWAY_TIMEOUT,
            Code::NoRoute => http::StatusCode::NOT_FOUND,
            Code::Route => http::StatusCode::INTERNAL_SERVER_ERROR,
            Code::Request => http::StatusCode::BAD_REQUEST,
            Code::Denied | Code::Egress => http::StatusCode::FORBIDDEN,
            Code::Limited => http::StatusCode::TOO_MANY_REQUESTS,
            _ => http::StatusCode::BAD_GATEWAY,
        }
    }

    /// The gRPC status of such a response: INVALID_ARGUMENT, DEADLINE_EXCEEDED, PERMISSION_DENIED, RESOURCE_EXHAUSTED,
    /// UNIMPLEMENTED or UNAVAILABLE.
    pub fn grpc_status(self) -> u16 {
        match self {
            Code::Request => 3,
            Code::Timeout => 4,
            Code::Denied | Code::Egress => 7,
            Code::Limited => 8,
            Code::NoRoute => 12,
            _ => 14,
        }
    }

    /// Whether the request may be sent elsewhere, whatever its method: the application certainly has not seen it, and
    /// another one would not refuse it alike.
    pub fn is_undelivered(self) -> bool {
        use Code::*;
        !matches!(self, Timeout | Protocol | Lost | Request | Denied | Limited | Egress)
    }

    /// The code that a `weft-error` header begins with.
    pub fn parse(header: &[u8]) -> Option<Code> {
        Code::ALL.into_iter().find(|c| header.starts_with(c.as_str().as_bytes()))
    }
}

/// One failure, as it is logged, counted and told to the client: `E104 no ready endpoints of svc/web.shop:80`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    pub code: Code,
    pub cause: String,
    /// When to try again.
    pub retry_after: Option<Duration>,
    /// It came of a connection that had been used before: the server may have closed it without a look at the request.
    pub reused: bool,
}

impl Error {
    pub fn new(code: Code, cause: impl Into<String>) -> Self {
        Self { code, cause: cause.into(), retry_after: None, reused: false }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.code.as_str(), self.cause)
    }
}

impl std::error::Error for Error {}

#[cfg(test)]
mod tests {
    use super::*;

    /// A code survives the header it is told in, for a peer proxy to read back.
    #[test]
    fn codes_read_back() {
        for code in Code::ALL {
            assert_eq!(Some(code), Code::parse(Error::new(code, "some cause").to_string().as_bytes()));
        }
    }

    /// Only what surely was not delivered may be sent again whatever the method, and what was forbidden never.
    #[test]
    fn lost_and_refused_requests_stay_so() {
        let seen: Vec<_> = Code::ALL.into_iter().filter(|c| !c.is_undelivered()).map(Code::as_str).collect();
        assert_eq!(vec!["E105", "E108", "E111", "E112", "E114", "E115", "E117"], seen);
    }
}
