//! The process, in start order: metrics and drain, workers on their ports, control side, admin, signals, drain.

use std::net::{SocketAddr, TcpListener};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use tokio::net::TcpStream;
use tokio::runtime::{Builder, LocalOptions};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Notify, Semaphore};
use tokio::task::JoinSet;

use crate::config::{Config, Mode};
use crate::discovery::Discovery;
use crate::error::{Code, Error};
use crate::identity::Identity;
use crate::worker::{Shared, Worker};
use crate::{access_log, admin, control, held, inbound, outbound, socket};

/// Pause after `accept` failed for want of descriptors: long enough not to spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
const EXPIRE: Duration = Duration::from_secs(60);

/// What one worker listens on.
#[derive(Default)]
pub struct Listeners {
    pub outbound: Vec<TcpListener>,
    pub inbound: Vec<TcpListener>,
}

/// Runs the proxy until it is told to end and its connections have.
pub fn run(config: Config) -> anyhow::Result<()> {
    if let Err(error) = socket::lift_limit() {
        tracing::warn!(%error, "the limit of open files stays as it is");
    }
    // Draws the first random bytes as well, so that no handshake waits for entropy.
    let identity = Identity::new(&config.own_id(), &config.trust_domain);
    let discovery = Discovery::new(config.cluster_networks.clone());
    discovery.pin(&config.inbound_ports);
    let shared = Arc::new(Shared::new(config, identity, discovery, Arc::new(socket::original_dst)));
    if shared.config.access_log {
        shared.ring.log_to(access_log::start(std::io::stdout())?);
    }
    let ended = Arc::new(Notify::new());
    if shared.config.mode == Mode::Sidecar {
        for n in 0..shared.config.workers {
            start_worker(shared.clone(), n, &ended)?;
        }
    }
    held::limit(shared.config.max_buffered);
    Builder::new_current_thread().enable_all().build()?.block_on(supervise(shared, ended, JoinSet::new()))
}

/// Until the proxy is told to end, or a worker has `ended`: without it traffic would wait for nobody. So it is with the
/// `tasks` of this thread, all of which are for ever: without them it would go on with what it knows, and say nothing.
async fn supervise(shared: Arc<Shared>, ended: Arc<Notify>, mut tasks: JoinSet<()>) -> anyhow::Result<()> {
    let (mut term, mut int) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    control::start(&mut tasks, &shared)?;
    let listener = socket::listen(shared.config.admin_listen)
        .with_context(|| format!("admin on {}", shared.config.admin_listen))?;
    let stop = Arc::new(Notify::new());
    tasks.spawn(admin::serve(tokio::net::TcpListener::from_std(listener)?, shared.clone(), stop.clone()));
    tasks.spawn(expire(shared.clone()));
    tracing::info!(version = env!("CARGO_PKG_VERSION"), id = shared.identity.id(), "started");
    tokio::select! {
        _ = term.recv() => {}
        _ = int.recv() => {}
        () = stop.notified() => {}
        () = ended.notified() => anyhow::bail!("a worker has ended, so nothing is served: see the panic or error before"),
        Some(_) = tasks.join_next() => anyhow::bail!("a task of the control side has ended: see the panic or error before"),
    }
    tracing::info!(grace = ?shared.config.shutdown_grace, "ending");
    shared.drain.start();
    if !shared.drain.finished(shared.config.shutdown_grace).await {
        tracing::warn!("connections are left after the grace period");
    }
    Ok(())
}

/// Removes series that ended long ago, for ever.
async fn expire(shared: Arc<Shared>) {
    let mut minutes = tokio::time::interval(EXPIRE);
    loop {
        minutes.tick().await;
        shared.metrics.expire(Instant::now());
    }
}

fn start_worker(shared: Arc<Shared>, n: usize, ended: &Arc<Notify>) -> anyhow::Result<()> {
    let config = &shared.config;
    let listeners =
        Listeners { outbound: bind(&config.outbound_listen)?, inbound: bind(&config.inbound_listen)? };
    let (ready, began) = std::sync::mpsc::channel();
    // The runtime belongs to its thread, so it is made there.
    let work = move || match Builder::new_current_thread().enable_all().build_local(LocalOptions::default()) {
        Ok(runtime) => {
            let _ = ready.send(Ok(()));
            runtime.block_on(work(shared, listeners));
        }
        Err(error) => drop(ready.send(Err(error))),
    };
    spawn(format!("worker-{n}"), ended, work)?;
    began.recv()??;
    Ok(())
}

/// Runs `work` on a thread of its own; however that comes to its end, `ended` is told.
fn spawn(name: String, ended: &Arc<Notify>, work: impl FnOnce() + Send + 'static) -> std::io::Result<()> {
    let last = Last(ended.clone());
    std::thread::Builder::new().name(name).spawn(move || {
        let _last = last;
        work();
    })?;
    Ok(())
}

struct Last(Arc<Notify>);

impl Drop for Last {
    fn drop(&mut self) {
        self.0.notify_one();
    }
}

