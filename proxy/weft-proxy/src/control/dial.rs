//! Connections to the control plane: TCP, mesh TLS that verifies one SPIFFE ID, and a gRPC channel over it.

use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
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

/// Where a service of the control plane listens: "identity.weft.svc:8080", or "plain:127.0.0.1:8081" in its own pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    pub host: String,
    pub port: u16,
    /// Without TLS; only for the loopback.
    pub plain: bool,
}

impl FromStr for Address {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        let plain = text.strip_prefix("plain:");
        let (host, port) = plain
            .unwrap_or(text)
            .rsplit_once(':')
            .ok_or_else(|| anyhow!("{text:?} is not HOST:PORT"))?;
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let port = port.parse().with_context(|| format!("port of {text:?}"))?;
        if plain.is_some() && !matches!(host.as_str(), "127.0.0.1" | "::1") {
            bail!("{text:?}: plain text is for the loopback only");
        }
        Ok(Self { host, port, plain: plain.is_some() })
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
            Ok(Err(error)) => failure = anyhow::Error::new(error).context(format!("connect to {ip}:{}", address.port)),
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
pub async fn channel(dns: &Dns, address: &Address, config: Option<Arc<ClientConfig>>) -> anyhow::Result<Channel> {
    let stream = tcp(dns, address).await?;
    let endpoint = Endpoint::try_from(format!("http://{}", address.host_header()))?
        .http2_keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(PING_TIMEOUT)
        .keep_alive_while_idle(!address.plain);
    match config {
        Some(config) => Ok(endpoint.connect_with_connector(once(tls(stream, config).await?)).await?),
        None if address.plain => Ok(endpoint.connect_with_connector(once(stream)).await?),
        None => bail!("no TLS configuration for {address} yet"),
    }
}

impl Address {
    fn host_header(&self) -> String {
        if self.host.contains(':') { format!("[{}]:{}", self.host, self.port) } else { self.to_string() }
    }
}

/// A connector that hands out one connection, once: the channel must fail rather than dial by itself.
fn once<S: Send + 'static>(
    stream: S,
) -> impl tower::Service<
    http::Uri,
    Response = TokioIo<S>,
    Error = std::io::Error,
    Future = impl Future<Output = std::io::Result<TokioIo<S>>> + Send,
> + Send {
    let mut stream = Some(stream);
    service_fn(move |_: http::Uri| {
        let stream = stream.take();
        async move { stream.map(TokioIo::new).ok_or_else(|| std::io::ErrorKind::NotConnected.into()) }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<(String, u16, bool), String> {
        let address = text.parse::<Address>().map_err(|error| error.to_string())?;
        Ok((address.host, address.port, address.plain))
    }

    #[test]
    fn addresses_are_host_and_port_and_plain_only_on_the_loopback() {
        assert_eq!(Ok(("identity.weft.svc".into(), 8080, false)), parse("identity.weft.svc:8080"));
        assert_eq!(Ok(("127.0.0.1".into(), 8081, true)), parse("plain:127.0.0.1:8081"));
        assert_eq!(Ok(("::1".into(), 8081, true)), parse("plain:[::1]:8081"));
        assert!(parse("plain:10.0.0.1:8081").is_err());
        assert!(parse("identity.weft.svc").is_err());
        assert!(parse("identity.weft.svc:http").is_err());
    }
}
