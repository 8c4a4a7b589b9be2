//! A certificate authority in memory, for tests of everything that speaks mesh TLS.

use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, SanType,
};
use rustls::pki_types::{CertificateDer, CertificateSigningRequestDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use time::{Duration, OffsetDateTime};

use super::Identity;

pub const TRUST_DOMAIN: &str = "cluster.local";

/// An anchor, and the issuer that it vouches for: a chain as the identity service makes it.
pub struct Authority {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
    intermediate: CertificateDer<'static>,
}

/// What a leaf is to say. `Leaf::of(id)` is a good one; tests spoil it.
#[derive(Clone)]
pub struct Leaf {
    pub uris: Vec<String>,
    pub usages: Vec<ExtendedKeyUsagePurpose>,
    pub key_usages: Vec<KeyUsagePurpose>,
    pub is_ca: bool,
    pub from: OffsetDateTime,
    pub until: OffsetDateTime,
}

impl Leaf {
    pub fn of(id: &str) -> Self {
        let now = OffsetDateTime::now_utc();
        Self {
            uris: vec![id.to_owned()],
            usages: vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth],
            key_usages: vec![KeyUsagePurpose::DigitalSignature],
            is_ca: false,
            from: now - Duration::minutes(1),
            until: now + Duration::hours(24),
        }
    }

    fn params(&self) -> Result<CertificateParams, rcgen::Error> {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        let uris = self.uris.iter().map(|uri| Ok(SanType::URI(uri.as_str().try_into()?)));
        params.subject_alt_names = uris.collect::<Result<_, rcgen::Error>>()?;
        params.extended_key_usages.clone_from(&self.usages);
        params.key_usages.clone_from(&self.key_usages);
        params.is_ca = if self.is_ca { IsCa::Ca(BasicConstraints::Unconstrained) } else { IsCa::NoCa };
        (params.not_before, params.not_after) = (self.from, self.until);
        Ok(params)
    }
}

impl Authority {
    pub fn new() -> anyhow::Result<Self> {
        let (anchor, key) = (authority(), KeyPair::generate()?);
        let pem = anchor.self_signed(&key)?.pem();
        let (issuer, issuer_key) = (authority(), KeyPair::generate()?);
        let intermediate = issuer.signed_by(&issuer_key, &Issuer::new(anchor, key))?.der().clone();
        Ok(Self { pem, issuer: Issuer::new(issuer, issuer_key), intermediate })
    }

    /// The trust bundle that holds this authority.
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// A leaf and its key.
    pub fn issue(
        &self,
        leaf: &Leaf,
    ) -> anyhow::Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)> {
        let key = KeyPair::generate()?;
        let certificate = leaf.params()?.signed_by(&key, &self.issuer)?;
        let chain = vec![certificate.der().clone(), self.intermediate.clone()];
        Ok((chain, PrivatePkcs8KeyDer::from(key.serialize_der()).into()))
    }

    /// A leaf for the key of a certificate request, and its chain.
    pub fn sign(&self, csr: &[u8], leaf: &Leaf) -> anyhow::Result<Vec<CertificateDer<'static>>> {
        let mut request =
            CertificateSigningRequestParams::from_der(&CertificateSigningRequestDer::from(csr))?;
        request.params = leaf.params()?;
        Ok(vec![request.signed_by(&self.issuer)?.der().clone(), self.intermediate.clone()])
    }

    /// A proxy's identity with a good leaf.
    pub fn identity(&self, id: &str) -> anyhow::Result<Arc<Identity>> {
        let (chain, key) = self.issue(&Leaf::of(id))?;
        Identity::with_certificate(id, TRUST_DOMAIN, self.pem.as_bytes(), chain, key)
    }
}

/// Names differ, so that each certificate finds its issuer.
fn authority() -> CertificateParams {
    let mut params = CertificateParams::default();
    let name = format!("test {:016x}", rand::random::<u64>());
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

/// `spiffe://cluster.local/ns/<namespace>/sa/<account>`.
pub fn spiffe(namespace: &str, account: &str) -> String {
    format!("spiffe://{TRUST_DOMAIN}/ns/{namespace}/sa/{account}")
}
