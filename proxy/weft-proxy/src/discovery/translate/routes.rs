//! Routes from their messages. One that cannot be followed as it is meant answers instead of doing half of it.

use std::time::Duration;

use http::header::{self, HeaderName, HeaderValue};
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{Method, StatusCode};
use regex::bytes::{Regex, RegexBuilder};
use weft_api::discovery as api;

use super::decode_service;
use crate::discovery::model::{
    Filter, Goal, HeaderChange, Instead, PathChange, PathMatch, Pattern, Redirect, ResponseClass, Retry,
    Rewrite, Route, RouteMatch, Timeout, ValueMatch, WeightedBackend,
};

/// Compiled size that one expression may have.
const REGEX_LIMIT: usize = 256 * 1024;
/// Retries of a route that only says that it may be retried.
const MAX_RETRIES: u32 = 3;
/// What `http` can hold in a URI, less room for the rest of it.
const MAX_PATH: usize = 32 * 1024;
/// They frame a message, belong to one connection or say where a request goes; beside them all of the proxy's own.
const UNTOUCHABLE: [HeaderName; 8] = [
    header::CONNECTION,
    header::CONTENT_LENGTH,
    header::EXPECT,
    header::HOST,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];
const UNTOUCHABLE_BY_NAME: [&str; 2] = ["keep-alive", "proxy-connection"];

/// Why a part of a route makes no sense.
type Fault = String;

/// None: what it matches cannot be told; without that it would match too much.
pub fn route(message: api::Route) -> Option<Route> {
    let matches: Result<Vec<_>, Fault> = message.matches.into_iter().map(route_match).collect();
    let matches =
        matches.inspect_err(|error| tracing::warn!(route = message.name, %error, "route left out")).ok()?;
    let (filters, instead) = followed(message.filters, message.answer);
    let classes: Vec<_> = message.response_classes.iter().filter_map(response_class).collect();
    Some(Route {
        matches,
        filters,
        backends: message.backends.into_iter().map(backend).collect(),
        instead,
        request_timeout: match duration(message.request_timeout_ms) {
            Some(limit) => Timeout::After(limit),
            None if message.no_request_timeout => Timeout::Never,
            None => Timeout::Unsaid,
        },
        backend_timeout: duration(message.backend_timeout_ms),
        retry: message.retryable.then(|| retry(message.retry)),
        single_try: message.single_try,
        classes: (!classes.is_empty()).then(|| classes.into()),
        name: message.name.into(),
    })
}

/// Zero milliseconds: none.
fn duration(ms: u32) -> Option<Duration> {
    (ms > 0).then(|| Duration::from_millis(ms.into()))
}

fn route_match(message: api::RouteMatch) -> Result<RouteMatch, Fault> {
    let method = (!message.method.is_empty()).then(|| Method::from_bytes(message.method.as_bytes()));
    Ok(RouteMatch {
        method: method.transpose().map_err(|e| e.to_string())?,
        headers: message
            .headers
            .iter()
            .map(|m| value_match(m, header_name(&m.name)?))
            .collect::<Result<_, _>>()?,
        queries: message.queries.iter().map(|m| value_match(m, m.name.clone())).collect::<Result<_, _>>()?,
        path: path_match(message.path_exact, message.path_prefix, message.path_regex)?,
    })
}

fn path_match(exact: String, prefix: String, regex: String) -> Result<PathMatch, Fault> {
    match (exact.as_str(), prefix.as_str(), regex.as_str()) {
        ("", "", "") | ("", "/", "") => Ok(PathMatch::Any),
        (_, "", "") => Ok(PathMatch::Exact(exact)),
        ("", _, "") => Ok(PathMatch::Prefix(prefix.strip_suffix('/').unwrap_or(&prefix).to_owned())),
        ("", "", _) => whole(&regex).map(PathMatch::Regex),
        _ => Err("a path is matched in one way only".to_owned()),
    }
}

fn value_match<Name>(message: &api::ValueMatch, name: Name) -> Result<ValueMatch<Name>, Fault> {
    let value = message.value.clone();
    let value = if message.regex { Pattern::Regex(whole(&value)?) } else { Pattern::Exact(value) };
    Ok(ValueMatch { name, value })
}

