//! Headers that belong to one hop, and a request's way into HTTP/2 between proxies and back.

use std::net::SocketAddr;

use http::header::{
    CONNECTION, CONTENT_LENGTH, EXPECT, HOST, HeaderMap, HeaderName, HeaderValue, TE, TRANSFER_ENCODING,
    UPGRADE,
};
use http::request::Parts;
use http::uri::{Authority, PathAndQuery, Scheme, Uri};
use http::{Method, Version};

use super::client::MAX_HEADER_BYTES;
use crate::error::{Code, Error};

pub const ERROR: HeaderName = HeaderName::from_static("weft-error");
/// `NAMESPACE/POD/NUMBER` beside `weft-error`: what `weft why` finds the request by.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("weft-request-id");
pub const CLIENT_ID: HeaderName = HeaderName::from_static("weft-client-id");
/// The version of an HTTP/1 request that is carried as HTTP/2, `HTTP/1.1` or `HTTP/1.0`, with `; absolute`
/// when its request line named the whole URI.
pub const ORIG_VERSION: HeaderName = HeaderName::from_static("weft-orig-version");
/// Of a route that sends nothing again: neither does the peer's proxy.
pub const ONCE: HeaderName = HeaderName::from_static("weft-once");
/// Beside E111 of a peer's proxy: lost on an idle connection, and not sent again.
pub const RACED: HeaderName = HeaderName::from_static("weft-raced");
const HTTP2_SETTINGS: HeaderName = HeaderName::from_static("http2-settings");
const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");
const ABSOLUTE: &str = "; absolute";
/// Named in `Connection` they would change what the message is.
const NEVER_HOP: [HeaderName; 3] = [HOST, CONTENT_LENGTH, TRANSFER_ENCODING];
/// Of one connection, or they say what a message is and where it goes.
const NEVER_TRAILERS: [HeaderName; 8] =
    [CONNECTION, CONTENT_LENGTH, HOST, KEEP_ALIVE, PROXY_CONNECTION, TE, TRANSFER_ENCODING, UPGRADE];

static HOP: [HeaderName; 7] =
    [CONNECTION, TRANSFER_ENCODING, TE, KEEP_ALIVE, PROXY_CONNECTION, UPGRADE, HTTP2_SETTINGS];

/// Removes of a request what holds for one connection only, but not that it asks to leave HTTP; whether it does.
pub fn strip_request(parts: &mut Parts) -> bool {
    let upgrade = is_upgrade(parts);
    if upgrade {
        strip_hop_but_upgrade(&mut parts.headers);
    } else {
        strip_hop(&mut parts.headers);
    }
    upgrade
}

/// Removes what holds for one connection only.
pub fn strip_hop(headers: &mut HeaderMap) {
    // As a rule there are few headers and none of these: quicker than to look each of them up.
    if !headers.keys().any(|name| HOP.contains(name)) {
        return;
    }
    if headers.contains_key(CONNECTION) {
        for name in connection_names(headers) {
            headers.remove(name);
        }
        headers.remove(CONNECTION);
    }
    if headers.remove(TRANSFER_ENCODING).is_some() {
        // The body's end is found by its chunks: a length beside them is a smuggler's.
        headers.remove(CONTENT_LENGTH);
    }
    if headers.get(TE).is_some_and(|v| v != "trailers") {
        headers.remove(TE);
    }
    headers.remove(KEEP_ALIVE);
    headers.remove(PROXY_CONNECTION);
    headers.remove(UPGRADE);
    headers.remove(HTTP2_SETTINGS);
}

/// The same of what leaves HTTP: it says on the next hop, too, what it asks for, and if it says nothing else, in its own way.
pub fn strip_hop_but_upgrade(headers: &mut HeaderMap) {
    let asks: Vec<_> = headers.get_all(UPGRADE).iter().cloned().collect();
    let said =
        headers.get(CONNECTION).filter(|said| said.as_bytes().eq_ignore_ascii_case(b"upgrade")).cloned();
    strip_hop(headers);
    if !asks.is_empty() {
        headers.insert(CONNECTION, said.unwrap_or(HeaderValue::from_static("Upgrade")));
    }
    for asked in asks {
        headers.append(UPGRADE, asked);
    }
}

fn connection_names(headers: &HeaderMap) -> Vec<HeaderName> {
    let values = headers.get_all(CONNECTION).iter().filter_map(|v| v.to_str().ok());
    let names = values.flat_map(|v| v.split(',')).filter_map(|n| n.trim().parse().ok());
    names.filter(|n| !NEVER_HOP.contains(n) && *n != TE).collect()
}

/// Removes what has no business behind a body: HTTP/2 cannot carry it there, and nobody may believe it (RFC 9110, 6.5.1).
pub fn strip_trailers(trailers: &mut HeaderMap) {
    if trailers.keys().any(|name| NEVER_TRAILERS.contains(name)) {
        NEVER_TRAILERS.iter().for_each(|name| drop(trailers.remove(name)));
    }
}

