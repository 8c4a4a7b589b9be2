//! One request of the application: route → balance → send, or the answer that its route gives instead.

use std::future::pending;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use http::request::Parts;
use http::{Request, Response};
use http_body::Body as _;
use tokio::time::{Sleep, sleep};

use super::attempts::{Deadline, attempts, in_time, sooner, towards};
use super::egress::{Exit, Left, by_service, named};
use super::{MAX_ATTEMPTS, Opened, next, no_endpoints, pause};
use crate::connect;
use crate::error::{Code, Error};
use crate::http::body::{Body, BoxError, Ending, Source};
use crate::http::client::Lease;
use crate::http::received::Received;
use crate::http::record::{Asked, Record, Subject};
use crate::http::{forward, headers, upgrade};
use crate::identity::ALPN_TCP;
use crate::metrics::Tls;
use crate::route::{self, Backend, Chosen, Plan, Reply, Target, Upstream};
use crate::tap::Direction;
use crate::vigil::{Busy, Vigil};
use crate::worker::Worker;

const LATE: &str = "no response within the time that the route allows";

/// A connection of the application, as its requests see it.
pub struct Conn {
    pub worker: Rc<Worker>,
    pub target: Rc<Target>,
    pub source: SocketAddr,
    pub vigil: Rc<Vigil>,
}

impl Conn {
    /// Whether the request may leave the mesh, if it does.
    fn leave(&self, plan: &Plan, head: &Parts) -> Result<Option<Arc<str>>, Error> {
        let Some(rules) = &plan.exit else { return Ok(None) };
        let (shared, source) = (&self.worker.shared, self.source);
        Exit { rules: rules.as_ref(), shared, source, dst: self.target.dst }.request(head)
    }

    fn asked(
        &self,
        chosen: &Chosen<'_>,
        head: &Parts,
        source: Option<Rc<Source>>,
        audited: Option<Arc<str>>,
    ) -> Asked {
        Asked {
            head: forward::copy_head(head),
            source,
            busy: Some(Busy::new(&self.vigil)),
            classes: chosen.rule.and_then(|rule| rule.classes.clone()),
            audited,
        }
    }

    /// What leaves the mesh.
    fn left(&self, head: &Parts) -> Box<Left> {
        let (source, dst, updates) = (self.source, self.target.dst, self.target.updates());
        Box::new(Left { source, dst, name: named(head), request: None, audited: None, updates })
    }
}

/// The response to one request, whatever happens.
pub async fn answer(conn: Rc<Conn>, request: Request<Received>) -> Result<Response<Body>, BoxError> {
    let plan = conn.target.plan(&conn.worker).await;
    let (mut head, incoming) = request.into_parts();
    let chosen = plan.choose(&head, &conn.worker.lots);
    let audited = match conn.leave(&plan, &head) {
        Ok(audited) => audited,
        Err(error) => {
            let asked = Asked { head, source: None, busy: None, classes: None, audited: None };
            return Ok(forward::fail(&error, begin(&conn, &plan, &chosen, asked)));
        }
    };
    let upgrade = headers::strip_request(&mut head);
    headers::strip_reserved(&mut head.headers);
    if upgrade {
        let request = Request::from_parts(head, incoming);
        return Ok(Box::pin(answer_upgrade(&conn, &plan, chosen, request, audited)).await);
    }
    let version = head.version;
    let source = (!incoming.is_end_stream()).then(|| Source::new(incoming, true));
    let asked = conn.asked(&chosen, &head, source, audited);
    let mut record = begin(&conn, &plan, &chosen, asked);
    let upstream = match chosen.backend {
        Backend::Service(upstream) => upstream,
        Backend::Instead(reply) => return Ok(answer_instead(&conn, &plan, chosen, reply, record)),
    };
    let limit = chosen.rule.map_or(conn.worker.shared.config.request_timeout, |rule| rule.timeout);
    let mut deadline = limit.map(|limit| Box::pin(sleep(limit)));
    let sent = {
        let sent = pin!(attempts(&conn, chosen, upstream, &mut record, head));
        in_time(sent, deadline.as_mut(), LATE).await
    };
    Ok(match sent {
        Ok((sent, of_try, by_service)) => {
            conn.target.heard(&sent.0);
            let left = plan.exit.as_ref().map(|_| conn.left(record.head())).or(by_service);
            let left = left.map(|left| left.of(record.head()));
            let ending = ending(&conn.worker, sooner(deadline, of_try), left);
            let mut response = forward::pass_on(sent, record, version, ending);
            chosen.change_response(Some(upstream), response.headers_mut());
            response
        }
        Err(error) => give_up(&conn, &plan, &chosen, &error, record),
    })
}

fn give_up(
    conn: &Conn,
    plan: &Plan,
    chosen: &Chosen<'_>,
    error: &Error,
    mut record: Record,
) -> Response<Body> {
    record.given_up(|| plan.unreached(chosen.rule, &conn.worker.shared.metrics));
    forward::fail(error, record)
}

