//! The loop that keeps a valid leaf: fetch, install, renew in time, follow the trust bundle.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::{Context, anyhow};
use rcgen::{CertificateParams, DistinguishedName, KeyPair, PKCS_ECDSA_P256_SHA256, SanType};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::time::{Instant, sleep_until, timeout};
use weft_api::identity::identity_client::IdentityClient;
use weft_api::identity::{CertifyRequest, CertifyResponse};

use super::{ALPN_H2, Bundle, Identity};
use crate::control::backoff::{Backoff, jittered};
use crate::control::dial::{self, Address};
use crate::control::dns::Dns;

const BUNDLE_POLL: Duration = Duration::from_secs(5);
const CALL_TIMEOUT: Duration = Duration::from_secs(10);
const RENEW_SHARE: std::ops::Range<f64> = 0.65..0.70;
/// After a new bundle all proxies fetch a leaf, to say that they have it and to leave an old issuer; not at once.
const RENEW_AFTER_BUNDLE: Duration = Duration::from_secs(30);

/// Where leaves come from.
#[derive(Clone, Debug)]
pub struct Settings {
    pub address: Address,
    /// SPIFFE ID of the identity service.
    pub server_id: String,
    pub token_file: PathBuf,
    pub bundle_file: PathBuf,
}

/// Keeps `identity` valid for as long as the process runs.
pub async fn run(identity: Arc<Identity>, settings: Settings) {
    let mut keeper = Keeper::new(identity, settings);
    loop {
        keeper.follow_bundle();
        if keeper.renew_at.is_past() {
            keeper.renew().await;
        }
        sleep_until(keeper.renew_at.running.min(Instant::now() + BUNDLE_POLL)).await;
    }
}

/// A time on both clocks, past when it is on either: one stands still while the machine is suspended, the other is set.
#[derive(Clone, Copy)]
struct Due {
    running: Instant,
    wall: SystemTime,
}

impl Due {
    fn after(wait: Duration) -> Self {
        Self { running: Instant::now() + wait, wall: SystemTime::now() + wait }
    }

    fn is_past(self) -> bool {
        Instant::now() >= self.running || SystemTime::now() >= self.wall
    }

    fn min(self, other: Self) -> Self {
        Self { running: self.running.min(other.running), wall: self.wall.min(other.wall) }
    }
}

struct Keeper {
    identity: Arc<Identity>,
    settings: Settings,
    dns: Dns,
    backoff: Backoff,
    renew_at: Due,
    /// Said once, not every 5 seconds.
    bundle_problem: Option<String>,
}

