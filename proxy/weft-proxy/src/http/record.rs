//! The record of one exchange: begun with the request, written to metrics and tap exactly once, when it ends.

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use http::header::HOST;
use http::request::Parts;
use http::{HeaderMap, HeaderValue, StatusCode};

use self::fate::{Fate, SUCCESS};
use super::body::{Fault, Source};
use super::classify::{End, classify, grpc_status, is_grpc};
use super::respond;
use crate::balance::node::Node;
use crate::discovery::{DstLabels, ResponseClass};
use crate::error::{Code, Error};
use crate::metrics::{PROBE, Requests, Tls};
use crate::tap::{Direction, Exchange, Outcome, compact};
use crate::vigil::Busy;
use crate::worker::Worker;

mod fate;

/// Between whom an exchange goes.
#[derive(Clone)]
pub struct Subject {
    pub direction: Direction,
    pub source: SocketAddr,
    pub destination: SocketAddr,
    pub tls: Tls,
    pub identity: Option<Arc<str>>,
    pub dst: Arc<DstLabels>,
    pub route: Option<Arc<str>>,
    pub requests: Rc<Requests>,
}

/// What is known of a request when its record begins.
pub struct Asked {
    /// The request's head as the client sent it; also what a further attempt is made from.
    pub head: Parts,
    pub source: Option<Rc<Source>>,
    /// Tells the client's connection that a request is under way.
    pub busy: Option<Busy>,
    /// How its route judges responses; none: by the one classifier.
    pub classes: Option<Arc<[ResponseClass]>>,
    /// What would have denied it, were drafts in audit enforced.
    pub audited: Option<Arc<str>>,
}

/// What has come of it so far.
#[derive(Default)]
struct Answer {
    latency: Option<Duration>,
    status: Option<StatusCode>,
    grpc_status: Option<u16>,
    bytes: u64,
    headers: HeaderMap,
    error: Option<String>,
}

pub struct Record {
    worker: Rc<Worker>,
    subject: Subject,
    asked: Asked,
    pub started: Instant,
    grpc: bool,
    /// The endpoint that the outcome says something about.
    node: Option<Rc<Node>>,
    answer: Answer,
    fate: Fate,
}

impl Record {
    pub fn begin(worker: Rc<Worker>, subject: Subject, asked: Asked) -> Self {
        Self {
            worker,
            subject,
            grpc: is_grpc(&asked.head.headers),
            asked,
            started: Instant::now(),
            node: None,
            answer: Answer::default(),
            fate: Fate::Here,
        }
    }

    /// The head of the request.
    pub fn head(&self) -> &Parts {
        &self.asked.head
    }

    /// The body of the request, if it has one.
    pub fn source(&self) -> Option<&Rc<Source>> {
        self.asked.source.as_ref()
    }

    pub fn busy(&self) -> Option<&Busy> {
        self.asked.busy.as_ref()
    }

    pub fn is_grpc(&self) -> bool {
        self.grpc
    }

    pub fn classes(&self) -> &[ResponseClass] {
        self.asked.classes.as_deref().unwrap_or_default()
    }

    /// A try goes to `node`: what comes of it says something about that endpoint.
    pub fn towards(&mut self, node: Rc<Node>, subject: Subject) {
        self.subject = subject;
        self.node = Some(node);
    }

    /// What would have denied the last try, were drafts in audit enforced.
    pub fn audit(&mut self, audited: Option<Arc<str>>) {
        self.asked.audited = audited;
    }

    /// Nothing more is tried: `requests` count what has come to no endpoint.
    pub fn given_up(&mut self, requests: impl FnOnce() -> Rc<Requests>) {
        if self.node.is_none() {
            self.subject.requests = requests();
        }
    }

    /// The head of the response is there.
    pub fn answered<B>(&mut self, response: &http::Response<B>) {
        let latency = self.started.elapsed();
        self.answer.latency = Some(latency);
        if self.fate == Fate::Here {
            self.subject.requests.observe(latency);
        }
        self.answer.status = Some(response.status());
        if self.grpc {
            self.answer.grpc_status = grpc_status(response.headers());
        }
        if self.worker.shared.ring.wanted() {
            self.answer.headers = response.headers().clone();
        }
    }

    /// Why the request's body broke off, if it did.
    pub fn fault(&self) -> Option<Fault> {
        self.source().and_then(|source| source.fault())
    }

