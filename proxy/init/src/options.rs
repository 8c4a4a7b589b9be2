//! What to redirect and what not: the arguments of `weft-proxy-init`.

use std::str::FromStr;

use anyhow::{Context, anyhow, bail, ensure};
use ipnet::IpNet;

pub const USAGE: &str = "\
weft-proxy-init: redirects the TCP of this network namespace through the proxy

  --inbound-port PORT           where the proxy takes what comes in [4143]
  --outbound-port PORT          where the proxy takes what goes out [4140]
  --proxy-uid UID               whose own traffic is left alone [2102]
  --skip-inbound-ports PORTS    \"4190,4191,8000-8010\": reach the application directly
  --skip-outbound-ports PORTS   leave the pod directly
  --skip-subnets CIDRS          destinations that are left alone
  --backend nft|legacy          which iptables to use [nft]
  --print                       print the rules, change nothing";

/// A port, or all from the first to the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ports {
    pub first: u16,
    pub last: u16,
}

impl FromStr for Ports {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        let port = |text: &str| match text.trim().parse() {
            Ok(0) | Err(_) => Err(anyhow!("{text:?} is not a port (1-65535)")),
            Ok(port) => Ok(port),
        };
        let ports = Self { first: port(first)?, last: port(last)? };
        ensure!(ports.first <= ports.last, "{text:?} ends before it begins");
        Ok(ports)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backend {
    Nft,
    Legacy,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    pub inbound_port: u16,
    pub outbound_port: u16,
    pub proxy_uid: u32,
    pub skip_inbound: Vec<Ports>,
    pub skip_outbound: Vec<Ports>,
    pub skip_subnets: Vec<IpNet>,
    pub backend: Backend,
    pub print: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            inbound_port: 4143,
            outbound_port: 4140,
            proxy_uid: 2102,
            skip_inbound: Vec::new(),
            skip_outbound: Vec::new(),
            skip_subnets: Vec::new(),
            backend: Backend::Nft,
            print: false,
        }
    }
}

impl Options {
    /// `--name value` and `--name=value` alike.
    pub fn parse(arguments: impl IntoIterator<Item = String>) -> anyhow::Result<Self> {
        let mut options = Self::default();
        let mut arguments = arguments.into_iter();
        while let Some(argument) = arguments.next() {
            if argument == "--print" {
                options.print = true;
                continue;
            }
            let (name, value) = match argument.split_once('=') {
                Some((name, value)) => (name.to_owned(), value.to_owned()),
                None => {
                    let value = arguments.next().ok_or_else(|| anyhow!("{argument} needs a value"))?;
                    (argument, value)
                }
            };
            options.set(&name, &value).with_context(|| name)?;
        }
        Ok(options)
    }

    fn set(&mut self, name: &str, value: &str) -> anyhow::Result<()> {
        match name {
            "--inbound-port" => self.inbound_port = value.parse()?,
            "--outbound-port" => self.outbound_port = value.parse()?,
            "--proxy-uid" => self.proxy_uid = value.parse()?,
            "--skip-inbound-ports" => self.skip_inbound = list(value)?,
            "--skip-outbound-ports" => self.skip_outbound = list(value)?,
            "--skip-subnets" => self.skip_subnets = list::<Subnet>(value)?.into_iter().map(|s| s.0).collect(),
            "--backend" if value == "nft" => self.backend = Backend::Nft,
            "--backend" if value == "legacy" => self.backend = Backend::Legacy,
            "--backend" => bail!("{value:?} is neither nft nor legacy"),
            _ => bail!("no such option"),
        }
        Ok(())
    }
}

/// Comma-separated; empty parts are skipped, so that an empty annotation is an empty list.
fn list<T: FromStr<Err = anyhow::Error>>(text: &str) -> anyhow::Result<Vec<T>> {
    text.split(',').map(str::trim).filter(|part| !part.is_empty()).map(str::parse).collect()
}

/// A network, or a single address.
struct Subnet(IpNet);

impl FromStr for Subnet {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        let net = text.parse().or_else(|_| text.parse().map(|ip: std::net::IpAddr| ip.into()));
        net.map(|net: IpNet| Self(net.trunc())).map_err(|_| anyhow!("{text:?} is no network (10.0.0.0/8)"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(arguments: &[&str]) -> anyhow::Result<Options> {
        Options::parse(arguments.iter().map(ToString::to_string))
    }

    #[test]
    fn both_spellings_of_an_option_mean_the_same() {
        let spaced = parse(&["--proxy-uid", "7", "--skip-inbound-ports", "22,8000-8010"]).unwrap();
        let joined = parse(&["--proxy-uid=7", "--skip-inbound-ports=22, 8000-8010,"]).unwrap();
        assert_eq!(spaced, joined);
        let ports = vec![Ports { first: 22, last: 22 }, Ports { first: 8000, last: 8010 }];
        assert_eq!(ports, spaced.skip_inbound);
    }

    #[test]
    fn an_empty_list_is_no_list() {
        assert_eq!(Options::default(), parse(&["--skip-subnets", "", "--skip-outbound-ports", ""]).unwrap());
    }

    #[test]
    fn mistakes_are_told_with_the_option_at_fault() {
        for (arguments, cause) in [
            (["--skip-inbound-ports", "http"], "--skip-inbound-ports: \"http\" is not a port (1-65535)"),
            (["--skip-inbound-ports", "9-8"], "--skip-inbound-ports: \"9-8\" ends before it begins"),
            (["--skip-subnets", "10.0.0.0/99"], "--skip-subnets: \"10.0.0.0/99\" is no network (10.0.0.0/8)"),
            (["--backend", "pf"], "--backend: \"pf\" is neither nft nor legacy"),
            (["--verbose", "1"], "--verbose: no such option"),
        ] {
            assert_eq!(cause, format!("{:#}", parse(&arguments).unwrap_err()));
        }
        assert_eq!("--proxy-uid needs a value", parse(&["--proxy-uid"]).unwrap_err().to_string());
    }
}
