//! One request of the application: route → balance → send, and again elsewhere when it surely did not arrive.

use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::time::Instant;

use http::request::Parts;
use http::{Method, Request, Response, Version};
use hyper::body::{Body as _, Incoming};
use tokio::time::{Sleep, sleep};

use super::{MAX_ATTEMPTS, next, no_endpoints};
use crate::balance::node::Node;
use crate::connect;
use crate::error::{Code, Error};
use crate::http::body::{Body, BoxError, RequestBody, Source};
use crate::http::classify::fails;
use crate::http::client::{self, Lease, Wire};
use crate::http::record::{Record, Subject};
use crate::http::{forward, headers, upgrade};
use crate::identity::ALPN_TCP;
use crate::metrics::{Retry as Counted, Tls};
use crate::route::{Chosen, Plan, Retry, Target};
use crate::tap::Direction;
use crate::vigil::{Busy, Vigil};
use crate::worker::Worker;

/// Of a route that retries, a failed request is sent again so often at most.
const MAX_RETRIES: u32 = 3;

/// A connection of the application, as its requests see it.
pub struct Conn {
    pub worker: Rc<Worker>,
    pub target: Rc<Target>,
    pub source: SocketAddr,
    pub vigil: Rc<Vigil>,
}

/// The response to one request, whatever happens.
pub async fn answer(conn: Rc<Conn>, request: Request<Incoming>) -> Result<Response<Body>, BoxError> {
    let plan = conn.target.plan(&conn.worker).await;
    let (mut head, incoming) = request.into_parts();
    let chosen = plan.choose(&head, &conn.worker.lots, conn.worker.shared.config.request_timeout);
    if headers::is_upgrade(&head) {
        return Ok(Box::pin(answer_upgrade(&conn, &plan, chosen, Request::from_parts(head, incoming))).await);
    }
    headers::strip_hop(&mut head.headers);
    headers::strip_reserved(&mut head.headers);
    let version = head.version;
    let source = (!incoming.is_end_stream()).then(|| Source::new(incoming, true));
    let subject = nowhere(&conn, &plan, &chosen);
    let mut record = Record::begin(conn.worker.clone(), subject, forward::copy_head(&head), source);
    record.busy = Some(Busy::new(&conn.vigil));
    let mut deadline = chosen.timeout.map(|limit| Box::pin(sleep(limit)));
    let sent = in_time(attempts(&conn, &plan, &chosen, &mut record, head), deadline.as_mut()).await;
    Ok(match sent {
        Ok(sent) => {
            conn.target.heard(&sent.0);
            forward::pass_on(sent, record, version, deadline)
        }
        Err(error) => forward::fail(&error, record),
    })
}

async fn in_time<T>(
    work: impl Future<Output = Result<T, Error>>,
    deadline: Option<&mut Pin<Box<Sleep>>>,
) -> Result<T, Error> {
    let Some(deadline) = deadline else { return work.await };
    tokio::select! {
        biased;
        done = work => done,
        () = deadline => Err(Error::new(Code::Timeout, "no response within the time that the route allows")),
    }
}

async fn attempts(
    conn: &Conn,
    plan: &Plan,
    chosen: &Chosen,
    record: &mut Record,
    head: Parts,
) -> Result<(Response<Incoming>, Lease), Error> {
    let worker = &conn.worker;
    let (mut head, mut tried) = (Some(head), Vec::new());
    let mut retries = Retries::new(chosen, record.started);
    for attempt in 1..=MAX_ATTEMPTS {
        let node = next(worker, &plan.name, &chosen.balancer, &mut tried, attempt).await?;
        record.subject = towards(conn, chosen, &node);
        record.node = Some(node.clone());
        let head = head.take().unwrap_or_else(|| forward::copy_head(&record.head));
        let Some(body) = forward::body(record) else { break };
        let error = match send(conn, &node, head, body).await {
            Ok(sent) => match undelivered(&sent.0, &node) {
                Some(error) if attempt < MAX_ATTEMPTS && has_body(record) => {
                    node.missed(Instant::now());
                    error
                }
                _ if fails(&sent.0, record.is_grpc()) => {
                    if attempt == MAX_ATTEMPTS || !retries.allow(record) {
                        return Ok(sent);
                    }
                    node.judge(false, Instant::now());
                    Error::new(Code::Lost, format!("{} answered {}", node.endpoint.addr, sent.0.status()))
                }
                _ => {
                    retries.succeeded();
                    return Ok(sent);
                }
            },
            Err(error) => {
                let error = forward::blame(record, error);
                let harmless = has_body(record) && forward::may_resend(&error, &record.head.method);
                let again = harmless || error.code == Code::Lost && retries.allow(record);
                if attempt == MAX_ATTEMPTS || !again {
                    return Err(error);
                }
                if error.code == Code::Lost {
                    node.judge(false, Instant::now());
                }
                error
            }
        };
        tracing::debug!(%error, attempt, "again");
        tried.push(node);
    }
    Err(no_endpoints(&plan.name))
}

/// What becomes of a request by a route that retries.
struct Retries<'a> {
    rules: Option<&'a Retry>,
    /// How often it was sent again.
    count: u32,
}

