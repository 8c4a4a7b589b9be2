//! What leaves the mesh: counted by host or address, and refused where a policy does not let it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use http::header::HOST;
use http::request::Parts;
use http::{Method, Uri};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::sleep;

use crate::balance::node::Node;
use crate::denial::{Denial, Mode};
use crate::detect::{self, Found, Kind, Patience};
use crate::discovery::{Destination, Outbound};
use crate::error::{Code, Error};
use crate::hello;
use crate::policy::{self, Egress};
use crate::socket;
use crate::tap::Direction;
use crate::worker::{Shared, unknown};

type Updates = watch::Receiver<Arc<Outbound>>;

/// A client that may only name a host does so within this long; and a ClientHello is complete.
const NAMED: Duration = Duration::from_secs(5);

/// An address outside the mesh.
pub struct Exit<'a> {
    pub rules: Option<&'a Arc<Egress>>,
    pub shared: &'a Shared,
    pub source: SocketAddr,
    pub dst: SocketAddr,
}

impl Exit<'_> {
    /// What a connection turns out to be, if it may leave; requests are asked for one by one.
    pub async fn connection(
        &self,
        found: Found,
        stream: &TcpStream,
        buf: &mut BytesMut,
        updates: Updates,
    ) -> Result<(Found, Option<Box<Left>>), Error> {
        let failed = |e: std::io::Error| Error::new(Code::Protocol, e.to_string());
        let by_name = || self.rules.is_some_and(|rules| !rules.audit && !rules.allows_address(self.dst));
        let found = match found {
            // Nobody outside is called before it is clear who is meant.
            Found::Silent if by_name() => {
                detect::detect(stream, buf, Patience::Silence(NAMED)).await.map_err(failed)?
            }
            found => found,
        };
        let name = match found {
            Found::Kind(Kind::Http1 | Kind::Http2) => return Ok((found, None)),
            Found::Kind(Kind::Tls) => server_name(stream, buf).await.map_err(failed)?,
            _ => None,
        };
        match self.judge(name.as_deref(), None) {
            Ok(audited) => {
                let (source, dst) = (self.source, self.dst);
                Ok((found, Some(Box::new(Left { source, dst, name, request: None, audited, updates }))))
            }
            Err(error) => {
                let _ = socket::reset(stream);
                Err(error)
            }
        }
    }

    /// Whether a request may leave; and if it would not, were the policy enforced, its name.
    pub fn request(&self, head: &Parts) -> Result<Option<Arc<str>>, Error> {
        self.judge(named(head).as_deref(), Some((head.method.as_str(), head.uri.path())))
    }

    fn judge(&self, name: Option<&str>, request: Option<(&str, &str)>) -> Result<Option<Arc<str>>, Error> {
        let refused = self.rules.filter(|rules| !rules.allows(self.dst, name));
        let mode = refused.map(|rules| if rules.audit { Mode::Audit } else { Mode::Enforce });
        let to = name.map_or_else(|| self.dst.to_string(), str::to_owned);
        self.shared.metrics.egress(&to, mode.map_or("allow", Mode::as_str));
        let Some((rules, mode)) = refused.zip(mode) else { return Ok(None) };
        let denial = Denial {
            mode,
            by: &rules.name,
            error: Error::new(Code::Egress, format!("{to} is not allowed by {}", rules.name)),
            request,
            direction: Direction::Outbound,
            identity: None,
            source: self.source,
            destination: self.dst,
        };
        denial.tell(self.shared);
        match mode {
            Mode::Audit => Ok(Some(rules.name.clone())),
            Mode::Enforce => Err(denial.error),
        }
    }
}

/// A Service may lead out of the mesh, to whatever address somebody wrote down: that has to be allowed then, and hosts do
/// not count. None: it leads to a pod.
pub async fn by_service(
    shared: &Shared,
    node: &Node,
    source: SocketAddr,
    request: Option<&Parts>,
) -> Result<Option<Box<Left>>, Error> {
    if !node.endpoint.is_outside() {
        return Ok(None);
    }
    let (updates, dst) = (shared.discovery.outside().await.map_err(unknown)?, node.endpoint.addr);
    let rules = rules(&updates);
    let exit = Exit { rules: rules.as_ref(), shared, source, dst };
    let audited = exit.judge(None, request.map(|head| (head.method.as_str(), head.uri.path())))?;
    Ok(Some(Box::new(Left { source, dst, name: None, request: None, audited, updates })))
}

/// What may be called outside the mesh.
fn rules(updates: &Updates) -> Option<Arc<Egress>> {
    match &updates.borrow().destination {
        Destination::NotInMesh(rules) => rules.clone(),
        Destination::Service(_) | Destination::Pod(_) => None,
    }
}

/// What leaves the mesh and has been let out.
pub struct Left {
    pub source: SocketAddr,
    pub dst: SocketAddr,
    /// The host that it named.
    pub name: Option<String>,
    /// None: it is not HTTP, or no longer.
    pub request: Option<(Method, Uri)>,
    /// The policy that would refuse it, were it enforced.
    pub audited: Option<Arc<str>>,
    pub updates: Updates,
}

impl Left {
    /// A request.
    pub fn of(mut self: Box<Self>, head: &Parts) -> Box<Self> {
        self.request = Some((head.method.clone(), head.uri.clone()));
        self
    }

    /// Waits until a change forbids what was allowed when it began, and still does after so long.
    pub async fn revoked(mut self: Box<Self>, shared: &Shared, grace: Duration) -> Error {
        loop {
            self.updates.mark_unchanged();
            if self.refused().is_some() && !grace.is_zero() {
                Box::pin(sleep(grace)).await;
            }
            if let Some(rules) = self.refused() {
                let exit = Exit { rules: Some(&rules), shared, source: self.source, dst: self.dst };
                let request = self.request.as_ref().map(|(method, uri)| (method.as_str(), uri.path()));
                if let Err(error) = exit.judge(self.name.as_deref(), request) {
                    return error;
                }
            }
            if self.updates.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// The list that it is not on.
    fn refused(&self) -> Option<Arc<Egress>> {
        rules(&self.updates).filter(|rules| !rules.audit && !rules.allows(self.dst, self.name.as_deref()))
    }
}

/// The host that a request is for.
pub fn named(head: &Parts) -> Option<String> {
    let of_header = || head.headers.get(HOST).and_then(|host| host.to_str().ok()?.parse().ok());
    let authority: Option<http::uri::Authority> = head.uri.authority().cloned().or_else(of_header);
    authority.and_then(|authority| policy::host(authority.host()))
}

/// The host that a ClientHello names.
async fn server_name(stream: &TcpStream, buf: &mut BytesMut) -> std::io::Result<Option<String>> {
    let Ok(hello) = tokio::time::timeout(NAMED, hello::read(stream, buf)).await else { return Ok(None) };
    Ok(hello?.and_then(|accepted| policy::host(accepted.client_hello().server_name()?)))
}
