//! Who this proxy is: its key, its certificate, and the TLS configurations that rest on them.

use std::sync::Arc;

use rustls::pki_types::CertificateDer;

/// The one server name of the mesh; servers are told apart by their SPIFFE ID alone.
pub const SNI: &str = "weft.internal";
/// HTTP, carried as HTTP/2.
pub const ALPN_H2: &[u8] = b"weft-h2";
/// Bytes as they are.
pub const ALPN_TCP: &[u8] = b"weft-tcp";

/// The identity of this proxy, shared by all threads.
pub struct Identity;

impl Identity {
    /// The SPIFFE ID of this proxy.
    pub fn id(&self) -> &str {
        todo!()
    }

    /// A valid leaf is installed.
    pub fn is_ready(&self) -> bool {
        todo!()
    }

    /// Configuration that verifies exactly `server_id`; cached, replaced on rotation. None without a valid leaf.
    pub fn client_config(&self, server_id: &str, alpn: &'static [u8]) -> Option<Arc<rustls::ClientConfig>> {
        todo!("{server_id} {alpn:?}")
    }

    /// Configuration that demands a client certificate of this trust domain, for both ALPNs.
    pub fn server_config(&self) -> Option<Arc<rustls::ServerConfig>> {
        todo!()
    }

    /// Grows with each new leaf or bundle.
    pub fn generation(&self) -> u64 {
        todo!()
    }

    /// When the leaf ends, seconds since the epoch; 0 without a leaf.
    pub fn expiry(&self) -> i64 {
        todo!()
    }
}

/// The SPIFFE ID in the leaf: its one URI SAN; none when there are several or no certificates.
pub fn peer_id(certs: &[CertificateDer<'_>]) -> Option<String> {
    todo!("{}", certs.len())
}