/// What a proxy alone may say; a client's own is not passed on.
pub fn strip_reserved(headers: &mut HeaderMap) {
    headers.remove(ORIG_VERSION);
    headers.remove(CLIENT_ID);
    headers.remove(ONCE);
    // The proxy answers `Expect: 100-continue` itself as soon as somebody wants the body.
    headers.remove(EXPECT);
}

/// Refuses what two readers could take for requests to two hosts (RFC 9112, 3.2).
pub fn check_host(parts: &Parts) -> Result<(), Error> {
    if parts.version < Version::HTTP_2 && parts.headers.get_all(HOST).iter().nth(1).is_some() {
        return Err(Error::new(Code::Request, "more than one Host header"));
    }
    Ok(())
}

/// Refuses more header than is passed on, by HTTP/2's measure (RFC 9113, 6.5.2).
pub fn check_size(headers: &HeaderMap) -> Result<(), Error> {
    let size: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 32).sum();
    if size > MAX_HEADER_BYTES as usize {
        return Err(Error::new(Code::Protocol, format!("a response with {size} bytes of header")));
    }
    Ok(())
}

/// Whether the request asks to leave HTTP.
fn is_upgrade(parts: &Parts) -> bool {
    let asks = || parts.headers.contains_key(UPGRADE) && !names_h2c(&parts.headers);
    parts.version == Version::HTTP_11 && (parts.method == Method::CONNECT || asks())
}

/// Whether `h2c` is among what the connection is to become. Nobody is obliged to that, and its requests would be seen by no
/// rule: it is asked of no server, and taken from none.
pub fn names_h2c(headers: &HeaderMap) -> bool {
    let tokens = headers.get_all(UPGRADE).iter().flat_map(|value| value.as_bytes().split(|b| *b == b','));
    tokens.map(<[u8]>::trim_ascii).any(|token| token.eq_ignore_ascii_case(b"h2c"))
}

/// Makes an HTTP/1 request one of HTTP/2 that can be undone.
pub fn into_mesh(parts: &mut Parts, dst: SocketAddr) -> Result<(), Error> {
    if parts.version < Version::HTTP_2 {
        let absolute = parts.uri.scheme().is_some();
        parts.headers.insert(ORIG_VERSION, original(parts.version, absolute));
    }
    absolute(parts, dst)?;
    parts.version = Version::HTTP_2;
    Ok(())
}

fn original(version: Version, absolute: bool) -> HeaderValue {
    HeaderValue::from_static(match (version, absolute) {
        (Version::HTTP_10, false) => "HTTP/1.0",
        (Version::HTTP_10, true) => "HTTP/1.0; absolute",
        (_, false) => "HTTP/1.1",
        (_, true) => "HTTP/1.1; absolute",
    })
}

/// HTTP/2 needs scheme and authority: from the request line, from `Host`, or from where the client dialled.
pub fn absolute(parts: &mut Parts, dst: SocketAddr) -> Result<(), Error> {
    if parts.uri.authority().is_some() && parts.uri.scheme().is_some() {
        if parts.version < Version::HTTP_2 {
            parts.headers.remove(HOST);
        }
        return Ok(());
    }
    let host = parts.headers.remove(HOST);
    let authority = match host.as_ref().map(HeaderValue::as_bytes) {
        Some(host @ [_, ..]) => Authority::try_from(host),
        _ => Authority::try_from(dst.to_string().as_str()),
    };
    let mut uri = std::mem::take(&mut parts.uri).into_parts();
    uri.scheme.get_or_insert(Scheme::HTTP);
    uri.path_and_query.get_or_insert(PathAndQuery::from_static("/"));
    uri.authority = Some(authority.map_err(|e| Error::new(Code::Request, format!("Host header: {e}")))?);
    parts.uri =
        Uri::from_parts(uri).map_err(|e| Error::new(Code::Request, format!("request target: {e}")))?;
    Ok(())
}

/// Restores the HTTP/1 request that came as HTTP/2; false when it was HTTP/2 from the start.
pub fn restore(parts: &mut Parts) -> bool {
    let Some(original) = parts.headers.remove(ORIG_VERSION) else { return false };
    let original = original.to_str().unwrap_or_default();
    parts.version = if original.starts_with("HTTP/1.0") { Version::HTTP_10 } else { Version::HTTP_11 };
    if let Some(host) = parts.uri.authority().and_then(|a| HeaderValue::from_str(a.as_str()).ok()) {
        parts.headers.insert(HOST, host);
    }
    join_cookies(&mut parts.headers);
    if !original.ends_with(ABSOLUTE) {
        let path = parts.uri.path_and_query().cloned().unwrap_or(PathAndQuery::from_static("/"));
        parts.uri = Uri::from(path);
    }
    true
}

