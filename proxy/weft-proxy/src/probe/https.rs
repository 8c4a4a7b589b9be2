//! `/probe/https/PORT/PATH`: does the application answer this request well?
//!
//! To this proxy the kubelet's own connection would be TLS like any other's from its node, which it cannot look into:
//! policies could let all of them in, or none. So the injector turns a pod's HTTPS probes into requests for this path.
//! Only the requests of such probes are made: nobody gets past a policy here.

use std::net::SocketAddr;
use std::pin::pin;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONNECTION, HOST};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Request, StatusCode};
use http_body_util::Empty;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{WebPkiSupportedAlgorithms, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, Error, SignatureScheme};
use tokio_rustls::TlsConnector;

use crate::config::Config;
use crate::socket;

pub const PATH: &str = "/probe/https/";
/// The kubelet gives up by the probe's own `timeoutSeconds`, long before.
const LIMIT: Duration = Duration::from_secs(30);

/// The answer to a request for `/probe/https/…`.
pub async fn https(config: &Config, asked: &Parts) -> (StatusCode, String) {
    let request = asked.uri.path_and_query().and_then(|path| path.as_str().strip_prefix(PATH));
    let known = config.https_probes.iter().find(|known| Some(known.as_str()) == request);
    let Some((port, path)) = known.and_then(|known| split(known)) else {
        return (StatusCode::NOT_FOUND, "no HTTPS probe of this pod is for this\n".into());
    };
    let Some(ip) = config.pod_ips.first() else {
        return (StatusCode::SERVICE_UNAVAILABLE, "this pod's address is unknown\n".into());
    };
    let (app, headers) = (SocketAddr::new(*ip, port), headers(config, &asked.headers));
    let why = match tokio::time::timeout(LIMIT, ask(app, path, headers)).await {
        Ok(Ok(status)) if status.is_success() || status.is_redirection() => {
            return (StatusCode::OK, format!("port {port} answers {status}\n"));
        }
        Ok(Ok(status)) => format!("answers {status}"),
        Ok(Err(error)) => format!("gives no answer: {error:#}"),
        Err(_) => format!("gives no answer within {} s", LIMIT.as_secs()),
    };
    (StatusCode::SERVICE_UNAVAILABLE, format!("port {port} {why}\n"))
}

/// Port and path of `8443/healthz?full=1`.
fn split(probe: &str) -> Option<(u16, &str)> {
    let (port, path) = probe.split_at(probe.find('/')?);
    Some((port.parse().ok()?, path))
}

/// Those of the probe; a host that means this proxy's port means the application's.
fn headers(config: &Config, asked: &HeaderMap) -> HeaderMap {
    let own = format!(":{}", config.admin_listen.port());
    let mut headers = asked.clone();
    headers.remove(CONNECTION);
    if headers.get(HOST).is_some_and(|host| host.as_bytes().ends_with(own.as_bytes())) {
        headers.remove(HOST);
    }
    headers
}

async fn ask(app: SocketAddr, path: &str, headers: HeaderMap) -> anyhow::Result<StatusCode> {
    let stream = socket::connect(app, LIMIT).await?;
    let tls =
        TlsConnector::from(client_config()?).connect(ServerName::IpAddress(app.ip().into()), stream).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(tls)).await?;
    let mut request = Request::get(path).body(Empty::<Bytes>::new())?;
    *request.headers_mut() = headers;
    let host = HeaderValue::try_from(app.to_string())?;
    request.headers_mut().entry(HOST).or_insert(host);
    let mut sent = pin!(sender.send_request(request));
    let response = tokio::select! {
        biased;
        response = &mut sent => response,
        // It has ended, and so the request has its answer or an error.
        _ = connection => sent.await,
    };
    Ok(response?.status())
}

/// As the kubelet asks: any certificate will do, by TLS 1.2 as well. Made with the first probe, for all of them.
fn client_config() -> Result<Arc<ClientConfig>, Error> {
    static MADE: OnceLock<Arc<ClientConfig>> = OnceLock::new();
    if let Some(made) = MADE.get() {
        return Ok(Arc::clone(made));
    }
    let provider = aws_lc_rs::default_provider();
    let anybody = Anybody(provider.signature_verification_algorithms);
    let config = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(anybody))
        .with_no_client_auth();
    Ok(Arc::clone(MADE.get_or_init(|| Arc::new(config))))
}

