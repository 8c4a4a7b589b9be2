//! Connections to the control plane: TCP, mesh TLS that verifies one SPIFFE ID, and a gRPC channel over it.

use std::io;
use std::net::SocketAddr;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow, bail, ensure};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tonic::transport::{Channel, Endpoint};
use tower::service_fn;

use super::dns::Dns;
use crate::identity::SNI;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);
/// How soon a control plane that vanished without a word is noticed.
const PING_INTERVAL: Duration = Duration::from_secs(10);
const PING_TIMEOUT: Duration = Duration::from_secs(5);

/// Where a service of the control plane listens: "identity.weft.svc.cluster.local:8080".
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    pub host: String,
    pub port: u16,
    /// Without TLS; only on the loopback, in the service's own pod.
    pub plain: bool,
}

impl Address {
    pub fn plain(address: SocketAddr) -> anyhow::Result<Self> {
        ensure!(address.ip().is_loopback(), "{address}: plain text is for the loopback only");
        Ok(Self { plain: true, ..address.into() })
    }
}

impl From<SocketAddr> for Address {
    fn from(address: SocketAddr) -> Self {
        Self { host: address.ip().to_string(), port: address.port(), plain: false }
    }
}

impl FromStr for Address {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        if let Ok(address) = text.parse::<SocketAddr>() {
            return Ok(address.into());
        }
        let (host, port) = text.rsplit_once(':').ok_or_else(|| anyhow!("{text:?} is not HOST:PORT"))?;
        let port = port.parse().with_context(|| format!("port of {text:?}"))?;
        Ok(Self { host: host.to_owned(), port, plain: false })
    }
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

/// Opens a TCP connection to the first address of the host that answers.
pub async fn tcp(dns: &Dns, address: &Address) -> anyhow::Result<TcpStream> {
    let mut failure = anyhow!("no address of {}", address.host);
    for ip in dns.resolve(&address.host).await? {
        match timeout(CONNECT_TIMEOUT, TcpStream::connect((ip, address.port))).await {
            Ok(Ok(stream)) => {
                stream.set_nodelay(true)?;
                return Ok(stream);
            }
            Ok(Err(error)) => {
                failure = anyhow::Error::new(error).context(format!("connect to {ip}:{}", address.port))
            }
            Err(_) => failure = anyhow!("connect to {ip}:{}: no answer in {CONNECT_TIMEOUT:?}", address.port),
        }
    }
    Err(failure)
}

/// Wraps a connection in mesh TLS; `config` says whom it verifies.
pub async fn tls(stream: TcpStream, config: Arc<ClientConfig>) -> anyhow::Result<TlsStream<TcpStream>> {
    let name = ServerName::try_from(SNI)?;
    let handshake = TlsConnector::from(config).connect(name, stream);
    timeout(HANDSHAKE_TIMEOUT, handshake).await.context("TLS handshake: no answer")?.context("TLS handshake")
}

/// A gRPC channel over one new connection; it ends with that connection.
pub async fn channel(
    dns: &Dns,
    address: &Address,
    config: Option<Arc<ClientConfig>>,
) -> anyhow::Result<Channel> {
    let stream = tcp(dns, address).await?;
    let endpoint = Endpoint::try_from(format!("http://{}", address.host_header()))?
        .http2_keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(PING_TIMEOUT)
        .keep_alive_while_idle(!address.plain);
    match config {
        Some(config) => over(endpoint, tls(stream, config).await?).await,
        None if address.plain => over(endpoint, stream).await,
        None => bail!("no TLS configuration for {address} yet"),
    }
}

/// A gRPC channel over an open connection. The channel must fail with it rather than dial by itself.
pub async fn over<S>(endpoint: Endpoint, stream: S) -> anyhow::Result<Channel>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let mut stream = Some(TokioIo::new(stream));
    let once = service_fn(move |_: http::Uri| {
        let stream = stream.take().ok_or_else(|| io::Error::from(io::ErrorKind::NotConnected));
        std::future::ready(stream)
    });
    Ok(endpoint.connect_with_connector(once).await?)
}

impl Address {
    fn host_header(&self) -> String {
        if self.host.contains(':') { format!("[{}]:{}", self.host, self.port) } else { self.to_string() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_host_and_port() {
        let named = Address { host: "identity.weft.svc".into(), port: 8080, plain: false };
        assert_eq!(named, "identity.weft.svc:8080".parse().unwrap());
        assert_eq!("::1", "[::1]:8081".parse::<Address>().unwrap().host);
        assert!("identity.weft.svc".parse::<Address>().is_err());
        assert!("identity.weft.svc:http".parse::<Address>().is_err());
    }

    #[test]
    fn plain_text_stays_on_the_loopback() {
        assert!(Address::plain("127.0.0.1:8081".parse().unwrap()).is_ok());
        assert!(Address::plain("10.0.0.1:8081".parse().unwrap()).is_err());
    }
}
