//! The one classifier: what counts as failure for metrics, tap, retries and breakers alike.

use http::{HeaderMap, HeaderValue, header};

use crate::discovery::ResponseClass;
use crate::tap::Outcome;

/// How an exchange came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The response was passed on whole.
    Complete,
    /// The server or the way to it broke off.
    Broken,
    /// The client went away first.
    Cancelled,
}

/// Success or failure; `grpc` is none for other than gRPC, and inside it the status if one came.
/// `classes`: of the route; they do not judge gRPC, which has statuses of its own.
pub fn classify(status: u16, grpc: Option<Option<u16>>, end: End, classes: &[ResponseClass]) -> Outcome {
    let class = classes.iter().filter(|_| grpc.is_none()).find(|c| (c.min..=c.max).contains(&status));
    match (end, grpc) {
        (End::Cancelled, _) => Outcome::Cancelled,
        (End::Broken, _) => Outcome::Failure,
        _ if class.is_some_and(|class| class.failure) => Outcome::Failure,
        _ if class.is_some() => Outcome::Success,
        _ if status >= 500 => Outcome::Failure,
        (_, Some(None | Some(2 | 4 | 13 | 14 | 15))) => Outcome::Failure,
        _ => Outcome::Success,
    }
}

/// Whether the head of a response is one of a failure already. gRPC may say so only in its trailers.
pub fn fails<B>(response: &http::Response<B>, grpc: bool, classes: &[ResponseClass]) -> bool {
    let said = grpc.then(|| grpc_status(response.headers())).flatten().map(Some);
    let classes = if grpc { &[] } else { classes };
    classify(response.status().as_u16(), said, End::Complete, classes) == Outcome::Failure
}

pub fn is_grpc(headers: &HeaderMap) -> bool {
    headers.get(header::CONTENT_TYPE).is_some_and(|v| v.as_bytes().starts_with(b"application/grpc"))
}

/// `grpc-status` of a head or of trailers; what is no status of gRPC is UNKNOWN.
pub fn grpc_status(headers: &HeaderMap) -> Option<u16> {
    let number = |v: &HeaderValue| v.to_str().ok().and_then(|s| s.parse().ok()).filter(|n| *n <= 16);
    headers.get("grpc-status").map(|v| number(v).unwrap_or(2))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// HTTP fails from 500 on; what the client did wrong is no failure of the server.
    #[test]
    fn http_fails_from_500() {
        for (status, expected) in [(200, Outcome::Success), (404, Outcome::Success), (500, Outcome::Failure)]
        {
            assert_eq!(expected, classify(status, None, End::Complete, &[]));
        }
    }

    /// Of gRPC's statuses those are failures that the server answers for, and so is a missing one.
    #[test]
    fn grpc_fails_by_status() {
        let failures: Vec<_> = (0..=16)
            .filter(|s| classify(200, Some(Some(*s)), End::Complete, &[]) == Outcome::Failure)
            .collect();
        assert_eq!(vec![2, 4, 13, 14, 15], failures);
        assert_eq!(Outcome::Failure, classify(200, Some(None), End::Complete, &[]));
    }

    /// A client that leaves is neither success nor failure, whatever the status was.
    #[test]
    fn leaving_is_cancelling() {
        assert_eq!(Outcome::Cancelled, classify(500, None, End::Cancelled, &[]));
        assert_eq!(Outcome::Failure, classify(200, None, End::Broken, &[]));
    }

    /// The first class that a status is in decides, and gRPC is judged by its own status.
    #[test]
    fn classes_of_a_route_come_first() {
        let class = |min, max, failure| ResponseClass { min, max, failure };
        let classes = [class(404, 404, true), class(400, 503, false)];
        let failures: Vec<_> = [200, 404, 405, 503, 504]
            .into_iter()
            .filter(|s| classify(*s, None, End::Complete, &classes) == Outcome::Failure)
            .collect();
        assert_eq!(vec![404, 504], failures);
        let all = [class(200, 599, false)];
        assert_eq!(Outcome::Failure, classify(200, Some(Some(14)), End::Complete, &all));
        assert_eq!(Outcome::Failure, classify(200, None, End::Broken, &all));
    }

    /// Nonsense in `grpc-status` makes no label of its own.
    #[test]
    fn strange_statuses_are_unknown() {
        let status = |v: &'static str| grpc_status(&[("grpc-status", v)].into_iter().map(pair).collect());
        assert_eq!((Some(0), Some(2), Some(2)), (status("0"), status("77"), status("x")));
    }

    fn pair((k, v): (&'static str, &'static str)) -> (header::HeaderName, HeaderValue) {
        (header::HeaderName::from_static(k), HeaderValue::from_static(v))
    }
}
