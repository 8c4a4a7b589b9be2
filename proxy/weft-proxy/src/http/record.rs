//! The record of one exchange: begun with the request, written to metrics and tap exactly once, when it ends.

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use http::header::HOST;
use http::request::Parts;
use http::{HeaderMap, HeaderValue, StatusCode};

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

pub struct Record {
    worker: Rc<Worker>,
    pub subject: Subject,
    /// The request's head as the client sent it; also what a further attempt is made from.
    pub head: Parts,
    pub source: Option<Rc<Source>>,
    /// Tells the client's connection that a request is under way.
    pub busy: Option<Busy>,
    /// The endpoint that the outcome says something about.
    pub node: Option<Rc<Node>>,
    /// How its route judges responses; none: by the one classifier.
    pub classes: Option<Arc<[ResponseClass]>>,
    pub started: Instant,
    latency: Option<Duration>,
    status: Option<StatusCode>,
    grpc: bool,
    grpc_status: Option<u16>,
    response_bytes: u64,
    response_headers: HeaderMap,
    error: Option<String>,
    /// What would have denied it, were drafts in audit enforced.
    pub audited: Option<Arc<str>>,
    /// A policy denied it: the application has not seen it, so its numbers do not show it.
    refused: bool,
    /// A peer proxy is told that its request was not delivered: it sends it elsewhere, and counts it.
    elsewhere: bool,
    over: bool,
}

impl Record {
    pub fn begin(worker: Rc<Worker>, subject: Subject, head: Parts, source: Option<Rc<Source>>) -> Self {
        Self {
            grpc: is_grpc(&head.headers),
            worker,
            subject,
            head,
            source,
            busy: None,
            node: None,
            classes: None,
            started: Instant::now(),
            latency: None,
            status: None,
            grpc_status: None,
            response_bytes: 0,
            response_headers: HeaderMap::new(),
            error: None,
            audited: None,
            refused: false,
            elsewhere: false,
            over: false,
        }
    }

    pub fn is_grpc(&self) -> bool {
        self.grpc
    }

    pub fn classes(&self) -> &[ResponseClass] {
        self.classes.as_deref().unwrap_or_default()
    }

    /// The head of the response is there.
    pub fn head<B>(&mut self, response: &http::Response<B>) {
        let latency = self.started.elapsed();
        self.latency = Some(latency);
        if !self.elsewhere && !self.refused {
            self.subject.requests.observe(latency);
        }
        self.status = Some(response.status());
        if self.grpc {
            self.grpc_status = grpc_status(response.headers());
        }
        if self.worker.shared.ring.wanted() {
            self.response_headers = response.headers().clone();
        }
    }

    /// Why the request's body broke off, if it did.
    pub fn fault(&self) -> Option<Fault> {
        self.source.as_ref().and_then(|source| source.fault())
    }

    pub fn response_bytes(&mut self, n: usize) {
        self.response_bytes += n as u64;
    }

    pub fn trailers(&mut self, trailers: &HeaderMap) {
        if self.grpc {
            self.grpc_status = grpc_status(trailers).or(self.grpc_status);
        }
    }

    /// The proxy itself makes the response.
    pub fn failed(&mut self, error: &Error) {
        self.worker.shared.metrics.error(error.code);
        self.error = Some(error.to_string());
        let from_peer = self.subject.direction == Direction::Inbound && self.subject.tls == Tls::True;
        self.refused = matches!(error.code, Code::Denied | Code::Limited | Code::Egress);
        self.elsewhere = from_peer && error.code.is_undelivered();
        // Of the other errors the endpoint's breaker has heard where they came about, or they are the client's.
        self.node = self.node.take().filter(|_| matches!(error.code, Code::Timeout | Code::Lost));
    }

    /// The proxy breaks a response off that has begun; gRPC gets the trailers returned.
    pub fn failed_late(&mut self, error: &Error) -> Option<HeaderMap> {
        self.failed(error);
        self.grpc.then(|| {
            self.grpc_status = Some(error.code.grpc_status());
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
        if std::mem::replace(&mut self.over, true) {
            return None;
        }
        let status = self.status.map_or(0, |s| s.as_u16());
        let outcome = classify(status, self.grpc.then_some(self.grpc_status), end, self.classes());
        let grpc_status = self.grpc_status.filter(|_| self.grpc);
        if let Some(node) = self.node.take().filter(|_| outcome != Outcome::Cancelled) {
            let success = outcome == Outcome::Success;
            // A success opens nothing: when it began is exact enough.
            node.judge(success, if success { self.started } else { Instant::now() });
        }
        if !self.elsewhere {
            let result = if self.refused { "denied" } else { label(outcome) };
            self.subject.requests.count((result, status, grpc_status));
        }
        // A probe that went well says nothing, and there are many.
        if outcome == Outcome::Success && !self.refused && self.subject.route.as_deref() == Some(PROBE) {
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
        let headers = std::mem::take(&mut self.head.headers);
        // Copies: what the connection was read into is free for what comes next.
        let host = headers.get(HOST).filter(|_| self.head.uri.authority().is_none());
        let host = host.and_then(|host| HeaderValue::from_bytes(host.as_bytes()).ok());
        Exchange {
            started: SystemTime::now() - duration,
            direction: self.subject.direction,
            source: self.subject.source,
            destination: self.subject.destination,
            tls: self.subject.tls.as_str(),
            peer_identity: self.subject.identity.clone(),
            method: self.head.method.clone(),
            uri: compact(&self.head.uri),
            host,
            version: self.head.version,
            status: self.status,
            grpc_status: self.grpc_status,
            outcome,
            latency: self.latency.unwrap_or(duration),
            duration,
            request_bytes: self.source.as_ref().map_or(0, |s| s.bytes()),
            response_bytes: self.response_bytes,
            route: self.subject.route.clone(),
            dst: self.subject.dst.clone(),
            request_headers: if wanted { headers } else { HeaderMap::new() },
            response_headers: std::mem::take(&mut self.response_headers),
            error: self.error.take(),
            audited: self.audited.take(),
        }
    }
}

impl Drop for Record {
    /// Dropped in the middle: the client did not wait for the response.
    fn drop(&mut self) {
        self.finish(End::Cancelled);
    }
}

fn label(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Success => "success",
        Outcome::Failure => "failure",
        Outcome::Cancelled => "cancelled",
    }
}
