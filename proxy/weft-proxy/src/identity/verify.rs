//! Who may be on the other side: a chain to the trust bundle and exactly the SPIFFE ID that is expected.
//!
//! Names and addresses mean nothing here. The certificate's one URI SAN does (SPIFFE X.509-SVID, sections 2 and 5).

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, TrustAnchor, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, OtherError, SignatureScheme,
};
use webpki::{EndEntityCert, KeyUsage};
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

/// The side of a connection that a certificate is shown by.
#[derive(Clone, Copy)]
enum Role {
    Client,
    Server,
}

/// The anchors of the mesh and the algorithms that signatures may use.
#[derive(Clone, Debug)]
pub struct Trust {
    pub anchors: Arc<[TrustAnchor<'static>]>,
    pub algorithms: WebPkiSupportedAlgorithms,
}

impl Trust {
    /// The SPIFFE ID of a certificate whose chain, validity and key usage are in order.
    fn verified_id(
        &self,
        leaf: &CertificateDer<'_>,
        chain: &[CertificateDer<'_>],
        now: UnixTime,
        role: Role,
    ) -> Result<String, Error> {
        // For issuers, webpki demands the usage only where they name any; for the leaf, `named_id` demands it.
        let usage = match role {
            Role::Client => KeyUsage::client_auth(),
            Role::Server => KeyUsage::server_auth(),
        };
        let certificate = EndEntityCert::try_from(leaf).map_err(bad)?;
        certificate
            .verify_for_usage(self.algorithms.all, &self.anchors, chain, now, usage, None, None)
            .map_err(bad)?;
        named_id(leaf, role)
    }

    /// Whether peers that hold this bundle would believe the certificate on both sides of a connection.
    pub fn check_own(&self, certs: &[CertificateDer<'_>], id: &str, now: UnixTime) -> Result<(), Error> {
        let (leaf, chain) = certs.split_first().ok_or_else(|| refused("no certificate"))?;
        self.verified_id(leaf, chain, now, Role::Client)?;
        expect(&self.verified_id(leaf, chain, now, Role::Server)?, id)
    }
}

/// Accepts a server only as `expected`.
#[derive(Debug)]
pub struct ServerVerifier {
    pub trust: Trust,
    pub expected: String,
}

impl ServerCertVerifier for ServerVerifier {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        chain: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        expect(&self.trust.verified_id(leaf, chain, now, Role::Server)?, &self.expected)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(refused("TLS 1.2"))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, signature, &self.trust.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.trust.algorithms.supported_schemes()
    }
}

/// Accepts any workload of the trust domain; which one it is decides policy later.
#[derive(Debug)]
pub struct ClientVerifier {
    pub trust: Trust,
    pub trust_domain: String,
    /// False on the identity service's port: who comes there may have no certificate yet.
    pub mandatory: bool,
}

impl ClientCertVerifier for ClientVerifier {
    fn client_auth_mandatory(&self) -> bool {
        self.mandatory
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        leaf: &CertificateDer<'_>,
        chain: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let id = self.trust.verified_id(leaf, chain, now, Role::Client)?;
        if !is_workload(&id, &self.trust_domain) {
            return Err(refused("the client is not a workload of this trust domain"));
        }
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(refused("TLS 1.2"))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, signature, &self.trust.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.trust.algorithms.supported_schemes()
    }
}

/// The SPIFFE ID in the leaf: its one URI SAN; none when there are several, or no certificate.
pub fn peer_id(certs: &[CertificateDer<'_>]) -> Option<String> {
    certs.first().and_then(spiffe_id)
}

/// The SPIFFE ID of a leaf that says it may be used in this role.
fn named_id(leaf: &CertificateDer<'_>, role: Role) -> Result<String, Error> {
    let (_, certificate) =
        X509Certificate::from_der(leaf).map_err(|_| refused("the certificate does not parse"))?;
    let usage = certificate.extended_key_usage().ok().flatten();
    let allowed = usage.is_some_and(|usage| match role {
        Role::Client => usage.value.client_auth,
        Role::Server => usage.value.server_auth,
    });
    if !allowed {
        return Err(refused("the certificate lacks the extended key usage"));
    }
    if may_sign(&certificate) {
        return Err(refused("the certificate is one of an authority, not of a workload"));
    }
    one_uri(&certificate).ok_or_else(|| refused("the certificate has not exactly one URI SAN"))
}

/// Whether it may vouch for others, which no leaf may (SPIFFE X.509-SVID, sections 4.1 and 4.3).
fn may_sign(certificate: &X509Certificate<'_>) -> bool {
    let usage = certificate.key_usage().ok().flatten();
    certificate.is_ca() || usage.is_some_and(|usage| usage.value.key_cert_sign() || usage.value.crl_sign())
}

fn spiffe_id(leaf: &CertificateDer<'_>) -> Option<String> {
    one_uri(&X509Certificate::from_der(leaf).ok()?.1)
}

fn one_uri(certificate: &X509Certificate<'_>) -> Option<String> {
    let names = certificate.subject_alternative_name().ok()??;
    let mut uris = names.value.general_names.iter().filter_map(|name| match name {
        GeneralName::URI(uri) => Some(*uri),
        _ => None,
    });
    let id = uris.next().filter(|id| id.starts_with("spiffe://"))?;
    uris.next().is_none().then(|| id.to_owned())
}

/// Whether `id` is spelled `spiffe://<trust-domain>/ns/<namespace>/sa/<service-account>` with names of Kubernetes.
pub fn is_workload(id: &str, trust_domain: &str) -> bool {
    let path = id.strip_prefix("spiffe://").and_then(|rest| rest.strip_prefix(trust_domain));
    let parts: Vec<&str> = path.unwrap_or_default().split('/').collect();
    matches!(parts[..], ["", "ns", namespace, "sa", account] if is_name(namespace) && is_name(account))
}

fn is_name(text: &str) -> bool {
    let allowed = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, b'-' | b'.');
    !text.is_empty() && text.len() <= 253 && text.bytes().all(allowed)
}

fn expect(id: &str, expected: &str) -> Result<(), Error> {
    if id == expected {
        Ok(())
    } else {
        Err(refused(&format!("expected {expected}, the certificate says {id}")))
    }
}

fn bad(error: webpki::Error) -> Error {
    let error = match error {
        webpki::Error::CertExpired { time, not_after } => {
            CertificateError::ExpiredContext { time, not_after }
        }
        webpki::Error::CertNotValidYet { time, not_before } => {
            CertificateError::NotValidYetContext { time, not_before }
        }
        webpki::Error::UnknownIssuer => CertificateError::UnknownIssuer,
        other => CertificateError::Other(OtherError(Arc::new(other))),
    };
    Error::InvalidCertificate(error)
}

fn refused(reason: &str) -> Error {
    Error::General(reason.to_owned())
}
