//! CONNECT on the loopback: the tap service dials a proxy's tap port through here, and mesh TLS is made on the way.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow, ensure};
use http::{Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::client::TlsStream;

use crate::control::accept;
use crate::control::dial;
use crate::control::dns::Dns;
use crate::identity::{ALPN_H2, Identity, is_workload};

const HEADER_TIMEOUT: Duration = Duration::from_secs(5);
const SUFFIX: &str = ".pod.weft";

/// Whom a CONNECT asks for: an address, and the identity that must be found there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Destination {
    pub address: SocketAddr,
    pub id: String,
}

impl Destination {
    /// `<ip-with-dashes>.<namespace>.<service-account>.pod.weft:<port>`; the service account may hold dots.
    pub fn parse(authority: &str, trust_domain: &str) -> anyhow::Result<Self> {
        let (host, port) = authority.rsplit_once(':').ok_or_else(|| anyhow!("no port in {authority:?}"))?;
        let name = host.strip_suffix(SUFFIX).ok_or_else(|| anyhow!("{host:?} does not end with {SUFFIX}"))?;
        let mut labels = name.splitn(3, '.');
        let (Some(ip), Some(namespace), Some(account)) = (labels.next(), labels.next(), labels.next()) else {
            return Err(anyhow!("{host:?} is not IP.NAMESPACE.SERVICE-ACCOUNT{SUFFIX}"));
        };
        let id = format!("spiffe://{trust_domain}/ns/{namespace}/sa/{account}");
        ensure!(is_workload(&id, trust_domain), "{host:?} names no service account");
        Ok(Self { address: SocketAddr::new(address(ip)?, port.parse().context("port")?), id })
    }
}

fn address(dashed: &str) -> anyhow::Result<IpAddr> {
    let v4 = dashed.replace('-', ".").parse();
    v4.or_else(|_| dashed.replace('-', ":").parse()).with_context(|| format!("{dashed:?} is no IP address"))
}

/// Serves for ever. Only the loopback reaches it: the tap service in the same pod.
pub async fn serve(listener: TcpListener, identity: Arc<Identity>, trust_domain: String) {
    let trust_domain: Arc<str> = trust_domain.into();
    loop {
        let (stream, _) = accept::next(&listener).await;
        let (identity, trust_domain) = (identity.clone(), trust_domain.clone());
        tokio::spawn(async move {
            let service = service_fn(move |request| answer(request, identity.clone(), trust_domain.clone()));
            let result = hyper::server::conn::http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEADER_TIMEOUT)
                .serve_connection(TokioIo::new(stream), service)
                .with_upgrades()
                .await;
            if let Err(error) = result {
                tracing::debug!(%error, "CONNECT");
            }
        });
    }
}

async fn answer(
    request: Request<Incoming>,
    identity: Arc<Identity>,
    trust_domain: Arc<str>,
) -> hyper::Result<Response<String>> {
    let authority = request.uri().authority().map(ToString::to_string).unwrap_or_default();
    if request.method() != Method::CONNECT {
        return Ok(refuse(StatusCode::METHOD_NOT_ALLOWED, "only CONNECT".to_owned()));
    }
    let destination = match Destination::parse(&authority, &trust_domain) {
        Ok(destination) => destination,
        Err(error) => return Ok(refuse(StatusCode::BAD_REQUEST, format!("{error:#}"))),
    };
    match dial(&destination, &identity).await {
        Ok(stream) => {
            tokio::spawn(tunnel(request, stream));
            Ok(Response::new(String::new()))
        }
        Err(error) => Ok(refuse(StatusCode::BAD_GATEWAY, format!("{}: {error:#}", destination.address))),
    }
}

async fn dial(destination: &Destination, identity: &Identity) -> anyhow::Result<TlsStream<TcpStream>> {
    let config = identity.client_config(&destination.id, ALPN_H2).context("no certificate yet")?;
    dial::tls(dial::tcp(&Dns::default(), &destination.address.into()).await?, config).await
}

async fn tunnel(request: Request<Incoming>, mut stream: TlsStream<TcpStream>) {
    match hyper::upgrade::on(request).await {
        Ok(upgraded) => {
            // Either side may just hang up; there is no one to tell.
            let _ = copy_bidirectional(&mut TokioIo::new(upgraded), &mut stream).await;
        }
        Err(error) => tracing::debug!(%error, "CONNECT"),
    }
}

fn refuse(status: StatusCode, cause: String) -> Response<String> {
    tracing::info!(%status, cause, "CONNECT refused");
    let mut response = Response::new(cause);
    *response.status_mut() = status;
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(authority: &str) -> Result<(String, String), String> {
        let parsed = Destination::parse(authority, "cluster.local").map_err(|error| format!("{error:#}"))?;
        Ok((parsed.address.to_string(), parsed.id))
    }

    #[test]
    fn the_authority_names_address_and_identity() {
        assert_eq!(
            Ok(("10.1.2.3:4190".into(), "spiffe://cluster.local/ns/shop/sa/web".into())),
            parse("10-1-2-3.shop.web.pod.weft:4190")
        );
        assert_eq!(
            Ok(("[fd00::3]:4190".into(), "spiffe://cluster.local/ns/shop/sa/web.v2".into())),
            parse("fd00--3.shop.web.v2.pod.weft:4190")
        );
    }

    #[test]
    fn other_authorities_are_refused() {
        for authority in [
            "10-1-2-3.shop.web.pod.weft",
            "10.1.2.3:4190",
            "x.shop.web.pod.weft:1",
            "10-1-2-3.shop.pod.weft:1",
        ] {
            assert!(parse(authority).is_err(), "{authority}");
        }
    }
}
