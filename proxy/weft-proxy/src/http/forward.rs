//! What both directions do alike with a request's head, its response, and its failure.

use http::header::{HeaderValue, LOCATION};
use http::request::Parts;
use http::{Method, Request, Response, StatusCode, Version};

use super::body::{Body, Ending, Fault, RequestBody};
use super::classify::End;
use super::client::Sent;
use super::headers::{REQUEST_ID, strip_hop, strip_hop_but_upgrade};
use super::received::Received;
use super::record::Record;
use super::respond;
use super::upgrade;
use crate::error::{Code, Error};

/// A head of its own for one more attempt, and for the record; extensions belong to the first.
pub fn copy_head(head: &Parts) -> Parts {
    let (mut copy, ()) = Request::new(()).into_parts();
    copy.method = head.method.clone();
    copy.uri = head.uri.clone();
    copy.version = head.version;
    copy.headers = head.headers.clone();
    copy
}

/// The request's body from its beginning, if it can still be had.
pub fn body(record: &Record) -> Option<RequestBody> {
    record.source().map_or(Some(RequestBody::Empty), |source| source.attempt())
}

/// What went wrong: `error`, unless it came of a request that the client did not finish.
pub fn blame(record: &Record, error: Error) -> Error {
    match record.fault() {
        Some(Fault::Malformed) => Error::new(Code::Request, "the request's body breaks its own framing"),
        Some(Fault::Gone) => Error::new(Code::Request, "the client went away before its request was whole"),
        None => error,
    }
}

/// Whether a request may have met a server that was closing an idle connection, and seeing it twice does no harm.
pub fn may_have_raced(error: &Error, method: &Method) -> bool {
    error.code == Code::Lost && error.reused && is_idempotent(method)
}

/// Twice is as good as once.
pub fn is_idempotent(method: &Method) -> bool {
    method.is_idempotent() && *method != Method::CONNECT
}

/// The client gets the server's response.
pub fn pass_on(
    (response, lease): Sent,
    mut record: Record,
    version: Version,
    ending: Option<Ending>,
) -> Response<Body> {
    record.answered(&response);
    if let Some(source) = record.source() {
        source.settle();
    }
    let (mut head, incoming) = response.into_parts();
    strip_hop(&mut head.headers);
    head.version = version;
    Response::from_parts(head, Body::stream(incoming, record, lease, ending, version))
}

/// The client gets a response that leaves HTTP, or the refusal to.
pub fn pass_on_upgrade((mut response, lease): upgrade::Sent, mut record: Record) -> Response<Body> {
    record.answered(&response);
    let Some(lease) = lease else {
        strip_hop_but_upgrade(response.headers_mut());
        record.finish(End::Complete);
        return response.map(|_| Body::Fixed(None));
    };
    strip_hop(response.headers_mut());
    let (head, incoming) = response.into_parts();
    let body = Body::stream(Received::Driven(incoming), record, lease, None, Version::HTTP_11);
    Response::from_parts(head, body)
}

/// The client gets the proxy's own response.
pub fn fail(error: &Error, record: Record) -> Response<Body> {
    tracing::debug!(%error, uri = %record.head().uri, "failed");
    let response = respond::error(error, record.is_grpc());
    refuse(response, error, record)
}

/// The client gets what its route says instead of a server's response.
pub fn answer(status: StatusCode, error: &Error, record: Record) -> Response<Body> {
    let response = respond::answer(status, error, record.is_grpc());
    refuse(response, error, record)
}

/// The client is sent elsewhere.
pub fn redirect(status: StatusCode, location: HeaderValue, mut record: Record) -> Response<Body> {
    let mut response = Response::new(Body::Fixed(None));
    *response.status_mut() = status;
    response.headers_mut().insert(LOCATION, location);
    record.answered(&response);
    record.finish(End::Complete);
    response
}

fn refuse(mut response: Response<Body>, error: &Error, mut record: Record) -> Response<Body> {
    record.failed(error);
    record.answered(&response);
    let gone = record.fault() == Some(Fault::Gone);
    let number = record.finish(if gone { End::Cancelled } else { End::Complete });
    let own = record.own();
    let name = number.map(|number| format!("{}/{}/{number}", own.namespace, own.pod));
    if let Some(name) = name.and_then(|name| HeaderValue::try_from(name).ok()) {
        response.headers_mut().insert(REQUEST_ID, name);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    /// On a new connection nobody closed for idleness, and what may have been seen is not repeated if that could harm.
    #[test]
    fn only_idle_connections_are_raced() {
        let raced = |reused, method| may_have_raced(&Error { reused, ..Error::new(Code::Lost, "") }, &method);
        let found = [raced(true, Method::GET), raced(true, Method::POST), raced(false, Method::GET)];
        assert_eq!([true, false, false], found);
    }
}
