//! One request from outside: restore what the peer's proxy changed, say who the client is, pass it on.

use std::net::SocketAddr;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;

use http::header::USER_AGENT;
use http::request::Parts;
use http::{HeaderValue, Method, Request, Response, Version};
use http_body::Body as _;

use super::guard::Guard;
use crate::balance::node::Node;
use crate::connect;
use crate::error::{Code, Error};
use crate::http::body::{Body, BoxError, Source};
use crate::http::client::{self, Lease, Sent, Wire};
use crate::http::received::Received;
use crate::http::record::{Asked, Record, Subject};
use crate::http::{forward, headers, upgrade};
use crate::identity::ALPN_TCP;
use crate::metrics::{PROBE, Tls};
use crate::policy::Call;
use crate::tap::Direction;
use crate::vigil::{Busy, Vigil};
use crate::worker::Worker;

/// A client's connection, as its requests see it.
pub struct Client {
    worker: Rc<Worker>,
    app: Rc<Node>,
    subject: Subject,
    /// Value of `weft-client-id`.
    id: Option<HeaderValue>,
    guard: Rc<Guard>,
    vigil: Rc<Vigil>,
}

/// The kubelet says who it is; that only moves its requests to a route of their own, so a lie hides nothing.
fn is_probe(head: &Parts) -> bool {
    head.headers.get(USER_AGENT).is_some_and(|agent| agent.as_bytes().starts_with(b"kube-probe/"))
}

impl Client {
    pub fn new(
        worker: Rc<Worker>,
        app: Rc<Node>,
        source: SocketAddr,
        tls: Tls,
        guard: Rc<Guard>,
        vigil: Rc<Vigil>,
    ) -> Self {
        let id = guard.identity.clone();
        let subject = Subject {
            direction: Direction::Inbound,
            source,
            destination: app.endpoint.addr,
            tls,
            requests: worker.caller(tls, id.clone()),
            dst: worker.shared.own.clone(),
            route: None,
            identity: id,
        };
        let id = subject.identity.as_deref().and_then(|id| HeaderValue::from_str(id).ok());
        Self { worker, app, subject, id, guard, vigil }
    }

    fn subject(&self, head: &Parts) -> Subject {
        let mut subject = self.subject.clone();
        if subject.tls == Tls::NoIdentity && is_probe(head) {
            subject.requests = self.worker.probes();
            subject.route = Some(PROBE.into());
        }
        subject
    }

    /// Its own application judges by no route.
    fn asked(&self, head: &Parts, source: Option<Rc<Source>>, audited: Option<Arc<str>>) -> Asked {
        let (head, busy) = (forward::copy_head(head), Some(Busy::new(&self.vigil)));
        Asked { head, source, busy, classes: None, audited }
    }

    /// What a policy does not let pass.
    #[cold]
    fn refuse(&self, head: Parts, error: &Error) -> Response<Body> {
        let subject = self.subject(&head);
        let asked = Asked { head, source: None, busy: None, classes: None, audited: None };
        forward::fail(error, Record::begin(self.worker.clone(), subject, asked))
    }
}