impl Keeper {
    fn new(identity: Arc<Identity>, settings: Settings) -> Self {
        let backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(10));
        let renew_at = Due::after(Duration::ZERO);
        Self { identity, settings, dns: Dns::default(), backoff, renew_at, bundle_problem: None }
    }

    /// Reads the bundle again; a new one is used from now on and a leaf fetched under it soon.
    fn follow_bundle(&mut self) {
        match Bundle::read(&self.settings.bundle_file).and_then(|bundle| self.take_bundle(bundle)) {
            Ok(()) => self.bundle_problem = None,
            Err(error) => {
                let problem = format!("{error:#}");
                if self.bundle_problem.as_ref() != Some(&problem) {
                    tracing::warn!(error = %problem, "no new trust bundle");
                }
                self.bundle_problem = Some(problem);
            }
        }
    }

    fn take_bundle(&mut self, bundle: Bundle) -> anyhow::Result<()> {
        if self.identity.bundle_sha256() == bundle.sha256 {
            return Ok(());
        }
        tracing::info!(anchors = bundle.anchors.len(), "trust bundle read");
        self.identity.set_bundle(bundle)?;
        let soon =
            if self.identity.is_ready() { jittered(RENEW_AFTER_BUNDLE, 0.0..1.0) } else { Duration::ZERO };
        self.renew_at = self.renew_at.min(Due::after(soon));
        Ok(())
    }

    async fn renew(&mut self) {
        let result = timeout(CALL_TIMEOUT, self.certify()).await.context("no answer in time").flatten();
        match result {
            Ok(wait) => {
                self.backoff.reset();
                self.renew_at = Due::after(wait);
            }
            Err(error) => {
                tracing::warn!(error = %format!("{error:#}"), server = %self.settings.address, "no certificate");
                self.renew_at = Due::after(self.backoff.next_delay());
            }
        }
    }

    /// Fetches and installs a leaf; returns how long until the next.
    async fn certify(&self) -> anyhow::Result<Duration> {
        let path = &self.settings.token_file;
        let token =
            tokio::fs::read_to_string(path).await.with_context(|| format!("token {}", path.display()))?;
        let (key, csr) = request(self.identity.id())?;
        let bundle_sha256 = self.identity.bundle_sha256();
        let request = CertifyRequest { token: token.trim().to_owned(), csr, bundle_sha256 };
        let validity = self.identity.install(certificates(self.ask(request).await?), key)?;
        tracing::info!(id = self.identity.id(), not_after = self.identity.expiry(), "certificate installed");
        let share = rand::Rng::random_range(&mut rand::rng(), RENEW_SHARE);
        let wait = validity.renew_at(share).duration_since(SystemTime::now()).unwrap_or_default();
        Ok(wait.max(Duration::from_secs(1)))
    }

    /// Shows no certificate even when there is one: the token says who asks, and a leaf that the identity service
    /// no longer believes must not stand in the way of a new one.
    async fn ask(&self, request: CertifyRequest) -> anyhow::Result<CertifyResponse> {
        let Settings { address, server_id, .. } = &self.settings;
        let config = self.identity.bootstrap_config(server_id, ALPN_H2);
        let channel = dial::channel(&self.dns, address, config.filter(|_| !address.plain)).await?;
        let answer = IdentityClient::new(channel).certify(request).await;
        Ok(answer.map_err(|status| anyhow!("{:?}: {}", status.code(), status.message()))?.into_inner())
    }
}

/// A new key, which never leaves this process, and the request for a certificate to it.
fn request(id: &str) -> anyhow::Result<(PrivateKeyDer<'static>, Vec<u8>)> {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.subject_alt_names = vec![SanType::URI(id.try_into()?)];
    let csr = params.serialize_request(&key)?.der().to_vec();
    Ok((PrivatePkcs8KeyDer::from(key.serialize_der()).into(), csr))
}

fn certificates(answer: CertifyResponse) -> Vec<CertificateDer<'static>> {
    std::iter::once(answer.leaf).chain(answer.chain).map(CertificateDer::from).collect()
}

#[cfg(test)]
mod tests {
    use super::super::Validity;
    use super::*;

    /// Of the shortest life that identity gives, 40 s of it before it is signed: this proxy is 20 s behind, so it is
    /// late; a peer is 20 s ahead, so for it the leaf ends early. A minute is left to try again.
    #[test]
    fn a_renewal_is_in_time_although_clocks_are_wrong() {
        let (signed, second) = (SystemTime::now(), Duration::from_secs(1));
        let leaf = Validity { not_before: signed - 40 * second, not_after: signed + 300 * second };
        let (renewed, refused) = (leaf.renew_at(RENEW_SHARE.end) + 20 * second, leaf.not_after - 20 * second);
        assert!(renewed + 60 * second < refused);
    }

    /// A machine that slept past the time renews when it wakes: only the wall clock went on.
    #[test]
    fn either_clock_is_enough() {
        let hour = Duration::from_secs(3600);
        let later = Due::after(hour);
        let slept = Due { wall: SystemTime::now() - hour, ..later };
        assert_eq!((false, true), (later.is_past(), slept.is_past()));
        assert!(Due::after(Duration::ZERO).is_past() && later.min(slept).is_past());
    }
}
