//! A peer's certificate and a mounted trust bundle: nothing that the mesh did not sign is believed.

use std::sync::LazyLock;

use rustls::pki_types::{CertificateDer, UnixTime};
use weft_proxy::identity::testing::{Authority, spiffe};
use weft_proxy::identity::verify::Trust;
use weft_proxy::identity::{Bundle, is_workload, peer_id, tls};

/// A mesh that never signed what the fuzzer sends.
static TRUST: LazyLock<Trust> = LazyLock::new(|| {
    let bundle = Bundle::parse(Authority::new().unwrap().pem().as_bytes()).unwrap();
    Trust { anchors: bundle.anchors, algorithms: tls::algorithms(&tls::provider()) }
});

pub fn check(bytes: &[u8]) {
    let certificate = CertificateDer::from(bytes);
    let chain = [certificate.clone(), certificate];
    assert!(TRUST.check_own(&chain, &spiffe("shop", "web"), UnixTime::now()).is_err());
    let id = peer_id(&chain).unwrap_or_else(|| String::from_utf8_lossy(bytes).into_owned());
    if is_workload(&id, "cluster.local") {
        assert!(
            id.starts_with("spiffe://cluster.local/ns/") && id.bytes().all(|byte| byte.is_ascii_graphic())
        );
    }
    let _ = Bundle::parse(bytes);
}
