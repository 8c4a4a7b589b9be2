//! Sending one request: to an endpoint, and again elsewhere when it surely did not arrive or its route retries.

use std::pin::{Pin, pin};
use std::rc::Rc;
use std::time::Instant;

use http::request::Parts;
use http::{HeaderValue, Method, Request, Version};
use tokio::time::{Sleep, sleep};

use super::egress::{Left, by_service};
use super::request::Conn;
use super::retry::{Retries, Verdict};
use super::{MAX_ATTEMPTS, next, no_endpoints};
use crate::balance::ewma::Load;
use crate::balance::node::Node;
use crate::error::{Code, Error};
use crate::http::body::RequestBody;
use crate::http::client::{self, Sent, Wire};
use crate::http::record::{Record, Subject};
use crate::http::{forward, headers};
use crate::route::{Chosen, Upstream};
use crate::tap::Direction;

pub type Deadline = Option<Pin<Box<Sleep>>>;

const TRY_LATE: &str = "no response within the time that the route allows for one try";

/// The response, until when it has to be whole, and what left the mesh by a Service to get it.
pub async fn attempts(
    conn: &Conn,
    chosen: Chosen<'_>,
    upstream: &Upstream,
    record: &mut Record,
    head: Parts,
) -> Result<(Sent, Deadline, Option<Box<Left>>), Error> {
    let (mut head, mut tried) = (Some(head), Vec::new());
    let mut retries = Retries::new(&chosen, record.started);
    let limit = if chosen.single_try() { 1 } else { MAX_ATTEMPTS.saturating_add(retries.max()) };
    for attempt in 1..=limit {
        let node = next(&conn.worker, upstream, &mut tried, retries.pause(attempt)).await?;
        let mut left = None;
        if node.endpoint.is_outside() {
            left = Box::pin(by_service(&conn.worker.shared, &node, conn.source, Some(record.head()))).await?;
        }
        towards(conn, &chosen, &node, left.as_deref(), record);
        let head = head.take().unwrap_or_else(|| forward::copy_head(record.head()));
        let Some(body) = forward::body(record) else { break };
        let mut deadline = chosen.rule.and_then(|rule| rule.try_timeout).map(|limit| Box::pin(sleep(limit)));
        let sent = {
            let sent = pin!(send(conn, chosen, upstream, &node, head, body));
            in_time(sent, deadline.as_mut(), TRY_LATE).await
        };
        let error = match retries.judge(sent, record, &node, attempt == limit) {
            Verdict::Done(done) => return done.map(|sent| (sent, deadline, left)),
            Verdict::Again(error) => error,
        };
        tracing::debug!(%error, attempt, "again");
        retries.back_off().await;
        tried.push(node);
    }
    Err(no_endpoints(&upstream.name))
}

/// `work` is pinned by the caller: what is moved on leaves its room behind in the future of every request.
pub async fn in_time<T>(
    work: Pin<&mut impl Future<Output = Result<T, Error>>>,
    deadline: Option<&mut Pin<Box<Sleep>>>,
    late: &'static str,
) -> Result<T, Error> {
    let Some(deadline) = deadline else { return work.await };
    tokio::select! {
        biased;
        done = work => done,
        () = deadline => Err(Error::new(Code::Timeout, late)),
    }
}

pub fn sooner(one: Deadline, other: Deadline) -> Deadline {
    match (one, other) {
        (Some(one), Some(other)) => Some(if one.deadline() <= other.deadline() { one } else { other }),
        (one, other) => one.or(other),
    }
}

async fn send(
    conn: &Conn,
    chosen: Chosen<'_>,
    upstream: &Upstream,
    node: &Rc<Node>,
    mut head: Parts,
    body: RequestBody,
) -> Result<Sent, Error> {
    headers::check_host(&head)?;
    chosen.change_request(upstream, &mut head)?;
    let wire = prepare(&mut head, conn, node)?;
    if chosen.single_try() && node.identity().is_some() {
        head.headers.insert(headers::ONCE, HeaderValue::from_static("1"));
    }
    let mut asked = Asked::new(&node.load);
    let sent = client::send(&conn.worker, node, wire, Request::from_parts(head, body)).await?;
    asked.answered = true;
    headers::check_size(sent.0.headers())?;
    Ok(sent)
}

/// A try, until its answer or until it is given up: it failed, took too long, or the client left.
struct Asked<'a> {
    load: &'a Load,
    since: Instant,
    answered: bool,
}

impl<'a> Asked<'a> {
    fn new(load: &'a Load) -> Self {
        let since = Instant::now();
        load.ask(since);
        Self { load, since, answered: false }
    }
}

impl Drop for Asked<'_> {
    fn drop(&mut self) {
        let now = Instant::now();
        let took = now.saturating_duration_since(self.since);
        if self.answered { self.load.answered(took, now) } else { self.load.given_up(took, now) }
    }
}

/// Between proxies all HTTP is HTTP/2; other servers are spoken to as the application speaks.
fn prepare(head: &mut Parts, conn: &Conn, node: &Node) -> Result<Wire, Error> {
    if head.version >= Version::HTTP_2 && head.method == Method::CONNECT {
        return Err(Error::new(Code::Protocol, "CONNECT over HTTP/2 is not supported"));
    }
    if node.identity().is_some() {
        headers::into_mesh(head, conn.target.dst)?;
        return Ok(Wire::Http2);
    }
    if head.version < Version::HTTP_2 {
        return Ok(Wire::Http1);
    }
    headers::absolute(head, conn.target.dst)?;
    Ok(Wire::Http2)
}

/// The next try goes to `node`, which may be outside the mesh.
pub fn towards(conn: &Conn, chosen: &Chosen<'_>, node: &Rc<Node>, left: Option<&Left>, record: &mut Record) {
    if let Some(left) = left {
        record.audit(left.audited.clone());
    }
    let subject = Subject {
        direction: Direction::Outbound,
        source: conn.source,
        destination: node.endpoint.addr,
        tls: node.tls,
        identity: node.identity().cloned(),
        dst: node.labels().clone(),
        route: chosen.route().cloned(),
        requests: node.requests(chosen.route(), &conn.worker.shared.metrics),
    };
    record.towards(node.clone(), subject);
}
