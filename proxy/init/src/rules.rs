//! The rules, as one input for `iptables-restore --noflush`: applied whole or not at all, and again without harm.

use ipnet::IpNet;

use crate::options::{Options, Ports};

pub const INBOUND: &str = "WEFT_INBOUND";
pub const OUTBOUND: &str = "WEFT_OUTBOUND";
/// The proxy's own servers (tap, admin) are reached directly.
const PROXY_SERVERS: Ports = Ports { first: 4190, last: 4191 };

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    V4,
    V6,
}

/// A rule by which a chain of the kernel leads into one of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Jump {
    pub from: &'static str,
    pub to: &'static str,
}

/// Pods hold no other nat rules, so where in their chains these stand does not matter.
pub const JUMPS: [Jump; 2] =
    [Jump { from: "PREROUTING", to: INBOUND }, Jump { from: "OUTPUT", to: OUTBOUND }];

impl Jump {
    pub fn rule(self) -> String {
        format!("{} -p tcp -j {}", self.from, self.to)
    }
}

/// The input for iptables-restore. A chain that is declared is emptied first; jumps are added only when `missing`.
pub fn restore(options: &Options, family: Family, missing: &[Jump]) -> String {
    let mut lines = vec!["*nat".to_owned(), format!(":{INBOUND} - [0:0]"), format!(":{OUTBOUND} - [0:0]")];
    lines.extend(inbound(options).into_iter().map(|rule| format!("-A {INBOUND} {rule}")));
    lines.extend(outbound(options, family).into_iter().map(|rule| format!("-A {OUTBOUND} {rule}")));
    lines.extend(missing.iter().map(|jump| format!("-A {}", jump.rule())));
    lines.push("COMMIT\n".to_owned());
    lines.join("\n")
}

fn inbound(options: &Options) -> Vec<String> {
    let skipped =
        std::iter::once(&PROXY_SERVERS).chain(&options.skip_inbound).map(|ports| skip_ports(*ports));
    skipped.chain([redirect(options.inbound_port)]).collect()
}

fn outbound(options: &Options, family: Family) -> Vec<String> {
    let mut rules = vec![
        // First: what the proxy sends is what all other rules are for, and must never come back to it.
        format!("-m owner --uid-owner {} -j RETURN", options.proxy_uid),
        // The application talking to itself, be it by 127.0.0.1 or by the pod's own address.
        "-o lo -j RETURN".to_owned(),
    ];
    let nets = options.skip_subnets.iter().filter(|net| family_of(net) == family);
    rules.extend(nets.map(|net| format!("-d {net} -j RETURN")));
    rules.extend(options.skip_outbound.iter().map(|ports| skip_ports(*ports)));
    rules.push(redirect(options.outbound_port));
    rules
}

fn skip_ports(ports: Ports) -> String {
    format!("-p tcp --dport {}:{} -j RETURN", ports.first, ports.last)
}

fn redirect(port: u16) -> String {
    format!("-p tcp -j REDIRECT --to-ports {port}")
}

fn family_of(net: &IpNet) -> Family {
    match net {
        IpNet::V4(_) => Family::V4,
        IpNet::V6(_) => Family::V6,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(arguments: &[&str]) -> Options {
        Options::parse(arguments.iter().map(ToString::to_string)).unwrap()
    }

    #[test]
    fn everything_goes_through_the_proxy_but_its_own_traffic_and_the_loopback() {
        let expected = "\
*nat
:WEFT_INBOUND - [0:0]
:WEFT_OUTBOUND - [0:0]
-A WEFT_INBOUND -p tcp --dport 4190:4191 -j RETURN
-A WEFT_INBOUND -p tcp -j REDIRECT --to-ports 4143
-A WEFT_OUTBOUND -m owner --uid-owner 2102 -j RETURN
-A WEFT_OUTBOUND -o lo -j RETURN
-A WEFT_OUTBOUND -p tcp -j REDIRECT --to-ports 4140
-A PREROUTING -p tcp -j WEFT_INBOUND
-A OUTPUT -p tcp -j WEFT_OUTBOUND
COMMIT
";
        assert_eq!(expected, restore(&Options::default(), Family::V4, &JUMPS));
    }

    #[test]
    fn a_second_run_does_not_jump_twice() {
        assert!(!restore(&Options::default(), Family::V4, &[]).contains("PREROUTING"));
    }

    #[test]
    fn skipped_ports_return_before_the_redirect() {
        let rules = inbound(&options(&["--skip-inbound-ports", "22,8000-8010"]));
        let expected = [
            "-p tcp --dport 4190:4191 -j RETURN",
            "-p tcp --dport 22:22 -j RETURN",
            "-p tcp --dport 8000:8010 -j RETURN",
            "-p tcp -j REDIRECT --to-ports 4143",
        ];
        assert_eq!(expected[..], rules[..]);
    }

    #[test]
    fn subnets_are_skipped_in_their_own_family_only() {
        let options = options(&["--skip-subnets", "10.9.0.0/16,fd00::/8", "--skip-outbound-ports", "25"]);
        let returns = |family| -> Vec<String> { outbound(&options, family).drain(2..4).collect() };
        assert_eq!(["-d 10.9.0.0/16 -j RETURN", "-p tcp --dport 25:25 -j RETURN"][..], returns(Family::V4));
        assert_eq!(["-d fd00::/8 -j RETURN", "-p tcp --dport 25:25 -j RETURN"][..], returns(Family::V6));
    }
}