fn header_name(name: &str) -> Result<HeaderName, Fault> {
    HeaderName::from_bytes(name.as_bytes()).map_err(|e| format!("header {name:?}: {e}"))
}

/// Paths are ASCII (other characters are percent-encoded), so classes are ASCII's: a Unicode `\w` takes 52 KB,
/// this one 96 bytes. sp-validator lets in only what fits the limit.
fn whole(expression: &str) -> Result<Regex, Fault> {
    let mut builder = RegexBuilder::new(&format!("^(?:{expression})$"));
    builder.unicode(false).size_limit(REGEX_LIMIT).build().map_err(|e| e.to_string())
}

fn backend(message: api::WeightedBackend) -> WeightedBackend {
    let (filters, instead) = followed(message.filters, message.answer);
    let service = message.service.as_ref().and_then(decode_service);
    let goal = match (instead, service) {
        (Some(instead), _) => Goal::Instead(instead),
        (None, Some(service)) => Goal::Service(service, filters),
        (None, None) => Goal::Instead(answer(500, "a backend of the route names no Service".to_owned())),
    };
    WeightedBackend { weight: message.weight, goal }
}

fn response_class(message: &api::ResponseClass) -> Option<ResponseClass> {
    let (min, max) = (message.min_status.try_into().ok()?, message.max_status.try_into().ok()?);
    Some(ResponseClass { min, max, failure: message.failure })
}

fn retry(message: Option<api::Retry>) -> Retry {
    let codes = |codes: Vec<u32>| codes.into_iter().filter_map(|code| code.try_into().ok()).collect();
    let message = message.unwrap_or(api::Retry { max_retries: MAX_RETRIES, ..Default::default() });
    Retry {
        statuses: codes(message.statuses),
        grpc_codes: codes(message.grpc_codes),
        max_retries: message.max_retries.max(1),
        backoff: Duration::from_millis(message.backoff_ms.into()),
    }
}

/// What the filters do, or what happens instead: one of them may redirect, or make no sense.
fn followed(messages: Vec<api::Filter>, told: Option<api::Answer>) -> (Vec<Filter>, Option<Instead>) {
    if let Some(told) = told {
        return (Vec::new(), Some(answer(told.status, told.message)));
    }
    let (mut filters, mut instead) = (Vec::new(), None);
    for message in messages {
        match filter(message) {
            Ok(Followed::Change(filter)) => filters.push(filter),
            Ok(Followed::Redirect(redirect)) => instead = instead.or(Some(Instead::Redirect(redirect))),
            Err(fault) => {
                return (Vec::new(), Some(answer(500, format!("a filter that cannot be followed: {fault}"))));
            }
        }
    }
    (filters, instead)
}

fn answer(status: u32, message: String) -> Instead {
    let status = u16::try_from(status).ok().and_then(|status| StatusCode::from_u16(status).ok());
    Instead::Answer { status: status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), message }
}

enum Followed {
    Change(Filter),
    Redirect(Redirect),
}

fn filter(message: api::Filter) -> Result<Followed, Fault> {
    use api::filter::Kind;
    Ok(match message.kind {
        Some(Kind::RequestHeaders(change)) => {
            Followed::Change(Filter::RequestHeaders(header_change(change)?))
        }
        Some(Kind::ResponseHeaders(change)) => {
            Followed::Change(Filter::ResponseHeaders(header_change(change)?))
        }
        Some(Kind::Rewrite(message)) => Followed::Change(Filter::Rewrite(rewrite(message)?)),
        Some(Kind::Redirect(message)) => Followed::Redirect(redirect(message)?),
        None => return Err("this proxy does not know it".to_owned()),
    })
}

fn header_change(message: api::HeaderChange) -> Result<HeaderChange, Fault> {
    let names = message.remove.iter().map(|name| changeable(name));
    Ok(HeaderChange {
        set: headers(message.set)?,
        add: headers(message.add)?,
        remove: names.filter_map(Result::transpose).collect::<Result<_, _>>()?,
    })
}

