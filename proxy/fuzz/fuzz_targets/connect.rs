//! The authority of a CONNECT: what is accepted names exactly one workload of the trust domain.
#![no_main]

use libfuzzer_sys::fuzz_target;
use weft_proxy::gateway::connect::Destination;
use weft_proxy::identity::is_workload;

fuzz_target!(|authority: &str| {
    if let Ok(destination) = Destination::parse(authority, "cluster.local") {
        assert!(is_workload(&destination.id, "cluster.local"));
        let dashed = destination.address.ip().to_string().replace(['.', ':'], "-");
        let names = destination.id.trim_start_matches("spiffe://cluster.local/ns/").replacen("/sa/", ".", 1);
        let port = destination.address.port();
        let again = Destination::parse(&format!("{dashed}.{names}.pod.weft:{port}"), "cluster.local");
        assert_eq!(Some(destination), again.ok());
    }
});
