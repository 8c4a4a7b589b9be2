//! Responses that the proxy makes itself: a status, a code and its cause, in the form the client understands.

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use http::{Response, StatusCode};

use super::body::Body;
use super::headers::ERROR;
use crate::error::Error;

/// `grpc`: gRPC clients read no HTTP status, they get trailers only.
pub fn error(error: &Error, grpc: bool) -> Response<Body> {
    told(error, error.code.status(), grpc.then(|| error.code.grpc_status()))
}

/// The same with the status that a route asks for.
pub fn answer(status: StatusCode, error: &Error, grpc: bool) -> Response<Body> {
    told(error, status, grpc.then(|| equivalent(status)))
}

/// As gRPC maps HTTP's statuses, but 500 is UNAVAILABLE: of what cannot be followed the application saw nothing.
fn equivalent(status: StatusCode) -> u16 {
    match status.as_u16() {
        400 => 13,
        401 => 16,
        403 => 7,
        404 => 12,
        429 | 500 | 502 | 503 | 504 => 14,
        _ => 2,
    }
}

fn told(error: &Error, status: StatusCode, grpc_status: Option<u16>) -> Response<Body> {
    let text = error.to_string();
    let mut response = match grpc_status {
        Some(grpc_status) => trailers_only(grpc_status, grpc_message(error)),
        None => plain(status, &text),
    };
    if let Ok(value) = HeaderValue::from_str(&one_line(&text)) {
        response.headers_mut().insert(ERROR, value);
    }
    if let Some(wait) = error.retry_after {
        // Whole seconds, and never too early.
        let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds.max(1)));
    }
    response
}

fn plain(status: StatusCode, text: &str) -> Response<Body> {
    let mut response = Response::new(Body::Fixed(Some(Bytes::from(format!("weft: {text}\n")))));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}

fn trailers_only(grpc_status: u16, message: Option<HeaderValue>) -> Response<Body> {
    let mut response = Response::new(Body::Fixed(None));
    *response.status_mut() = StatusCode::OK;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    headers.insert("grpc-status", HeaderValue::from(grpc_status));
    if let Some(message) = message {
        headers.insert("grpc-message", message);
    }
    response
}

/// The error as gRPC clients hear it.
pub fn grpc_message(error: &Error) -> Option<HeaderValue> {
    HeaderValue::from_str(&percent_encode(&error.to_string())).ok()
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

    /// A route's own answer has the status that it asks for, or what gRPC has for it.
    #[test]
    fn routes_answer_with_their_status() {
        let told = Error::new(Code::Route, "svc/x does not exist");
        let grpc = |status| answer(status, &told, true).headers()["grpc-status"].to_str().unwrap().to_owned();
        assert_eq!(StatusCode::BAD_GATEWAY, answer(StatusCode::BAD_GATEWAY, &told, false).status());
        let statuses = [StatusCode::INTERNAL_SERVER_ERROR, StatusCode::NOT_FOUND];
        assert_eq!(["14", "12"], statuses.map(grpc).each_ref().map(String::as_str));
    }
}
