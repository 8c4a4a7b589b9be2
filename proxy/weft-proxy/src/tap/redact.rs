//! Secrets never enter the ring buffer.

use http::header::{AUTHORIZATION, COOKIE, PROXY_AUTHORIZATION, SET_COOKIE};
use http::{HeaderMap, HeaderValue};

const REDACTED: HeaderValue = HeaderValue::from_static("[redacted]");

/// Overwrites the values of authorization and cookies.
pub fn headers(headers: &mut HeaderMap) {
    for name in [AUTHORIZATION, PROXY_AUTHORIZATION, COOKIE, SET_COOKIE] {
        // `insert` drops further values of the same name: how many cookies there were is no one's business either.
        if headers.contains_key(&name) {
            headers.insert(name, REDACTED);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn authorization_and_cookies_are_overwritten_and_the_rest_stays() {
        let mut map = HeaderMap::new();
        map.append(SET_COOKIE, HeaderValue::from_static("a=secret"));
        map.append(SET_COOKIE, HeaderValue::from_static("b=secret"));
        map.append(AUTHORIZATION, HeaderValue::from_static("Bearer secret"));
        map.append("x-request-id", HeaderValue::from_static("1"));
        headers(&mut map);
        assert_eq!(3, map.len());
        assert_eq!("[redacted]", map[SET_COOKIE]);
        assert_eq!("[redacted]", map[AUTHORIZATION]);
        assert_eq!("1", map["x-request-id"]);
    }
}
