//! The rules of a Service for its requests: which one holds, what it changes, where it leads.

use std::sync::Arc;
use std::time::Duration;

use http::header::{HeaderName, HeaderValue};
use http::uri::{Authority, Scheme};
use http::{Method, StatusCode};
use regex::bytes::Regex;

use super::ServicePort;

#[derive(Clone, Debug, Default)]
pub struct Route {
    /// Value of the `route` label.
    pub name: Arc<str>,
    /// Any of them; none: matches all requests.
    pub matches: Vec<RouteMatch>,
    /// In this order.
    pub filters: Vec<Filter>,
    /// None: the service itself.
    pub backends: Vec<WeightedBackend>,
    pub instead: Option<Instead>,
    /// Of the whole exchange.
    pub request_timeout: Timeout,
    /// Of one try, to the end of its response.
    pub backend_timeout: Option<Duration>,
    pub retry: Option<Retry>,
    /// Nothing is sent again, not even what reached nobody.
    pub single_try: bool,
    /// The first that matches says whether a response is a failure; none: the proxy's own classification.
    pub classes: Option<Arc<[ResponseClass]>>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Timeout {
    /// As the client's own settings say.
    #[default]
    Unsaid,
    Never,
    After(Duration),
}

impl Timeout {
    pub fn or(self, unsaid: Option<Duration>) -> Option<Duration> {
        match self {
            Self::Unsaid => unsaid,
            Self::Never => None,
            Self::After(limit) => Some(limit),
        }
    }
}

#[derive(Clone, Debug)]
pub struct RouteMatch {
    /// None: any.
    pub method: Option<Method>,
    pub path: PathMatch,
    /// All of them. A header that is repeated matches by any of its values.
    pub headers: Vec<ValueMatch<HeaderName>>,
    /// All of them; of a parameter that is repeated the first counts.
    pub queries: Vec<ValueMatch<String>>,
}

/// Paths are compared as they are sent, without query.
#[derive(Clone, Debug)]
pub enum PathMatch {
    Any,
    Exact(String),
    /// Whole segments, without a slash at the end; never empty.
    Prefix(String),
    /// Anchored at both ends.
    Regex(Regex),
}

#[derive(Clone, Debug)]
pub struct ValueMatch<Name> {
    pub name: Name,
    pub value: Pattern,
}

#[derive(Clone, Debug)]
pub enum Pattern {
    Exact(String),
    /// Anchored at both ends.
    Regex(Regex),
}

impl Pattern {
    pub fn fits(&self, value: &[u8]) -> bool {
        match self {
            Self::Exact(exact) => exact.as_bytes() == value,
            Self::Regex(regex) => regex.is_match(value),
        }
    }
}

#[derive(Clone, Debug)]
pub enum Filter {
    RequestHeaders(HeaderChange),
    ResponseHeaders(HeaderChange),
    Rewrite(Rewrite),
}

/// Never of a header that frames a message or names its host, or of the proxy's own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HeaderChange {
    pub set: Vec<(HeaderName, HeaderValue)>,
    pub add: Vec<(HeaderName, HeaderValue)>,
    pub remove: Vec<HeaderName>,
}

/// Sends the client elsewhere; what is none stays as the request's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redirect {
    pub status: StatusCode,
    pub scheme: Option<Scheme>,
    pub hostname: Option<String>,
    pub port: Option<u16>,
    pub path: Option<PathChange>,
}

/// Another host or path for the backend; what is none stays as the request's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rewrite {
    pub hostname: Option<Authority>,
    pub path: Option<PathChange>,
}

/// What takes the place of a path, whose query stays.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PathChange {
    Whole(String),
    /// Only the prefix that matched is replaced. Without a slash at the end.
    Prefix(String),
}

/// What a request gets instead of a backend's response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Instead {
    /// The rule cannot be followed.
    Answer {
        status: StatusCode,
        message: String,
    },
    Redirect(Redirect),
}

#[derive(Clone, Debug)]
pub struct WeightedBackend {
    pub weight: u32,
    pub goal: Goal,
}

#[derive(Clone, Debug)]
pub enum Goal {
    Service(ServicePort, Vec<Filter>),
    /// It does not exist, or sends elsewhere.
    Instead(Instead),
}

/// Statuses from `min` to `max`, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResponseClass {
    pub min: u16,
    pub max: u16,
    pub failure: bool,
}

/// What is retried, and how often, within the budget.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retry {
    /// HTTP statuses; neither these nor gRPC codes: failures.
    pub statuses: Vec<u16>,
    pub grpc_codes: Vec<u16>,
    /// Tries after the first.
    pub max_retries: u32,
    /// Before the first retry, doubled with each further one.
    pub backoff: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryBudget {
    /// Retries may add this share of the original requests, in thousandths.
    pub ratio_permille: u32,
    pub min_retries_per_second: u32,
    pub ttl: Duration,
}
