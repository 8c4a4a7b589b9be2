//! Handshakes between real TLS ends in memory: who believes whom.

use std::sync::Arc;

use rcgen::{ExtendedKeyUsagePurpose, KeyUsagePurpose};
use rustls::version::TLS12;
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection};
use time::{Duration, OffsetDateTime};

use super::testing::{Authority, Leaf, TRUST_DOMAIN, spiffe};
use super::*;

/// Runs a handshake; Ok when both sides believe each other.
fn handshake(
    client: Arc<ClientConfig>,
    server: Arc<ServerConfig>,
) -> Result<ServerConnection, rustls::Error> {
    let mut client = ClientConnection::new(client, SNI.try_into().unwrap())?;
    let mut server = ServerConnection::new(server)?;
    for _ in 0..4 {
        let mut wire = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut wire).unwrap();
        }
        server.read_tls(&mut &wire[..]).unwrap();
        server.process_new_packets()?;
        let mut wire = Vec::new();
        while server.wants_write() {
            server.write_tls(&mut wire).unwrap();
        }
        client.read_tls(&mut &wire[..]).unwrap();
        client.process_new_packets()?;
    }
    Ok(server)
}

fn between(client: &Identity, server: &Identity, expected: &str) -> Result<ServerConnection, rustls::Error> {
    handshake(client.client_config(expected, ALPN_H2).unwrap(), server.server_config().unwrap())
}

/// Mesh TLS is 1.3: who knows only 1.2 is let in nowhere, and not spoken to.
#[test]
fn nobody_speaks_tls_1_2() {
    let ca = Authority::new().unwrap();
    let (web, api) =
        (ca.identity(&spiffe("shop", "web")).unwrap(), ca.identity(&spiffe("shop", "api")).unwrap());
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let client = ClientConfig::builder_with_provider(provider.clone()).with_protocol_versions(&[&TLS12]);
    let client = client.unwrap().with_root_certificates(RootCertStore::empty()).with_no_client_auth();
    let (chain, key) = ca.issue(&Leaf::of(api.id())).unwrap();
    let server = ServerConfig::builder_with_provider(provider).with_protocol_versions(&[&TLS12]);
    let server = server.unwrap().with_no_client_auth().with_single_cert(chain, key).unwrap();
    for outcome in [
        handshake(client.into(), api.server_config().unwrap()),
        handshake(web.client_config(api.id(), ALPN_H2).unwrap(), server.into()),
    ] {
        assert!(matches!(outcome, Err(rustls::Error::PeerIncompatible(_))), "{:?}", outcome.err());
    }
}

/// The outcome when the client holds a spoilt leaf: an identity would refuse to install it, so it is forced in.
fn with_client_leaf(ca: &Authority, leaf: &Leaf) -> Result<ServerConnection, rustls::Error> {
    let server = ca.identity(&spiffe("shop", "web")).unwrap();
    let (chain, key) = ca.issue(leaf).unwrap();
    let provider = Arc::new(tls::provider());
    let certified = Arc::new(CertifiedKey::from_der(chain, key, &provider).unwrap());
    let config =
        tls::client_config(&provider, server.trust().unwrap(), Some(&certified), server.id(), ALPN_H2);
    handshake(Arc::new(config.unwrap()), server.server_config().unwrap())
}

#[test]
fn two_workloads_of_one_mesh_believe_each_other_and_know_who_it_is() {
    let ca = Authority::new().unwrap();
    let (web, api) =
        (ca.identity(&spiffe("shop", "web")).unwrap(), ca.identity(&spiffe("shop", "api")).unwrap());
    let server = between(&web, &api, api.id()).unwrap();
    assert_eq!(Some(web.id().to_owned()), server.peer_certificates().and_then(peer_id));
    assert_eq!(Some(ALPN_H2), server.alpn_protocol());
    let group = server.negotiated_key_exchange_group().unwrap();
    assert_eq!(rustls::NamedGroup::X25519MLKEM768, group.name());
}

#[test]
fn a_server_with_another_identity_than_expected_is_refused() {
    let ca = Authority::new().unwrap();
    let (web, api) =
        (ca.identity(&spiffe("shop", "web")).unwrap(), ca.identity(&spiffe("shop", "api")).unwrap());
    assert!(between(&web, &api, &spiffe("shop", "ap")).is_err());
    assert!(between(&web, &api, &spiffe("shop", "api2")).is_err());
}

#[test]
fn nobody_believes_a_certificate_of_another_authority() {
    let (ca, other) = (Authority::new().unwrap(), Authority::new().unwrap());
    let (web, api) =
        (ca.identity(&spiffe("shop", "web")).unwrap(), other.identity(&spiffe("shop", "api")).unwrap());
    assert!(between(&web, &api, api.id()).is_err());
}