fn headers(messages: Vec<api::Header>) -> Result<Vec<(HeaderName, HeaderValue)>, Fault> {
    let mut headers = Vec::with_capacity(messages.len());
    for message in messages {
        let value =
            HeaderValue::try_from(&message.value).map_err(|e| format!("header {}: {e}", message.name))?;
        headers.extend(changeable(&message.name)?.map(|name| (name, value)));
    }
    Ok(headers)
}

/// None: no filter may change it. The control plane has told so.
fn changeable(name: &str) -> Result<Option<HeaderName>, Fault> {
    if name.starts_with(':') {
        return Ok(None);
    }
    let name = header_name(name)?;
    let reserved = UNTOUCHABLE_BY_NAME.contains(&name.as_str()) || name.as_str().starts_with("weft-");
    Ok((!reserved && !UNTOUCHABLE.contains(&name)).then_some(name))
}

fn redirect(message: api::Redirect) -> Result<Redirect, Fault> {
    let text = |text: String| (!text.is_empty()).then_some(text);
    let hostname = text(message.hostname);
    if let Some(hostname) = &hostname {
        authority(hostname)?;
    }
    let status = match message.status {
        0 => StatusCode::FOUND,
        301 | 302 | 303 | 307 | 308 => {
            StatusCode::from_u16(message.status as u16).map_err(|e| e.to_string())?
        }
        other => return Err(format!("status {other} is none of redirects")),
    };
    Ok(Redirect {
        status,
        scheme: text(message.scheme)
            .map(|s| Scheme::try_from(s.as_str()))
            .transpose()
            .map_err(|e| e.to_string())?,
        hostname,
        port: match message.port {
            0 => None,
            port => Some(port.try_into().map_err(|_| format!("port {port}"))?),
        },
        path: message.path.map(path_change).transpose()?,
    })
}

fn rewrite(message: api::Rewrite) -> Result<Rewrite, Fault> {
    let hostname = (!message.hostname.is_empty()).then(|| authority(&message.hostname));
    Ok(Rewrite { hostname: hostname.transpose()?, path: message.path.map(path_change).transpose()? })
}

fn authority(hostname: &str) -> Result<Authority, Fault> {
    Authority::try_from(hostname).map_err(|e| format!("hostname {hostname:?}: {e}"))
}

