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

/// A scan of the pod's ports is forgotten again; what is declared of ports stays, and is still asked for after it.
#[tokio::test]
async fn own_ports_are_bounded() {
    let discovery = Discovery::new(vec![]);
    let opaque = Inbound { protocol: Protocol::Opaque };
    discovery.put_inbound(1, opaque);
    for port in 2..2000 {
        discovery.inbound(port).await;
        assert!(discovery.state().cache.len() <= MAX_PORTS);
    }
    assert_eq!(Protocol::Opaque, discovery.inbound(1).await.borrow().protocol);
    discovery.inbound(2000).await;
    assert!(discovery.state().cache.held().iter().any(|(target, _)| *target == Target::Inbound(2000)));
}

/// A scan of the network pushes out what is not in use, and only that.
#[tokio::test]
async fn targets_are_bounded() {
    let discovery = Discovery::new(vec![]);
    discovery.put_outbound(address(1), Outbound::not_in_mesh());
    let _used = discovery.outbound(address(1)).await.unwrap();
    for port in 1..=20_000 {
        let dst = SocketAddr::from(([10, 1, 0, 1], port));
        discovery.ask(Target::Outbound(dst), |cache| cache.outbound(dst));
    }
    let state = discovery.state();
    assert!(state.cache.len() <= MAX_TARGETS, "{}", state.cache.len());
    assert!(state.cache.held().iter().any(|(target, _)| *target == Target::Outbound(address(1))));
}
