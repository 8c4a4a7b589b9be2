//! What is forgotten, and when.

use super::*;

fn address(n: u8) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, n], 80))
}

/// Idle targets are forgotten, but not while the control plane is away.
#[test]
fn nothing_is_forgotten_while_disconnected() {
    let discovery = Discovery::new(vec![]);
    discovery.put_outbound(address(1), Outbound::not_in_mesh());
    let now = Instant::now();
    let left = |connected: bool| {
        discovery.shared.connected.store(connected, Ordering::Relaxed);
        discovery.sweep(now);
        discovery.sweep(now + KEEP_IDLE);
        discovery.state().cache.len()
    };
    assert_eq!((1, 0), (left(false), left(true)));
}
