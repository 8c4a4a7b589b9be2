//! The program against a real kernel, in a network namespace that ends with each command.

use std::io::Write;
use std::process::{Command, Output};

const PROGRAM: &str = env!("CARGO_BIN_EXE_weft-proxy-init");

/// Runs a shell line in a new network namespace, with the program as `$0`; None where that is not allowed.
fn in_namespace(line: &str) -> Option<Output> {
    let allowed = |output: &Output| output.status.success();
    let probe = Command::new("unshare").args(["--net", "iptables-nft", "-t", "nat", "-L"]).output();
    if !probe.as_ref().is_ok_and(allowed) {
        // Not by a macro: what those print is hidden when a test passes.
        let _ = writeln!(std::io::stderr(), "skipped: needs root, unshare and iptables");
        return None;
    }
    Some(Command::new("unshare").args(["--net", "sh", "-ec", line, PROGRAM]).output().unwrap())
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A restarted pod sandbox runs the program again: the second run's rules replace the first's, nothing is doubled.
#[test]
fn a_second_run_leaves_only_its_own_rules() {
    let once = in_namespace("$0 --skip-inbound-ports 22; iptables-nft-save -t nat | grep ^-A");
    let twice = in_namespace("$0; $0 --skip-inbound-ports 22; iptables-nft-save -t nat | grep ^-A");
    let (Some(once), Some(twice)) = (once, twice) else { return };
    assert_eq!(text(&once.stdout), text(&twice.stdout));
    assert!(text(&once.stdout).contains("--dport 22 -j RETURN"), "{}", text(&once.stderr));
}

/// Both families get the same chains.
#[test]
fn ipv6_is_redirected_as_ipv4_is() {
    let line = "$0; iptables-nft-save -t nat | grep ^-A >/tmp/v4.$$; ip6tables-nft-save -t nat | grep ^-A | \
                diff /tmp/v4.$$ - ; rm /tmp/v4.$$";
    let Some(output) = in_namespace(line) else { return };
    assert!(output.status.success(), "{}{}", text(&output.stdout), text(&output.stderr));
}

/// Without NET_ADMIN there is one sentence that says so and what to do, and exit code 1.
#[test]
fn a_missing_capability_is_a_clear_error() {
    let line = "exec setpriv --bounding-set -net_admin --inh-caps -net_admin $0";
    let Some(output) = in_namespace(line) else { return };
    assert_eq!(Some(1), output.status.code());
    assert!(text(&output.stderr).contains("NET_ADMIN is missing"), "{}", text(&output.stderr));
}

/// A mistake in the arguments is told before anything is changed.
#[test]
fn bad_arguments_change_nothing() {
    let Some(output) = in_namespace("$0 --skip-subnets nonsense || iptables-nft-save -t nat") else { return };
    assert!(text(&output.stderr).contains("--skip-subnets: \"nonsense\" is no network"));
    assert!(!text(&output.stdout).contains("WEFT"));
}
