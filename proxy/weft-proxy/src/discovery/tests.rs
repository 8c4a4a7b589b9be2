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
    // What holds outside the cluster stays.
    assert_eq!((2, 1), (left(false), left(true)));
}

/// A scan of the pod's ports is forgotten again; what is declared and what is pinned stays, and there is room after it.
#[tokio::test]
async fn own_ports_are_bounded() {
    let discovery = Discovery::new(vec![]);
    discovery.shared.connected.store(true, Ordering::Relaxed);
    discovery.put_inbound(1, Inbound { protocol: Protocol::Opaque, access: None });
    discovery.pin(&[2]);
    let held =
        |port| discovery.state().cache.held().iter().any(|(target, _)| *target == Target::Inbound(port));
    for port in 3..5000 {
        // Nobody answers, and nobody waits.
        let _ = futures_util::FutureExt::now_or_never(discovery.inbound(port));
        // And what holds outside the cluster.
        assert!(discovery.state().cache.len() <= MAX_PORTS + 1);
        assert!(held(1) && held(2) && held(port));
    }
    assert_eq!(Protocol::Opaque, discovery.inbound(1).await.unwrap().borrow().protocol);
}

/// While the control plane is away, a scan makes nothing forgotten.
#[tokio::test]
async fn own_ports_stay_while_disconnected() {
    let discovery = Discovery::new(vec![]);
    (1..=MAX_PORTS as u16).for_each(|port| discovery.put_inbound(port, Inbound::default()));
    let refused = discovery.inbound(MAX_PORTS as u16 + 1).await.map(|_| ()).unwrap_err();
    assert_eq!("inbound port 1025", refused.target);
    assert!(discovery.inbound(1).await.is_ok());
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

/// What was spent of a budget stays spent, for all workers, until there may be another number of retries.
#[tokio::test]
async fn budgets_outlive_changes() {
    let discovery = Discovery::new(vec![]);
    let reader = discovery.ask(Target::Outbound(address(1)), |cache| cache.outbound(address(1))).value;
    let budget = |ratio_permille, name: &str| {
        let route = api::Route { name: name.into(), ..Default::default() };
        let to = api::ServiceDestination {
            service: Some(api::ServicePort { port: 80, ..Default::default() }),
            retry_budget: Some(api::RetryBudget { ratio_permille, ..Default::default() }),
            routes: vec![route],
            ..Default::default()
        };
        let outbound = api::Outbound {
            destination: Some(api::outbound::Destination::Service(to)),
            ..Default::default()
        };
        let state = Some(api::update::State::Outbound(outbound));
        let target = Some(Target::Outbound(address(1)).encode());
        discovery.apply(api::Update { target, state, ..Default::default() });
        match &reader.borrow().destination {
            Destination::Service(to) => to.retry_budget.clone().unwrap(),
            other => panic!("{other:?}"),
        }
    };
    let (first, same, other) = (budget(200, "a"), budget(200, "b"), budget(100, "b"));
    assert_eq!((true, false), (Arc::ptr_eq(&first, &same), Arc::ptr_eq(&same, &other)));
}

/// What is known grows old by silence, connected or not, and young again by a word.
#[test]
fn silence_is_age() {
    let discovery = Discovery::new(vec![]);
    discovery.heard_now();
    let silence = Duration::from_secs(30);
    discovery.state().heard -= silence;
    let connected = discovery.age() >= silence;
    discovery.close();
    let closed = discovery.age() >= silence;
    discovery.heard_now();
    assert_eq!((true, true, true), (connected, closed, discovery.age() < silence));
}
