//! Applies the rules with the iptables programs of the image; says what is missing when they refuse.

use std::io::Write;
use std::process::{Command, Output, Stdio};

use anyhow::{Context, anyhow, bail};

use crate::options::{Backend, Options};
use crate::rules::{Family, JUMPS, Jump, restore};

const CAP_NET_ADMIN: u64 = 1 << 12;
/// Scope of an address that other machines can reach, as /proc/net/if_inet6 spells it.
const SCOPE_GLOBAL: &str = "00";

/// Rules for both families. A pod without IPv6 is fine, and so is one whose kernel has no IPv6 nat while
/// nobody can reach the pod by IPv6 anyway. Returns what the reader of the log should know.
pub fn apply(options: &Options) -> anyhow::Result<Vec<String>> {
    require_net_admin(&std::fs::read_to_string("/proc/self/status").unwrap_or_default())?;
    apply_family(options, Family::V4)?;
    let mut notes =
        vec![format!("IPv4 redirected: in to {}, out to {}", options.inbound_port, options.outbound_port)];
    let Ok(addresses) = std::fs::read_to_string("/proc/net/if_inet6") else {
        notes.push("the kernel runs without IPv6: no rules for it".to_owned());
        return Ok(notes);
    };
    match apply_family(options, Family::V6) {
        Ok(()) => notes.push("IPv6 redirected as well".to_owned()),
        Err(error) if has_global(&addresses) => return Err(error),
        Err(error) => notes.push(format!("no IPv6 rules, and no IPv6 address to need them: {error:#}")),
    }
    Ok(notes)
}

fn apply_family(options: &Options, family: Family) -> anyhow::Result<()> {
    let program = program(options.backend, family);
    let missing: Vec<Jump> = JUMPS.into_iter().filter(|jump| !exists(&program, *jump)).collect();
    run(&format!("{program}-restore"), &["--noflush", "--wait"], &restore(options, family, &missing))
}

fn program(backend: Backend, family: Family) -> String {
    let name = if family == Family::V4 { "iptables" } else { "ip6tables" };
    let backend = if backend == Backend::Nft { "nft" } else { "legacy" };
    format!("{name}-{backend}")
}

fn exists(program: &str, jump: Jump) -> bool {
    let rule = jump.rule();
    let check = Command::new(program).args(["-w", "-t", "nat", "-C"]).args(rule.split(' ')).output();
    check.is_ok_and(|output| output.status.success())
}

fn run(program: &str, arguments: &[&str], input: &str) -> anyhow::Result<()> {
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("{program}: cannot be run"))?;
    child.stdin.take().ok_or_else(|| anyhow!("no stdin"))?.write_all(input.as_bytes())?;
    let Output { status, stderr, .. } = child.wait_with_output()?;
    if !status.success() {
        bail!("{program}: {status}: {}", String::from_utf8_lossy(&stderr).trim());
    }
    Ok(())
}

/// A plain sentence beats "Permission denied (you must be root)" from root.
fn require_net_admin(status: &str) -> anyhow::Result<()> {
    let line = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let capabilities = line.and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok()).unwrap_or_default();
    if capabilities & CAP_NET_ADMIN == 0 {
        bail!(
            "the capability NET_ADMIN is missing, without which no traffic can be redirected. Allow NET_ADMIN and \
             NET_RAW for the container weft-init (Pod Security level \"privileged\" for the namespace, or an exemption)"
        );
    }
    Ok(())
}

fn has_global(if_inet6: &str) -> bool {
    if_inet6.lines().any(|line| line.split_whitespace().nth(3) == Some(SCOPE_GLOBAL))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_capability_is_named_with_the_remedy() {
        let error = require_net_admin("Name:\tx\nCapEff:\t0000000000002000\n").unwrap_err().to_string();
        assert!(error.contains("NET_ADMIN is missing") && error.contains("Pod Security"), "{error}");
        assert!(require_net_admin("CapEff:\t0000000000003000\n").is_ok());
    }

    #[test]
    fn only_global_addresses_need_ipv6_rules() {
        let local = "00000000000000000000000000000001 01 80 10 80       lo\n\
                     fe800000000000000000000000000001 02 40 20 80     eth0\n";
        assert!(!has_global(local));
        assert!(has_global(&format!("{local}fd000000000000000000000000000002 02 40 00 80     eth0\n")));
    }
}
