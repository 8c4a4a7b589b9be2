//! Names to addresses without the C library, whose resolver a static binary cannot load.

use std::net::IpAddr;
use std::sync::OnceLock;

use anyhow::{Context, ensure};
use hickory_resolver::TokioResolver;

/// A resolver by `/etc/resolv.conf` and `/etc/hosts`, set up when first needed.
#[derive(Default)]
pub struct Dns {
    resolver: OnceLock<TokioResolver>,
}

impl Dns {
    /// The addresses of a host: at least one.
    pub async fn resolve(&self, host: &str) -> anyhow::Result<Vec<IpAddr>> {
        if let Ok(address) = host.parse() {
            return Ok(vec![address]);
        }
        let answer =
            self.resolver()?.lookup_ip(absolute(host)).await.with_context(|| format!("DNS of {host}"))?;
        let addresses: Vec<IpAddr> = answer.iter().collect();
        ensure!(!addresses.is_empty(), "DNS knows no address of {host}");
        Ok(addresses)
    }

    fn resolver(&self) -> anyhow::Result<&TokioResolver> {
        if let Some(resolver) = self.resolver.get() {
            return Ok(resolver);
        }
        let mut builder = TokioResolver::builder_tokio().context("/etc/resolv.conf")?;
        // Asked once for each connection to the control plane: a cache would only keep a "no such name" for too long.
        builder.options_mut().cache_size = 0;
        Ok(self.resolver.get_or_init(|| builder.build()))
    }
}

/// A name with dots is taken as it is: the search list of a pod would cost four useless questions for each.
fn absolute(host: &str) -> String {
    if host.contains('.') && !host.ends_with('.') { format!("{host}.") } else { host.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_without_a_dot_use_the_search_list() {
        assert_eq!("identity.weft.svc.cluster.local.", absolute("identity.weft.svc.cluster.local"));
        assert_eq!("localhost", absolute("localhost"));
    }

    #[tokio::test]
    async fn an_address_is_its_own_answer() {
        let addresses = Dns::default().resolve("::1").await.expect("no question needed");
        assert_eq!(vec!["::1".parse::<IpAddr>().expect("valid")], addresses);
    }
}
