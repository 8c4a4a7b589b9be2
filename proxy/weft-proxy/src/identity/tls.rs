//! TLS configurations of the mesh: 1.3 only, post-quantum key exchange first, both sides verified.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use rustls::client::Resumption;
use rustls::crypto::aws_lc_rs::{cipher_suite, default_provider};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{ClientConfig, ServerConfig, version::TLS13};

use super::verify::{ClientVerifier, ServerVerifier, Trust};
use super::{ALPN_H2, ALPN_TCP};

/// More server identities than a proxy should ever meet; beyond it the cache starts anew.
const CACHED_SERVERS: usize = 1024;

/// The one provider of cryptography. AES-128 first: it is the cheapest, and as good for traffic of a data centre.
pub fn provider() -> CryptoProvider {
    CryptoProvider {
        cipher_suites: vec![
            cipher_suite::TLS13_AES_128_GCM_SHA256,
            cipher_suite::TLS13_AES_256_GCM_SHA384,
            cipher_suite::TLS13_CHACHA20_POLY1305_SHA256,
        ],
        ..default_provider()
    }
}

/// Draws the first random bytes, which cost 25 ms of entropy gathering that no handshake should wait for.
pub fn warm_random(provider: &CryptoProvider) {
    let mut bytes = [0; 32];
    if provider.secure_random.fill(&mut bytes).is_err() {
        tracing::error!("no random numbers from the system");
    }
}

/// Configurations that rest on one leaf and one bundle.
pub struct Configs {
    provider: Arc<CryptoProvider>,
    trust: Trust,
    leaf: Arc<CertifiedKey>,
    pub server: Arc<ServerConfig>,
    pub server_anonymous: Arc<ServerConfig>,
    clients: Mutex<HashMap<(String, &'static [u8]), Arc<ClientConfig>>>,
}

impl Configs {
    pub fn new(
        provider: Arc<CryptoProvider>,
        trust: Trust,
        leaf: Arc<CertifiedKey>,
        trust_domain: &str,
    ) -> Result<Self, rustls::Error> {
        let server = |mandatory| {
            let verifier =
                ClientVerifier { trust: trust.clone(), trust_domain: trust_domain.to_owned(), mandatory };
            server_config(&provider, verifier, &leaf).map(Arc::new)
        };
        let (mandatory, anonymous) = (server(true)?, server(false)?);
        Ok(Self {
            server: mandatory,
            server_anonymous: anonymous,
            provider,
            trust,
            leaf,
            clients: Mutex::default(),
        })
    }

    pub fn client(&self, server_id: &str, alpn: &'static [u8]) -> Result<Arc<ClientConfig>, rustls::Error> {
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (server_id.to_owned(), alpn);
        if let Some(config) = clients.get(&key) {
            return Ok(config.clone());
        }
        if clients.len() >= CACHED_SERVERS {
            clients.clear();
        }
        let config =
            Arc::new(client_config(&self.provider, self.trust.clone(), Some(&self.leaf), server_id, alpn)?);
        clients.insert(key, config.clone());
        Ok(config)
    }
}

/// A client that believes nobody but `server_id`; without a leaf it shows no certificate.
pub fn client_config(
    provider: &Arc<CryptoProvider>,
    trust: Trust,
    leaf: Option<&Arc<CertifiedKey>>,
    server_id: &str,
    alpn: &[u8],
) -> Result<ClientConfig, rustls::Error> {
    let verifier = ServerVerifier { trust, expected: server_id.to_owned() };
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(&[&TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier));
    let mut config = match leaf {
        Some(leaf) => builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(leaf.clone()))),
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = vec![alpn.to_vec()];
    // A resumed session would skip the check of the certificate; connections are pooled, so handshakes are rare.
    config.resumption = Resumption::disabled();
    Ok(config)
}

fn server_config(
    provider: &Arc<CryptoProvider>,
    verifier: ClientVerifier,
    leaf: &Arc<CertifiedKey>,
) -> Result<ServerConfig, rustls::Error> {
    let mut config = ServerConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(&[&TLS13])?
        .with_client_cert_verifier(Arc::new(verifier))
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(leaf.clone())));
    config.alpn_protocols = vec![ALPN_H2.to_vec(), ALPN_TCP.to_vec()];
    config.send_tls13_tickets = 0;
    Ok(config)
}

/// The algorithms that certificates and handshakes may be signed with.
pub fn algorithms(provider: &CryptoProvider) -> WebPkiSupportedAlgorithms {
    provider.signature_verification_algorithms
}