/// Listens on all of `addrs`; beside others an IPv6 address may be left out where there is no IPv6.
fn bind(addrs: &[SocketAddr]) -> anyhow::Result<Vec<TcpListener>> {
    let mut bound = Vec::with_capacity(addrs.len());
    for addr in addrs {
        match socket::listen(*addr) {
            Err(e) if addrs.len() > 1 && addr.is_ipv6() && socket::is_no_ipv6(&e) => {
                tracing::info!(%addr, "no IPv6 here");
            }
            other => bound.push(other.with_context(|| format!("listen on {addr}"))?),
        }
    }
    Ok(bound)
}

/// One worker: accepts and serves every connection in a task of its own, for ever; returns when it cannot accept any more.
/// Must run in a `LocalRuntime`.
pub async fn work(shared: Arc<Shared>, listeners: Listeners) {
    held::limit(shared.config.max_buffered);
    let worker = Worker::new(shared, rand::random());
    let places = || Arc::new(Semaphore::new(worker.shared.config.max_connections));
    // Apart, so that who fills the way in leaves the pod its way out.
    let (out, within) = (places(), places());
    let mut accepting = JoinSet::new();
    for listener in listeners.outbound {
        accepting.spawn_local(accept(worker.clone(), listener, out.clone(), "outbound", outbound::serve));
    }
    for listener in listeners.inbound {
        accepting.spawn_local(accept_inbound(worker.clone(), listener, within.clone()));
    }
    tokio::select! {
        () = worker.sweep() => {}
        Some(_) = accepting.join_next() => {}
    }
}

/// While the proxy leaves, the pod's application is gone: closed doors send clients elsewhere at once.
async fn accept_inbound(worker: Rc<Worker>, listener: TcpListener, places: Arc<Semaphore>) {
    let drain = worker.shared.drain.clone();
    tokio::select! {
        () = drain.started() => {}
        () = accept(worker, listener, places, "inbound", inbound::serve) => return,
    }
    std::future::pending().await
}

/// All places are taken: one more is reset at once, which the client notices better than silence.
fn refuse(worker: &Worker, stream: &TcpStream) {
    let _ = socket::reset(stream);
    worker.shared.metrics.error(Code::Overloaded);
    tracing::debug!("a connection above WEFT_MAX_CONNECTIONS");
}

async fn accept<F, R>(
    worker: Rc<Worker>,
    listener: TcpListener,
    places: Arc<Semaphore>,
    direction: &'static str,
    serve: F,
) where
    F: Fn(Rc<Worker>, TcpStream, SocketAddr) -> R + Copy + 'static,
    R: Future<Output = Result<(), Error>> + 'static,
{
    let listener = match tokio::net::TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => return tracing::error!(%error, direction, "cannot listen"),
    };
    loop {
        let (stream, source) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, direction, "accept");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let Ok(place) = places.clone().try_acquire_owned() else {
            refuse(&worker, &stream);
            continue;
        };
        let (worker, source) = (worker.clone(), socket::canonical(source));
        tokio::task::spawn_local(async move {
            let _place = place;
            if let Err(error) = serve(worker.clone(), stream, source).await {
                worker.shared.metrics.error(error.code);
                tracing::debug!(%error, %source, direction, "connection");
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shared() -> Arc<Shared> {
        let mut config = Config::parse([].into()).unwrap();
        let free = SocketAddr::from(([127, 0, 0, 1], 0));
        (config.admin_listen, config.tap_listen) = (free, free);
        let identity = Identity::new(&config.own_id(), &config.trust_domain);
        Arc::new(Shared::new(config, identity, Discovery::new(vec![]), Arc::new(socket::original_dst)))
    }

    async fn fate(ended: Arc<Notify>, tasks: JoinSet<()>) -> String {
        let outcome = tokio::time::timeout(Duration::from_secs(20), supervise(shared(), ended, tasks));
        outcome.await.expect("an end in time").unwrap_err().to_string()
    }

    /// A task that renews certificates or listens to the control plane takes the process with it.
    #[tokio::test]
    async fn the_process_ends_with_a_task_of_the_control_side() {
        let mut tasks = JoinSet::new();
        tasks.spawn(async { panic!("as the test wants it") });
        assert!(fate(Arc::default(), tasks).await.starts_with("a task of the control side has ended"));
    }

    /// A worker that panics, where it is no connection's own task, takes the process with it.
    #[tokio::test]
    async fn the_process_ends_with_a_worker() {
        let ended = Arc::new(Notify::new());
        spawn("worker".into(), &ended, || panic!("as the test wants it")).unwrap();
        assert!(fate(ended, JoinSet::new()).await.starts_with("a worker has ended"));
    }

    /// So does one that cannot accept any more: here, tokio panics for want of a socket that does not block.
    #[tokio::test]
    async fn the_process_ends_with_an_accepting_task() {
        let ended = Arc::new(Notify::new());
        let blocking = TcpListener::bind("127.0.0.1:0").unwrap();
        let listeners = Listeners { inbound: vec![blocking], ..Listeners::default() };
        let shared = shared();
        spawn("worker".into(), &ended, move || {
            let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default());
            runtime.unwrap().block_on(work(shared, listeners));
        })
        .unwrap();
        assert!(fate(ended, JoinSet::new()).await.starts_with("a worker has ended"));
    }
}