/// The response to one request, whatever happens.
pub async fn answer(client: Rc<Client>, request: Request<Received>) -> Result<Response<Body>, BoxError> {
    let version = request.version();
    let (mut head, incoming) = request.into_parts();
    // First: what the client names in `Connection` goes, but nothing that is said here.
    let upgrade = headers::strip_request(&mut head);
    let meshed = client.subject.tls == Tls::True;
    let once = meshed && head.headers.contains_key(headers::ONCE);
    if meshed {
        headers::restore(&mut head);
    }
    headers::strip_reserved(&mut head.headers);
    if let Some(id) = &client.id {
        head.headers.insert(headers::CLIENT_ID, id.clone());
    }
    let audited = match client.guard.request(&head) {
        Ok(audited) => audited,
        Err(error) => return Ok(client.refuse(head, &error)),
    };
    if upgrade {
        return Ok(Box::pin(answer_upgrade(&client, Request::from_parts(head, incoming), audited)).await);
    }
    // Only what may be repeated is ever sent to the application twice.
    let keep = forward::is_idempotent(&head.method);
    let source = (!incoming.is_end_stream()).then(|| Source::new(incoming, keep));
    let record =
        Record::begin(client.worker.clone(), client.subject(&head), client.asked(&head, source, audited));
    let mut ending = client.guard.ending(record.head());
    let sent = {
        let sent = pin!(attempts(&client, &record, head, once));
        tokio::select! {
            biased;
            done = sent => done,
            revoked = &mut ending => Err(revoked),
        }
    };
    Ok(match sent {
        Ok(mut sent) => {
            client.worker.shared.http_ports.insert(client.app.endpoint.addr.port());
            // Only a proxy says this, and this one has no error to tell.
            sent.0.headers_mut().remove(headers::ERROR);
            forward::pass_on(sent, record, version, Some(ending))
        }
        Err(error) => {
            let mut response = forward::fail(&error, record);
            if error.reused && meshed {
                response.headers_mut().insert(headers::RACED, HeaderValue::from_static("1"));
            }
            response
        }
    })
}

/// The response. An application that was closing an idle connection is asked once more, but not `once`. One that does not
/// listen is not: the client's proxy knows other pods. The error tells it whether that was the first time.
async fn attempts(client: &Client, record: &Record, head: Parts, once: bool) -> Result<Sent, Error> {
    if head.version >= Version::HTTP_2 && head.method == Method::CONNECT {
        return Err(Error::new(Code::Protocol, "CONNECT over HTTP/2 is not supported"));
    }
    headers::check_host(&head)?;
    let error = match attempt(client, record, head).await {
        Err(error) if !once && forward::may_have_raced(&error, &record.head().method) => error,
        done => return done,
    };
    match Box::pin(attempt(client, record, forward::copy_head(record.head()))).await {
        // The first one may have been seen: nobody may take the request for undelivered, and ask one pod after the other.
        Err(second) if second.code.is_undelivered() => Err(error),
        Err(second) => Err(Error { reused: false, ..second }),
        sent => sent,
    }
}

async fn attempt(client: &Client, record: &Record, head: Parts) -> Result<Sent, Error> {
    let wire = if head.version < Version::HTTP_2 { Wire::Http1 } else { Wire::Http2 };
    let gone = || Error::new(Code::Lost, "the application closed the connection");
    let mut request = Request::from_parts(head, forward::body(record).ok_or_else(gone)?);
    if wire == Wire::Http2 {
        request = absolute(request, client.app.endpoint.addr)?;
    }
    let sent = client::send(&client.worker, &client.app, wire, request).await;
    sent.map_err(|error| forward::blame(record, error))
}

fn absolute<B>(request: Request<B>, dst: SocketAddr) -> Result<Request<B>, Error> {
    let (mut head, body) = request.into_parts();
    headers::absolute(&mut head, dst)?;
    Ok(Request::from_parts(head, body))
}

/// WebSocket, CONNECT, from a client outside the mesh: a connection of its own to the application.
async fn answer_upgrade(
    client: &Client,
    request: Request<Received>,
    audited: Option<Arc<str>>,
) -> Response<Body> {
    let (head, incoming) = request.into_parts();
    let worker = &client.worker;
    let (guard, method, uri) = (client.guard.clone(), head.method.clone(), head.uri.clone());
    let record = Record::begin(worker.clone(), client.subject.clone(), client.asked(&head, None, audited));
    let revoked = async move {
        guard.revoked(Call::Request { method: method.as_str(), path: uri.path() }).await;
    };
    let sent = async {
        let io = connect::open(worker, &client.app, ALPN_TCP, None).await?;
        let (request, lease) = (Request::from_parts(head, incoming), Lease::new(client.app.clone()));
        upgrade::send(io, request, lease, worker.shared.drain.live(), &client.vigil, revoked).await
    };
    match sent.await {
        Ok(mut sent) => {
            sent.0.headers_mut().remove(headers::ERROR);
            forward::pass_on_upgrade(sent, record)
        }
        Err(error) => forward::fail(&error, record),
    }
}