/// HTTP/2 may split a cookie header into crumbs; HTTP/1 knows only one.
fn join_cookies(headers: &mut HeaderMap) {
    if headers.get_all(http::header::COOKIE).iter().nth(1).is_some() {
        let crumbs: Vec<_> =
            headers.get_all(http::header::COOKIE).iter().map(HeaderValue::as_bytes).collect();
        if let Ok(whole) = HeaderValue::from_bytes(&crumbs.join(&b"; "[..])) {
            headers.insert(http::header::COOKIE, whole);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Request;

    const DST: &str = "10.0.0.1:80";

    fn parts(request: http::request::Builder) -> Parts {
        request.body(()).unwrap().into_parts().0
    }

    fn there_and_back(before: &Parts) -> Parts {
        let mut parts = before.clone();
        into_mesh(&mut parts, DST.parse().unwrap()).unwrap();
        assert_eq!(Version::HTTP_2, parts.version);
        assert!(restore(&mut parts));
        parts
    }

    /// The application sees the version, target and host that the client sent.
    #[test]
    fn requests_come_back_as_they_were() {
        for uri in ["/a/b?c=d", "*", "http://other.example/x"] {
            for version in [Version::HTTP_10, Version::HTTP_11] {
                let host =
                    uri.strip_prefix("http://").map_or("shop:8080", |rest| rest.trim_end_matches("/x"));
                let before = parts(Request::options(uri).version(version).header(HOST, host));
                let after = there_and_back(&before);
                assert_eq!((&before.uri, before.version), (&after.uri, after.version));
                assert_eq!(before.headers, after.headers);
            }
        }
    }

    /// A request without host gets the address that was dialled: HTTP/2 cannot do without.
    #[test]
    fn missing_host_is_the_address() {
        let after = there_and_back(&parts(Request::get("/").version(Version::HTTP_10)));
        assert_eq!(DST, after.headers[HOST]);
    }

    /// What HTTP/2 cannot say as authority is refused, not guessed at.
    #[test]
    fn impossible_host_is_refused() {
        let mut parts = parts(Request::get("/").header(HOST, "a b"));
        assert_eq!(Code::Request, into_mesh(&mut parts, DST.parse().unwrap()).unwrap_err().code);
    }

    /// Trailers say nothing of framing, and what else they say stays.
    #[test]
    fn trailers_do_not_frame() {
        let names = |map: &HeaderMap| map.keys().map(ToString::to_string).collect::<Vec<_>>();
        let said = parts(Request::get("/").header("te", "x").header("grpc-status", "0").header("host", "h"));
        let mut trailers = said.headers;
        strip_trailers(&mut trailers);
        assert_eq!(vec!["grpc-status"], names(&trailers));
    }

    /// A request goes to one host.
    #[test]
    fn two_hosts_are_refused() {
        let one = parts(Request::get("/").header(HOST, "a"));
        let two = parts(Request::get("/").header(HOST, "a").header(HOST, "a"));
        let refused = check_host(&two).map_err(|e| e.code);
        assert_eq!((Ok(()), Err(Code::Request)), (check_host(&one), refused));
    }

    /// Hop headers go, also those that `Connection` names, but it cannot take the message's frame away.
    #[test]
    fn hop_headers_are_stripped() {
        let mut parts = parts(
            Request::get("/")
                .header("connection", "close, x-secret, content-length, host")
                .header("x-secret", "1")
                .header("keep-alive", "5")
                .header("te", "gzip")
                .header("host", "h")
                .header("content-length", "3"),
        );
        strip_hop(&mut parts.headers);
        let mut left: Vec<_> = parts.headers.keys().map(HeaderName::as_str).collect();
        left.sort_unstable();
        assert_eq!(vec!["content-length", "host"], left);
    }

    /// What leaves HTTP still says so, and nothing else of its connection.
    #[test]
    fn upgrades_are_stripped_of_the_rest() {
        let mut parts = parts(
            Request::get("/")
                .header("connection", "upgrade, weft-client-id")
                .header("weft-client-id", "1")
                .header("upgrade", "websocket"),
        );
        strip_hop_but_upgrade(&mut parts.headers);
        let expected = [("connection", "Upgrade"), ("upgrade", "websocket")];
        let expected = expected.map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()));
        assert_eq!(HeaderMap::from_iter(expected), parts.headers);
    }

    /// Chunks win over a length.
    #[test]
    fn length_beside_chunks_goes() {
        let mut parts =
            parts(Request::post("/").header("transfer-encoding", "chunked").header("content-length", "3"));
        strip_hop(&mut parts.headers);
        assert!(parts.headers.is_empty());
    }

    /// Only what really leaves HTTP takes the way of upgrades; h2c does not, whatever else is asked for.
    #[test]
    fn h2c_is_no_upgrade() {
        assert!(is_upgrade(&parts(Request::get("/").header("upgrade", "websocket"))));
        assert!(is_upgrade(&parts(Request::connect("a:1"))));
        assert!(!is_upgrade(&parts(Request::get("/"))));
        for asks in [&["h2c"][..], &["H2C, x"], &["x,h2c "], &["x", "h2c"]] {
            let with = |request: http::request::Builder, ask: &&str| request.header("upgrade", *ask);
            let settings = Request::get("/").header("http2-settings", "");
            let mut parts = parts(asks.iter().fold(settings, with));
            assert!(!strip_request(&mut parts) && parts.headers.is_empty(), "{asks:?}");
        }
    }
}
