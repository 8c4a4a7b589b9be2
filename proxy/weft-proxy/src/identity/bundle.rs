//! The trust bundle: the anchors in a mounted PEM file, read again when its content changes.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, ensure};
use aws_lc_rs::digest::{SHA256, digest};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, TrustAnchor};

/// The anchors as of one reading of the file.
#[derive(Clone, Debug)]
pub struct Bundle {
    pub anchors: Arc<[TrustAnchor<'static>]>,
    /// SHA-256 of the file's bytes: tells the identity service who still rests on an old bundle.
    pub sha256: [u8; 32],
}

impl Bundle {
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let pem = std::fs::read(path).with_context(|| format!("trust bundle {}", path.display()))?;
        Self::parse(&pem).with_context(|| format!("trust bundle {}", path.display()))
    }

    pub fn parse(pem: &[u8]) -> anyhow::Result<Self> {
        let anchors = CertificateDer::pem_slice_iter(pem)
            .map(|certificate| Ok(webpki::anchor_from_trusted_cert(&certificate?)?.to_owned()))
            .collect::<anyhow::Result<Arc<[_]>>>()?;
        ensure!(!anchors.is_empty(), "no certificate in it");
        let mut sha256 = [0; 32];
        sha256.copy_from_slice(digest(&SHA256, pem).as_ref());
        Ok(Self { anchors, sha256 })
    }
}