    pub fn response_bytes(&mut self, n: usize) {
        self.answer.bytes += n as u64;
    }

    pub fn trailers(&mut self, trailers: &HeaderMap) {
        if self.grpc {
            self.answer.grpc_status = grpc_status(trailers).or(self.answer.grpc_status);
        }
    }

    /// The proxy itself makes the response.
    pub fn failed(&mut self, error: &Error) {
        self.worker.shared.metrics.error(error.code);
        self.answer.error = Some(error.to_string());
        let from_peer = self.subject.direction == Direction::Inbound && self.subject.tls == Tls::True;
        self.fate = self.fate.failed(error.code, from_peer);
        // Of the other errors the endpoint's breaker has heard where they came about, or they are the client's.
        self.node = self.node.take().filter(|_| matches!(error.code, Code::Timeout | Code::Lost));
    }

    /// The proxy breaks a response off that has begun; gRPC gets the trailers returned.
    pub fn failed_late(&mut self, error: &Error) -> Option<HeaderMap> {
        self.failed(error);
        self.grpc.then(|| {
            self.answer.grpc_status = Some(error.code.grpc_status());
            let mut trailers = HeaderMap::new();
            trailers.insert("grpc-status", HeaderValue::from(error.code.grpc_status()));
            if let Some(message) = respond::grpc_message(error) {
                trailers.insert("grpc-message", message);
            }
            trailers
        })
    }

    /// Writes the exchange down, once; its number, if tap keeps it.
    pub fn finish(&mut self, end: End) -> Option<u64> {
        let fate = std::mem::replace(&mut self.fate, Fate::Over);
        if fate == Fate::Over {
            return None;
        }
        let status = self.answer.status.map_or(0, |s| s.as_u16());
        let grpc_status = self.answer.grpc_status;
        let outcome = classify(status, self.grpc.then_some(grpc_status), end, self.classes());
        if let Some(node) = self.node.take().filter(|_| outcome != Outcome::Cancelled) {
            let success = outcome == Outcome::Success;
            // A success opens nothing: when it began is exact enough.
            node.judge(success, if success { self.started } else { Instant::now() });
        }
        let result = fate.result(outcome);
        if let Some(result) = result {
            self.subject.requests.count((result, status, grpc_status));
        }
        // A probe that went well says nothing, and there are many.
        if result == Some(SUCCESS) && self.subject.route.as_deref() == Some(PROBE) {
            return None;
        }
        let exchange = self.exchange(outcome);
        Some(self.worker.shared.ring.record(exchange))
    }

    /// The pod of this proxy.
    pub fn own(&self) -> &DstLabels {
        &self.worker.shared.own
    }

    fn exchange(&mut self, outcome: Outcome) -> Exchange {
        let duration = self.started.elapsed();
        let wanted = self.worker.shared.ring.wanted();
        let Asked { head, source, audited, .. } = &mut self.asked;
        let headers = std::mem::take(&mut head.headers);
        // Copies: what the connection was read into is free for what comes next.
        let host = headers.get(HOST).filter(|_| head.uri.authority().is_none());
        let host = host.and_then(|host| HeaderValue::from_bytes(host.as_bytes()).ok());
        Exchange {
            started: SystemTime::now() - duration,
            direction: self.subject.direction,
            source: self.subject.source,
            destination: self.subject.destination,
            tls: self.subject.tls.as_str(),
            peer_identity: self.subject.identity.clone(),
            method: head.method.clone(),
            uri: compact(&head.uri),
            host,
            version: head.version,
            status: self.answer.status,
            grpc_status: self.answer.grpc_status,
            outcome,
            latency: self.answer.latency.unwrap_or(duration),
            duration,
            request_bytes: source.as_ref().map_or(0, |s| s.bytes()),
            response_bytes: self.answer.bytes,
            route: self.subject.route.clone(),
            dst: self.subject.dst.clone(),
            request_headers: if wanted { headers } else { HeaderMap::new() },
            response_headers: std::mem::take(&mut self.answer.headers),
            error: self.answer.error.take(),
            audited: audited.take(),
        }
    }
}

impl Drop for Record {
    /// Dropped in the middle: the client did not wait for the response.
    fn drop(&mut self) {
        self.finish(End::Cancelled);
    }
}
