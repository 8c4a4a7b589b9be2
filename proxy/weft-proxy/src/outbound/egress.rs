//! What leaves the mesh: counted by host or address, and refused where a policy does not let it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use http::header::HOST;
use http::request::Parts;
use tokio::net::TcpStream;
use tokio::sync::watch;

use crate::denial::{Denial, Mode};
use crate::detect::{self, Found, Kind, Patience};
use crate::discovery::{Destination, Outbound};
use crate::error::{Code, Error};
use crate::hello;
use crate::policy::{self, Egress};
use crate::socket;
use crate::tap::Direction;
use crate::worker::Shared;

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
            Ok(_) => Ok((found, Some(Box::new(Left { source: self.source, dst: self.dst, name })))),
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

/// An open connection out of the mesh that is no HTTP.
pub struct Left {
    pub source: SocketAddr,
    pub dst: SocketAddr,
    /// The host that it named.
    pub name: Option<String>,
}

impl Left {
    /// Waits until a change forbids what was allowed when it began.
    pub async fn revoked(&self, shared: &Shared, mut updates: watch::Receiver<Arc<Outbound>>) -> Error {
        loop {
            let rules = match &updates.borrow_and_update().destination {
                Destination::NotInMesh(rules) => rules.clone(),
                Destination::Service(_) | Destination::Pod(_) => None,
            };
            let name = self.name.as_deref();
            if let Some(rules) = rules.filter(|rules| !rules.audit && !rules.allows(self.dst, name)) {
                let exit = Exit { rules: Some(&rules), shared, source: self.source, dst: self.dst };
                if let Err(error) = exit.judge(name, None) {
                    return error;
                }
            }
            if updates.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
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
