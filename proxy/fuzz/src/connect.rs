//! The authority of a CONNECT: what is accepted names exactly one workload of the trust domain.

use weft_proxy::gateway::connect::Destination;
use weft_proxy::identity::is_workload;

pub fn check(bytes: &[u8]) {
    let Ok(authority) = std::str::from_utf8(bytes) else { return };
    if let Ok(destination) = Destination::parse(authority, "cluster.local") {
        assert!(is_workload(&destination.id, "cluster.local"));
        let dashed = destination.address.ip().to_string().replace(['.', ':'], "-");
        let names = destination.id.trim_start_matches("spiffe://cluster.local/ns/").replacen("/sa/", ".", 1);
        let port = destination.address.port();
        let again = Destination::parse(&format!("{dashed}.{names}.pod.weft:{port}"), "cluster.local");
        assert_eq!(Some(destination), again.ok());
    }
}