/// The application is the pod's own, on the pod's own address.
#[derive(Debug)]
struct Anybody(WebPkiSupportedAlgorithms);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, signature, &self.0)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, signature, &self.0)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::convert::Infallible;

    use http::Response;
    use hyper::server;
    use hyper::service::service_fn;
    use rustls::pki_types::PrivatePkcs8KeyDer;
    use rustls::version::{TLS12, TLS13};
    use rustls::{ServerConfig, SupportedProtocolVersion};
    use tokio::net::TcpListener;
    use tokio_rustls::TlsAcceptor;

    use super::*;

    /// An application with a certificate of its own making; it answers `/STATUS` with that status.
    async fn application(version: &'static SupportedProtocolVersion) -> u16 {
        let made = rcgen::generate_simple_self_signed(["app".to_owned()]).unwrap();
        let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
        let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_protocol_versions(&[version])
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key.into())
            .unwrap();
        let (acceptor, listener) =
            (TlsAcceptor::from(Arc::new(config)), TcpListener::bind("127.0.0.1:0").await.unwrap());
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let Ok(tls) = acceptor.accept(stream).await else { continue };
                let answer = service_fn(|request: Request<hyper::body::Incoming>| async move {
                    let status: u16 = request.uri().path()[1..].parse().unwrap();
                    let response = Response::builder().status(status).body(Empty::<Bytes>::new());
                    Ok::<_, Infallible>(response.unwrap())
                });
                let _ = server::conn::http1::Builder::new().serve_connection(TokioIo::new(tls), answer).await;
            }
        });
        port
    }

    /// What the kubelet hears of `asked` when the pod has these probes.
    async fn status(probes: &str, asked: &str) -> StatusCode {
        let settings = [("WEFT_POD_IPS", "127.0.0.1"), ("WEFT_PROBE_HTTPS", probes)];
        let settings: HashMap<_, _> =
            settings.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        let request = Request::get(format!("http://10.0.0.1:4191{PATH}{asked}")).body(()).unwrap();
        https(&Config::parse(settings).unwrap(), &request.into_parts().0).await.0
    }

    /// Success is what it is to the kubelet; the certificate does not matter, nor which version of TLS it is.
    #[tokio::test]
    async fn an_application_is_up_while_it_answers_well() {
        for version in [&TLS12, &TLS13] {
            let port = application(version).await;
            for (asked, heard) in [
                ("/200?full=1", StatusCode::OK),
                ("/302", StatusCode::OK),
                ("/500", StatusCode::SERVICE_UNAVAILABLE),
                ("/404", StatusCode::SERVICE_UNAVAILABLE),
            ] {
                let probe = format!("{port}{asked}");
                assert_eq!(heard, status(&probe, &probe).await, "{version:?} {asked}");
            }
        }
        let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
        let probe = format!("{nobody}/200");
        assert_eq!(StatusCode::SERVICE_UNAVAILABLE, status(&probe, &probe).await);
    }

    /// Nobody gets another path, another port or another query past the policies of the pod.
    #[tokio::test]
    async fn only_requests_of_probes_are_made() {
        let port = application(&TLS13).await;
        let probes = format!("{port}/200 1/200");
        for asked in ["/200?x=1", "/200/", "/201", "//200", "/x/../200", "", "/"] {
            assert_eq!(StatusCode::NOT_FOUND, status(&probes, &format!("{port}{asked}")).await, "{asked}");
        }
        assert_eq!(StatusCode::NOT_FOUND, status("", &format!("{port}/200")).await);
    }

    /// The application hears the host that the probe says, else its own.
    #[test]
    fn the_host_is_the_applications() {
        let config = Config::parse(HashMap::new()).unwrap();
        let host = |host| HeaderMap::from_iter([(HOST, HeaderValue::from_static(host))]);
        assert_eq!(None, headers(&config, &host("10.0.0.1:4191")).get(HOST));
        assert_eq!("web.example", headers(&config, &host("web.example"))[HOST]);
    }
}
