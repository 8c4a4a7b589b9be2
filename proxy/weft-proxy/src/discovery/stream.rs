//! The one stream to the destination service: opened again, with jitter, whenever it ends.

use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow, bail};
use tokio::time::{interval, timeout};
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::transport::Channel;
use weft_api::discovery::discovery_client::DiscoveryClient;
use weft_api::discovery::update::State;
use weft_api::discovery::{Heartbeat, Hello, Request};

use super::Discovery;
use crate::control::backoff::Backoff;
use crate::control::dial::{self, Address};
use crate::control::dns::Dns;
use crate::identity::{ALPN_H2, Identity};

/// Thousands of endpoints in one update are normal, more than this is not.
const MAX_UPDATE: usize = 32 * 1024 * 1024;
const SWEEP: Duration = Duration::from_secs(30);
const OPEN_TIMEOUT: Duration = Duration::from_secs(10);
/// Services from before heartbeats say nothing until they have an update: a stream that is open so long is good.
const UNREFUSED: Duration = Duration::from_secs(2);
/// A stream that lasted this long was a good one: the next attempt comes soon.
const LASTED: Duration = Duration::from_secs(10);

/// Whom to ask, and who asks.
#[derive(Clone, Debug)]
pub struct Settings {
    pub address: Address,
    /// SPIFFE ID of the destination service.
    pub server_id: String,
    pub hello: Hello,
}

/// Keeps `discovery` connected for as long as the process runs.
pub async fn run(discovery: Discovery, identity: Arc<Identity>, settings: Settings) {
    let dns = Dns::default();
    let mut patience = Patience::default();
    let mut backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(10));
    loop {
        identity.ready().await;
        let started = Instant::now();
        let Err(error) = subscribe(&discovery, &identity, &settings, &dns, &mut patience).await;
        discovery.close();
        if started.elapsed() > LASTED {
            backoff.reset();
        }
        let pause = backoff.next_delay();
        tracing::warn!(error = %format!("{error:#}"), server = %settings.address, ?pause, "no discovery stream");
        sweeping(&discovery, tokio::time::sleep(pause)).await;
    }
}

/// One stream, from Hello to its end, which is always an error: it should never end.
async fn subscribe(
    discovery: &Discovery,
    identity: &Identity,
    settings: &Settings,
    dns: &Dns,
    patience: &mut Patience,
) -> anyhow::Result<std::convert::Infallible> {
    let config = identity.client_config(&settings.server_id, ALPN_H2);
    let dialling = dial::channel(dns, &settings.address, config);
    let channel = timeout(OPEN_TIMEOUT, dialling).await.context("no answer in time")??;
    let requests = UnboundedReceiverStream::new(discovery.open(settings.hello.clone()));
    tracing::info!(server = %settings.address, "discovery stream open");
    sweeping(discovery, receive(discovery, channel, requests, patience)).await
}

/// The service's first word, a heartbeat, proves that it lives and not only the proxy before it.
async fn receive(
    discovery: &Discovery,
    channel: Channel,
    requests: UnboundedReceiverStream<Request>,
    patience: &mut Patience,
) -> anyhow::Result<std::convert::Infallible> {
    let mut client = DiscoveryClient::new(channel).max_decoding_message_size(MAX_UPDATE);
    let mut updates =
        patience.wait(discovery, client.subscribe(requests)).await?.map_err(status)?.into_inner();
    while let Some(update) = patience.wait(discovery, updates.message()).await?.map_err(status)? {
        discovery.heard_now();
        match update.state {
            Some(State::Heartbeat(beat)) => *patience = Patience::until_next(beat),
            _ => discovery.apply(update),
        }
    }
    bail!("the server ended the stream")
}

/// How long the service may be silent; none until it has promised heartbeats.
#[derive(Default)]
struct Patience(Option<Duration>);

impl Patience {
    /// One beat may be late and one lost.
    fn until_next(beat: Heartbeat) -> Self {
        let interval = Duration::from_millis(beat.interval_ms.into());
        Self((!interval.is_zero()).then_some(3 * interval))
    }

    async fn wait<T>(&self, discovery: &Discovery, word: impl Future<Output = T>) -> anyhow::Result<T> {
        let mut word = pin!(word);
        if let Some(limit) = self.0 {
            return timeout(limit, word).await.with_context(|| format!("not a word for {limit:?}"));
        }
        if let Ok(said) = timeout(UNREFUSED, word.as_mut()).await {
            return Ok(said);
        }
        discovery.set_connected();
        Ok(word.await)
    }
}

/// Runs `work`, and forgets idle targets meanwhile.
async fn sweeping<T>(discovery: &Discovery, work: impl Future<Output = T>) -> T {
    let mut ticks = interval(SWEEP);
    tokio::pin!(work);
    loop {
        tokio::select! {
            result = &mut work => return result,
            _ = ticks.tick() => discovery.sweep(Instant::now()),
        }
    }
}

fn status(status: tonic::Status) -> anyhow::Error {
    anyhow!("{:?}: {}", status.code(), status.message())
}