/// Ends a response that is not whole in time, or comes from where the pod may call no longer.
fn ending(worker: &Rc<Worker>, deadline: Deadline, left: Option<Box<Left>>) -> Option<Ending> {
    let Some(left) = left else { return deadline.map(late) };
    let worker = worker.clone();
    let late = deadline.map_or_else(|| Box::pin(pending()) as Ending, late);
    Some(Box::pin(async move {
        let revoked = left.revoked(&worker.shared, worker.shared.config.revoked_grace);
        tokio::select! {
            late = late => late,
            revoked = revoked => revoked,
        }
    }))
}

fn late(deadline: Pin<Box<Sleep>>) -> Ending {
    Box::pin(async move {
        deadline.await;
        Error::new(Code::Timeout, "the response took longer than the route allows")
    })
}

/// The client gets what its route says, and no endpoint hears of it.
fn answer_instead(
    conn: &Conn,
    plan: &Plan,
    chosen: Chosen<'_>,
    reply: &Reply,
    mut record: Record,
) -> Response<Body> {
    record.given_up(|| plan.unreached(chosen.rule, &conn.worker.shared.metrics));
    match reply {
        Reply::Error(status, error) => forward::answer(*status, error, record),
        Reply::Redirect(redirect) => {
            match route::location(redirect, record.head(), chosen.prefix, conn.target.dst) {
                Ok(location) => {
                    let mut response = forward::redirect(redirect.status, location, record);
                    chosen.change_response(None, response.headers_mut());
                    response
                }
                Err(error) => forward::fail(&error, record),
            }
        }
    }
}

/// WebSocket, CONNECT: a connection of its own to an endpoint, in mesh TLS as bytes.
async fn answer_upgrade(
    conn: &Rc<Conn>,
    plan: &Plan,
    chosen: Chosen<'_>,
    request: Request<Received>,
    audited: Option<Arc<str>>,
) -> Response<Body> {
    let (mut head, incoming) = request.into_parts();
    let left = plan.exit.as_ref().map(|_| conn.left(&head));
    let asked = conn.asked(&chosen, &head, None, audited);
    let mut record = begin(conn, plan, &chosen, asked);
    let upstream = match chosen.backend {
        Backend::Service(upstream) => upstream,
        Backend::Instead(reply) => return answer_instead(conn, plan, chosen, reply, record),
    };
    let sent = async {
        headers::check_host(&head)?;
        chosen.change_request(upstream, &mut head)?;
        let Opened { node, io, left: by_service } =
            connect_upgrade(conn, &chosen, upstream, &mut record).await?;
        let revoked = revoked(conn.worker.clone(), left.or(by_service));
        let (request, lease) = (Request::from_parts(head, incoming), Lease::new(node));
        upgrade::send(io, request, lease, conn.worker.shared.drain.live(), &conn.vigil, revoked).await
    };
    match sent.await {
        Ok(sent) => {
            conn.target.heard(&sent.0);
            let mut response = forward::pass_on_upgrade(sent, record);
            chosen.change_response(Some(upstream), response.headers_mut());
            response
        }
        Err(error) => give_up(conn, plan, &chosen, &error, record),
    }
}

/// When a connection that left HTTP, and the mesh, may do so no longer.
async fn revoked(worker: Rc<Worker>, left: Option<Box<Left>>) {
    match left {
        Some(left) => drop(left.revoked(&worker.shared, Duration::ZERO).await),
        None => pending().await,
    }
}

async fn connect_upgrade(
    conn: &Conn,
    chosen: &Chosen<'_>,
    upstream: &Upstream,
    record: &mut Record,
) -> Result<Opened, Error> {
    let mut tried = Vec::new();
    let mut last = no_endpoints(&upstream.name);
    for attempt in 1..=MAX_ATTEMPTS {
        let node = next(&conn.worker, upstream, &mut tried, pause(attempt)).await?;
        let left = by_service(&conn.worker.shared, &node, conn.source, Some(record.head())).await?;
        towards(conn, chosen, &node, left.as_deref(), record);
        match connect::open(&conn.worker, &node, ALPN_TCP, None).await {
            Ok(io) => return Ok(Opened { node, io, left }),
            Err(error) => last = error,
        }
        tried.push(node);
    }
    Err(last)
}

/// The record of a request that has no endpoint yet.
fn begin(conn: &Conn, plan: &Plan, chosen: &Chosen<'_>, asked: Asked) -> Record {
    let subject = Subject {
        direction: Direction::Outbound,
        source: conn.source,
        destination: conn.target.dst,
        tls: Tls::NoIdentity,
        identity: None,
        dst: plan.dst.clone(),
        route: chosen.route().cloned(),
        requests: plan.unreached(None, &conn.worker.shared.metrics),
    };
    Record::begin(conn.worker.clone(), subject, asked)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn room<A, B, R>(_: impl Fn(A, B) -> R) -> usize {
        size_of::<R>()
    }

    /// A request under way takes little room: nothing of it is there twice because it was moved.
    #[test]
    fn requests_are_small() {
        assert!(room(answer) <= 4500, "{}", room(answer));
    }
}