fn path_change(message: api::PathChange) -> Result<PathChange, Fault> {
    let value = message.value;
    let odd =
        !(value.is_empty() || value.starts_with('/')) || value.len() > MAX_PATH || value.contains(['?', '#']);
    if odd || !value.is_empty() && PathAndQuery::try_from(value.as_str()).is_err() {
        return Err(format!("path {value:?}"));
    }
    Ok(match (message.prefix, value.as_str()) {
        (true, _) => PathChange::Prefix(value.strip_suffix('/').unwrap_or(&value).to_owned()),
        (false, "") => PathChange::Whole("/".to_owned()),
        (false, _) => PathChange::Whole(value),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matching(rule: api::RouteMatch) -> Option<Route> {
        route(api::Route { matches: vec![rule], ..Default::default() })
    }

    fn with(kind: api::filter::Kind) -> Route {
        let filters = vec![api::Filter { kind: Some(kind) }];
        route(api::Route { filters, ..Default::default() }).unwrap()
    }

    /// Expressions are of the whole path.
    #[test]
    fn path_expressions_match_the_whole_path() {
        let rule = path_match(String::new(), String::new(), "/a|/b/[^/]+".into()).unwrap();
        let PathMatch::Regex(regex) = rule else { panic!("{rule:?}") };
        let fits = ["/a", "/b/1", "/a/x", "/x/a"].map(|path| regex.is_match(path.as_bytes()));
        assert_eq!([true, true, false, false], fits);
    }

    /// What cannot be matched is left out: it would match too much, or nothing that was meant.
    #[test]
    fn a_route_with_a_broken_match_is_left_out() {
        let regex = |name: &str| api::ValueMatch { name: name.into(), value: "(".into(), regex: true };
        let two = api::RouteMatch { path_exact: "/".into(), path_regex: "/".into(), ..Default::default() };
        for broken in [
            api::RouteMatch { path_regex: "(".into(), ..Default::default() },
            api::RouteMatch { headers: vec![regex("h")], ..Default::default() },
            api::RouteMatch { queries: vec![regex("q")], ..Default::default() },
            api::RouteMatch { method: "G T".into(), ..Default::default() },
            two,
        ] {
            assert!(matching(broken.clone()).is_none(), "{broken:?}");
        }
    }

    /// The prefix of all paths is any path, and a slash at the end of others counts for nothing.
    #[test]
    fn prefixes_end_without_slash() {
        let path = |prefix: &str| format!("{:?}", path_match("".into(), prefix.into(), "".into()).unwrap());
        assert_eq!(
            ["Any", "Prefix(\"/a\")", "Prefix(\"/a\")"],
            ["/", "/a", "/a/"].map(path).each_ref().map(|s| &**s)
        );
    }

    /// No filter touches what frames a message, names its host, or is the proxy's own to say.
    #[test]
    fn reserved_headers_are_left_alone() {
        let names = [
            "Host",
            ":authority",
            "content-length",
            "Transfer-Encoding",
            "connection",
            "keep-alive",
            "te",
            "upgrade",
            "trailer",
            "expect",
            "proxy-connection",
            "weft-client-id",
            "Weft-Error",
            "x-mine",
        ];
        let header = |name: &&str| api::Header { name: (*name).to_owned(), value: "v".into() };
        let change = api::HeaderChange {
            set: names.iter().map(header).collect(),
            add: names.iter().map(header).collect(),
            remove: names.map(str::to_owned).into(),
        };
        let mine = (HeaderName::from_static("x-mine"), HeaderValue::from_static("v"));
        let expected =
            HeaderChange { set: vec![mine.clone()], add: vec![mine.clone()], remove: vec![mine.0] };
        for kind in
            [api::filter::Kind::RequestHeaders(change.clone()), api::filter::Kind::ResponseHeaders(change)]
        {
            let route = with(kind);
            let [Filter::RequestHeaders(change) | Filter::ResponseHeaders(change)] = &route.filters[..]
            else {
                panic!("{route:?}")
            };
            assert_eq!(&expected, change);
        }
    }

    /// Half a route is none: where a filter makes no sense, the request gets an error and not what is left of it.
    #[test]
    fn a_filter_that_cannot_be_followed_is_an_answer() {
        use api::filter::Kind;
        let path = |value: &str| Some(api::PathChange { value: value.into(), prefix: false });
        let header = api::Header { name: "a".into(), value: "b\r\nc: d".into() };
        for broken in [
            Kind::RequestHeaders(api::HeaderChange { set: vec![header.clone()], ..Default::default() }),
            Kind::ResponseHeaders(api::HeaderChange { add: vec![header], ..Default::default() }),
            Kind::RequestHeaders(api::HeaderChange { remove: vec!["a b".into()], ..Default::default() }),
            Kind::Redirect(api::Redirect { status: 200, ..Default::default() }),
            Kind::Redirect(api::Redirect { port: 70_000, ..Default::default() }),
            Kind::Redirect(api::Redirect { hostname: "a b".into(), ..Default::default() }),
            Kind::Rewrite(api::Rewrite { hostname: "a/b".into(), path: None }),
            Kind::Rewrite(api::Rewrite { hostname: String::new(), path: path("a") }),
            Kind::Rewrite(api::Rewrite { hostname: String::new(), path: path("/a?b") }),
            Kind::Rewrite(api::Rewrite { hostname: String::new(), path: path("/a b") }),
        ] {
            let route = with(broken.clone());
            let expected = Some(StatusCode::INTERNAL_SERVER_ERROR);
            let status = route.instead.and_then(|instead| match instead {
                Instead::Answer { status, .. } => Some(status),
                Instead::Redirect(_) => None,
            });
            assert_eq!(expected, status, "{broken:?}");
        }
    }

    /// A route that only says that it retries does so three times; one that says more does as it says, at least once.
    #[test]
    fn retries_have_defaults() {
        let max = |retryable, retry| {
            let route = route(api::Route { retryable, retry, ..Default::default() }).unwrap();
            route.retry.map(|retry| retry.max_retries)
        };
        let said = |max_retries| Some(api::Retry { max_retries, ..Default::default() });
        let found = [max(false, said(5)), max(true, None), max(true, said(0)), max(true, said(5))];
        assert_eq!([None, Some(3), Some(1), Some(5)], found);
    }
}