#[test]
fn clients_need_exactly_one_uri_of_this_trust_domain_both_usages_and_a_valid_time() {
    let ca = Authority::new().unwrap();
    let good = Leaf::of(&spiffe("shop", "api"));
    let now = OffsetDateTime::now_utc();
    assert!(with_client_leaf(&ca, &good).is_ok());
    for (rule, spoilt) in [
        ("no URI", Leaf { uris: vec![], ..good.clone() }),
        ("two URIs", Leaf { uris: vec![spiffe("shop", "api"), spiffe("shop", "web")], ..good.clone() }),
        ("other domain", Leaf::of("spiffe://cluster.local.evil/ns/shop/sa/api")),
        ("not a workload", Leaf::of("spiffe://cluster.local/ns/shop/sa/api/x")),
        ("a wildcard", Leaf::of("spiffe://cluster.local/ns/*/sa/api")),
        ("server only", Leaf { usages: vec![ExtendedKeyUsagePurpose::ServerAuth], ..good.clone() }),
        ("no usage", Leaf { usages: vec![], ..good.clone() }),
        ("signs certificates", Leaf { key_usages: vec![KeyUsagePurpose::KeyCertSign], ..good.clone() }),
        ("signs revocations", Leaf { key_usages: vec![KeyUsagePurpose::CrlSign], ..good.clone() }),
        ("an authority", Leaf { is_ca: true, ..good.clone() }),
        ("ended", Leaf { until: now - Duration::seconds(1), ..good.clone() }),
        ("not yet", Leaf { from: now + Duration::hours(1), ..good.clone() }),
    ] {
        assert!(with_client_leaf(&ca, &spoilt).is_err(), "{rule}");
    }
}

#[test]
fn without_a_certificate_only_the_anonymous_configuration_lets_in() {
    let ca = Authority::new().unwrap();
    let server = ca.identity(&spiffe("weft", "identity")).unwrap();
    let newcomer = Identity::new(&spiffe("shop", "web"), TRUST_DOMAIN);
    newcomer.set_bundle(Bundle::parse(ca.pem().as_bytes()).unwrap()).unwrap();
    let config = newcomer.bootstrap_config(server.id(), ALPN_H2).unwrap();
    assert!(handshake(config.clone(), server.server_config_anonymous().unwrap()).is_ok());
    assert!(handshake(config, server.server_config().unwrap()).is_err());
}

#[test]
fn an_identity_takes_only_a_leaf_that_its_peers_would_believe() {
    let (ca, other) = (Authority::new().unwrap(), Authority::new().unwrap());
    let id = spiffe("shop", "web");
    let identity = Identity::new(&id, TRUST_DOMAIN);
    identity.set_bundle(Bundle::parse(ca.pem().as_bytes()).unwrap()).unwrap();
    for (issuer, leaf) in [(&other, Leaf::of(&id)), (&ca, Leaf::of(&spiffe("shop", "api")))] {
        let (chain, key) = issuer.issue(&leaf).unwrap();
        assert!(identity.install(chain, key).is_err());
    }
    assert!(!identity.is_ready() && identity.server_config().is_none() && identity.generation() == 0);
}

#[test]
fn a_new_leaf_or_bundle_is_a_new_generation_with_new_configurations() {
    let (ca, next) = (Authority::new().unwrap(), Authority::new().unwrap());
    let identity = ca.identity(&spiffe("shop", "web")).unwrap();
    let peer = spiffe("shop", "api");
    let first = identity.client_config(&peer, ALPN_TCP).unwrap();
    assert!(Arc::ptr_eq(&first, &identity.client_config(&peer, ALPN_TCP).unwrap()));
    let both = format!("{}{}", ca.pem(), next.pem());
    identity.set_bundle(Bundle::parse(both.as_bytes()).unwrap()).unwrap();
    assert_eq!(2, identity.generation());
    assert!(!Arc::ptr_eq(&first, &identity.client_config(&peer, ALPN_TCP).unwrap()));
    assert!(between(&identity, &next.identity(&peer).unwrap(), &peer).is_err(), "next does not know ca");
}

#[test]
fn the_expiry_is_the_end_of_the_leaf() {
    let ca = Authority::new().unwrap();
    let id = spiffe("shop", "web");
    let until = OffsetDateTime::now_utc() + Duration::seconds(2);
    let (chain, key) = ca.issue(&Leaf { until, ..Leaf::of(&id) }).unwrap();
    let identity = Identity::with_certificate(&id, TRUST_DOMAIN, ca.pem().as_bytes(), chain, key).unwrap();
    assert_eq!(until.unix_timestamp().unsigned_abs(), identity.expiry());
    let validity = identity.validity().unwrap();
    assert!(validity.renew_at(0.7) < validity.not_after);
}