impl<'a> Retries<'a> {
    fn new(chosen: &'a Chosen, now: Instant) -> Self {
        let rules = chosen.retry.as_deref();
        if let Some(retry) = rules {
            retry.budget.request(now);
        }
        Self { rules, count: 0 }
    }

    /// The request failed: whether to send it once more.
    fn allow(&mut self, record: &Record) -> bool {
        let Some(retry) = self.rules else { return false };
        let refused = match () {
            _ if self.count >= MAX_RETRIES => Counted::Failure,
            _ if !has_body(record) => Counted::TooLarge,
            _ if !retry.budget.retry(Instant::now()) => Counted::NoBudget,
            _ => {
                self.count += 1;
                return true;
            }
        };
        retry.counters.count(refused);
        false
    }

    fn succeeded(&self) {
        if let Some(retry) = self.rules.filter(|_| self.count > 0) {
            retry.counters.count(Counted::Success);
        }
    }
}

/// The body can be sent from its beginning.
fn has_body(record: &Record) -> bool {
    record.source.as_ref().is_none_or(|s| s.is_whole())
}

/// The peer's proxy says that its application has not seen the request: that one is believed only in mesh TLS.
fn undelivered(response: &Response<Incoming>, node: &Node) -> Option<Error> {
    let said = response.headers().get(headers::ERROR)?;
    let code = node.identity().and(Code::parse(said.as_bytes()))?;
    code.is_undelivered().then(|| Error::new(code, String::from_utf8_lossy(said.as_bytes()).into_owned()))
}

async fn send(
    conn: &Conn,
    node: &Rc<Node>,
    mut head: Parts,
    body: RequestBody,
) -> Result<(Response<Incoming>, Lease), Error> {
    let wire = prepare(&mut head, conn.target.dst, node)?;
    let started = Instant::now();
    let sent = client::send(&conn.worker, node, wire, Request::from_parts(head, body)).await?;
    node.load.observe(started.elapsed(), Instant::now());
    Ok(sent)
}

/// Between proxies all HTTP is HTTP/2; other servers are spoken to as the application speaks.
fn prepare(head: &mut Parts, dst: SocketAddr, node: &Node) -> Result<Wire, Error> {
    if head.version >= Version::HTTP_2 && head.method == Method::CONNECT {
        return Err(Error::new(Code::Protocol, "CONNECT over HTTP/2 is not supported"));
    }
    headers::check_host(head)?;
    if node.identity().is_some() {
        headers::into_mesh(head, dst)?;
        return Ok(Wire::Http2);
    }
    if head.version < Version::HTTP_2 {
        return Ok(Wire::Http1);
    }
    headers::absolute(head, dst)?;
    Ok(Wire::Http2)
}

/// WebSocket, CONNECT: a connection of its own to an endpoint, in mesh TLS as bytes.
async fn answer_upgrade(
    conn: &Conn,
    plan: &Plan,
    chosen: Chosen,
    request: Request<Incoming>,
) -> Response<Body> {
    let worker = &conn.worker;
    let (mut head, incoming) = request.into_parts();
    headers::strip_reserved(&mut head.headers);
    let subject = nowhere(conn, plan, &chosen);
    let mut record = Record::begin(worker.clone(), subject, forward::copy_head(&head), None);
    let mut tried = Vec::new();
    let mut last = no_endpoints(&plan.name);
    for attempt in 1..=MAX_ATTEMPTS {
        let node = match next(worker, &plan.name, &chosen.balancer, &mut tried, attempt).await {
            Ok(node) => node,
            Err(error) => return forward::fail(&error, record),
        };
        record.subject = towards(conn, &chosen, &node);
        match connect::open(worker, &node, ALPN_TCP, None).await {
            Ok(io) => {
                let request = Request::from_parts(head, incoming);
                return match upgrade::send(io, request, worker.shared.drain.live()).await {
                    Ok(response) => {
                        conn.target.heard(&response);
                        forward::pass_on_upgrade(response, record, Lease::new(node))
                    }
                    Err(error) => forward::fail(&error, record),
                };
            }
            Err(error) => last = error,
        }
        tried.push(node);
    }
    forward::fail(&last, record)
}

/// The subject of a request that has no endpoint yet.
fn nowhere(conn: &Conn, plan: &Plan, chosen: &Chosen) -> Subject {
    Subject {
        direction: Direction::Outbound,
        source: conn.source,
        destination: conn.target.dst,
        tls: Tls::NoIdentity,
        identity: None,
        dst: plan.dst.clone(),
        route: chosen.route.clone(),
        requests: plan.unreached(&conn.worker.shared.metrics),
    }
}

fn towards(conn: &Conn, chosen: &Chosen, node: &Node) -> Subject {
    Subject {
        direction: Direction::Outbound,
        source: conn.source,
        destination: node.endpoint.addr,
        tls: node.tls,
        identity: node.identity().cloned(),
        dst: node.labels().clone(),
        route: chosen.route.clone(),
        requests: node.requests(chosen.route.as_ref(), &conn.worker.shared.metrics),
    }
}
