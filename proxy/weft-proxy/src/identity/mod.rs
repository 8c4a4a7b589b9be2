//! Who this proxy is: its key, its certificate, and the TLS configurations that rest on them.

mod bundle;
pub mod certify;
pub mod testing;
pub mod tls;
pub mod verify;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, anyhow};
use arc_swap::ArcSwapOption;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, ServerConfig};
use tokio::sync::watch;
use x509_parser::prelude::{FromDer, X509Certificate};

pub use bundle::Bundle;
use tls::Configs;
use verify::Trust;
pub use verify::{is_workload, peer_id};

/// The one server name of the mesh; servers are told apart by their SPIFFE ID alone.
pub const SNI: &str = "weft.internal";
/// HTTP, carried as HTTP/2.
pub const ALPN_H2: &[u8] = b"weft-h2";
/// Bytes as they are.
pub const ALPN_TCP: &[u8] = b"weft-tcp";

/// The identity of this proxy, shared by all threads.
pub struct Identity {
    id: String,
    trust_domain: String,
    provider: Arc<CryptoProvider>,
    bundle: Mutex<Option<Bundle>>,
    current: ArcSwapOption<Current>,
    generation: AtomicU64,
    changed: watch::Sender<u64>,
}

/// What rests on the present leaf and bundle.
struct Current {
    leaf: Arc<CertifiedKey>,
    validity: Validity,
    configs: Configs,
}

/// When a certificate begins and ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    pub not_before: SystemTime,
    pub not_after: SystemTime,
}

impl Identity {
    /// `id` is the SPIFFE ID that the service account will be given. Draws the first random bytes.
    pub fn new(id: &str, trust_domain: &str) -> Arc<Self> {
        let provider = Arc::new(tls::provider());
        tls::warm_random(&provider);
        Arc::new(Self {
            id: id.to_owned(),
            trust_domain: trust_domain.to_owned(),
            provider,
            bundle: Mutex::default(),
            current: ArcSwapOption::empty(),
            generation: AtomicU64::new(0),
            changed: watch::Sender::new(0),
        })
    }

    /// An identity with a certificate from the start: for tests.
    pub fn with_certificate(
        id: &str,
        trust_domain: &str,
        bundle_pem: &[u8],
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
    ) -> anyhow::Result<Arc<Self>> {
        let identity = Self::new(id, trust_domain);
        identity.set_bundle(Bundle::parse(bundle_pem)?)?;
        identity.install(chain, key)?;
        Ok(identity)
    }

    /// The SPIFFE ID of this proxy.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// A leaf is installed and has not ended.
    pub fn is_ready(&self) -> bool {
        self.valid().is_some()
    }

    /// Configuration that verifies exactly `server_id`; cached, replaced on rotation. None without a valid leaf.
    pub fn client_config(&self, server_id: &str, alpn: &'static [u8]) -> Option<Arc<ClientConfig>> {
        self.valid()?.configs.client(server_id, alpn).ok()
    }

    /// Configuration that demands a client certificate of this trust domain, for both ALPNs.
    pub fn server_config(&self) -> Option<Arc<ServerConfig>> {
        Some(self.valid()?.configs.server.clone())
    }

    /// As `server_config`, but who has no certificate yet may come in.
    pub fn server_config_anonymous(&self) -> Option<Arc<ServerConfig>> {
        Some(self.valid()?.configs.server_anonymous.clone())
    }

    /// Configuration to fetch the first leaf with: verifies the server, shows no certificate.
    pub fn bootstrap_config(&self, server_id: &str, alpn: &'static [u8]) -> Option<Arc<ClientConfig>> {
        let trust = self.trust()?;
        tls::client_config(&self.provider, trust, None, server_id, alpn).map(Arc::new).ok()
    }

    /// Grows with each new leaf or bundle.
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// Sees each new generation; the first one means ready.
    pub fn subscribe(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// Waits until a leaf is installed.
    pub async fn ready(&self) {
        let mut changed = self.subscribe();
        while !self.is_ready() && changed.changed().await.is_ok() {}
    }

    /// When the leaf ends, seconds since the epoch; 0 without a leaf.
    pub fn expiry(&self) -> u64 {
        let end = self.validity().map_or(UNIX_EPOCH, |validity| validity.not_after);
        end.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
    }

    pub fn validity(&self) -> Option<Validity> {
        self.current.load().as_ref().map(|current| current.validity)
    }

    /// SHA-256 of the bundle in use; empty without one.
    pub fn bundle_sha256(&self) -> Vec<u8> {
        self.bundle().map(|bundle| bundle.sha256.to_vec()).unwrap_or_default()
    }

    /// Takes a new bundle into use. The leaf stays, even when the new bundle does not hold its anchor: peers decide.
    pub fn set_bundle(&self, bundle: Bundle) -> anyhow::Result<()> {
        *self.bundle.lock().unwrap_or_else(PoisonError::into_inner) = Some(bundle);
        let Some(current) = self.current.load_full() else { return Ok(()) };
        self.publish(current.leaf.clone(), current.validity)
    }

    /// Takes a new leaf into use, if peers that hold the bundle would believe it.
    pub fn install(
        &self,
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
    ) -> anyhow::Result<Validity> {
        let trust = self.trust().ok_or_else(|| anyhow!("no trust bundle"))?;
        trust.check_own(&chain, &self.id, UnixTime::now()).context("the certificate issued to this proxy")?;
        let validity = Validity::of(chain.first().ok_or_else(|| anyhow!("no certificate"))?)?;
        let leaf = CertifiedKey::from_der(chain, key, &self.provider)?;
        self.publish(Arc::new(leaf), validity)?;
        Ok(validity)
    }

    fn publish(&self, leaf: Arc<CertifiedKey>, validity: Validity) -> anyhow::Result<()> {
        let trust = self.trust().ok_or_else(|| anyhow!("no trust bundle"))?;
        let configs = Configs::new(self.provider.clone(), trust, leaf.clone(), &self.trust_domain)?;
        self.current.store(Some(Arc::new(Current { leaf, validity, configs })));
        let generation = self.generation.fetch_add(1, Ordering::AcqRel) + 1;
        self.changed.send_replace(generation);
        Ok(())
    }

    fn valid(&self) -> Option<Arc<Current>> {
        self.current.load_full().filter(|current| SystemTime::now() < current.validity.not_after)
    }

    fn bundle(&self) -> Option<Bundle> {
        self.bundle.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn trust(&self) -> Option<Trust> {
        let algorithms = tls::algorithms(&self.provider);
        self.bundle().map(|bundle| Trust { anchors: bundle.anchors, algorithms })
    }
}

impl Validity {
    fn of(leaf: &CertificateDer<'_>) -> anyhow::Result<Self> {
        let (_, certificate) = X509Certificate::from_der(leaf)?;
        let time = |seconds: i64| UNIX_EPOCH + Duration::from_secs(seconds.max(0).unsigned_abs());
        let validity = certificate.validity();
        Ok(Self {
            not_before: time(validity.not_before.timestamp()),
            not_after: time(validity.not_after.timestamp()),
        })
    }

    /// When to renew: after `share` of the lifetime.
    pub fn renew_at(&self, share: f64) -> SystemTime {
        let lifetime = self.not_after.duration_since(self.not_before).unwrap_or_default();
        self.not_before + lifetime.mul_f64(share)
    }
}

#[cfg(test)]
mod tests;
