//! Responses that the proxy makes itself: a status, a code and its cause, in the form the client understands.

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Response, StatusCode};

use super::body::Body;
use super::headers::ERROR;
use crate::error::Error;

/// `grpc`: gRPC clients read no HTTP status, they get trailers only.
pub fn error(error: &Error, grpc: bool) -> Response<Body> {
    let text = error.to_string();
    let mut response = if grpc { trailers_only(error, &text) } else { plain(error, &text) };
    if let Ok(value) = HeaderValue::from_str(&one_line(&text)) {
        response.headers_mut().insert(ERROR, value);
    }
    response
}

fn plain(error: &Error, text: &str) -> Response<Body> {
    let mut response = Response::new(Body::Fixed(Some(Bytes::from(format!("weft: {text}\n")))));
    *response.status_mut() = error.code.status();
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}

fn trailers_only(error: &Error, text: &str) -> Response<Body> {
    let mut response = Response::new(Body::Fixed(None));
    *response.status_mut() = StatusCode::OK;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    headers.insert("grpc-status", HeaderValue::from(error.code.grpc_status()));
    if let Ok(message) = HeaderValue::from_str(&percent_encode(text)) {
        headers.insert("grpc-message", message);
    }
    response
}

/// Header values hold no control characters.
fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_ascii_graphic() || c == ' ' { c } else { '?' }).collect()
}

/// As gRPC wants its messages: printable ASCII without `%`.
fn percent_encode(text: &str) -> String {
    let encode = |b: u8| match b {
        b' '..=b'~' if b != b'%' => char::from(b).to_string(),
        _ => format!("%{b:02X}"),
    };
    text.bytes().map(encode).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Code;

    /// Code and cause are in the header; the status fits the code.
    #[test]
    fn http_clients_get_status_and_header() {
        let response = error(&Error::new(Code::NoEndpoints, "no ready endpoints of svc/x.ns:80"), false);
        assert_eq!(StatusCode::SERVICE_UNAVAILABLE, response.status());
        assert_eq!("E104 no ready endpoints of svc/x.ns:80", response.headers()[ERROR]);
    }

    /// gRPC clients get a status of gRPC and a message that survives its header.
    #[test]
    fn grpc_clients_get_trailers_only() {
        let response = error(&Error::new(Code::Timeout, "100% too late…"), true);
        assert_eq!(
            (StatusCode::OK, "4"),
            (response.status(), response.headers()["grpc-status"].to_str().unwrap())
        );
        assert_eq!("E105 100%25 too late%E2%80%A6", response.headers()["grpc-message"]);
    }
}
