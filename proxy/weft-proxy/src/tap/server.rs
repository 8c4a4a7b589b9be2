//! `tap/v1` on the tap port: mesh TLS, and nobody but the tap service.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Instant;

use futures_util::Stream;
use tokio::net::TcpListener;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};
use tower::Service as _;
use weft_api::tap::tap_server::{Tap, TapServer};
use weft_api::tap::{Event, Match, ObserveRequest};

use super::event::event;
use super::matching::matches;
use super::pace::Pace;
use super::{Captured, Observer, Ring};
use crate::control::accept::{self, Clients, Peer};
use crate::drain::Drain;
use crate::identity::Identity;

const DEFAULT_PER_SECOND: u32 = 100;
/// Events on their way to an observer that reads slowly; beyond them it loses some and is told how many.
const SEND_BACKLOG: usize = 64;
const MAX_CONNECTIONS: usize = 32;

/// Accepts `tap_id` on `listener` until the drain begins.
pub async fn run(
    listener: TcpListener,
    identity: Arc<Identity>,
    ring: Arc<Ring>,
    tap_id: String,
    drain: Drain,
) {
    let server = TapServer::new(Observations { ring });
    let tap_id: Arc<str> = tap_id.into();
    let ending = drain.clone();
    accept::serve(listener, identity, Clients::Certified, MAX_CONNECTIONS, drain, move |stream, peer: Peer| {
        let (server, tap_id, drain) = (server.clone(), tap_id.clone(), ending.clone());
        async move {
            if peer.id.as_deref() != Some(&*tap_id) {
                tracing::warn!(peer = peer.id.as_deref(), address = %peer.address, "refused: only tap may observe");
                return;
            }
            // Observers stay for hours: nobody waits for them to leave.
            tokio::select! {
                () = accept::http2(stream, drain.live(), move |request| server.clone().call(request)) => {}
                () = drain.started() => {}
            }
        }
    })
    .await;
}

struct Observations {
    ring: Arc<Ring>,
}

#[tonic::async_trait]
impl Tap for Observations {
    type ObserveStream = Pin<Box<dyn Stream<Item = Result<Event, Status>> + Send>>;

    async fn observe(
        &self,
        request: Request<ObserveRequest>,
    ) -> Result<Response<Self::ObserveStream>, Status> {
        let request = request.into_inner();
        let (sender, receiver) = mpsc::channel(SEND_BACKLOG);
        let (last, live) = self.ring.observe();
        tokio::spawn(feed(request, last, live, sender));
        Ok(Response::new(Box::pin(ReceiverStream::new(receiver))))
    }
}

/// Sends what matches until the observer leaves or has enough.
async fn feed(
    request: ObserveRequest,
    last: Vec<Arc<Captured>>,
    mut observer: Observer,
    sender: mpsc::Sender<Result<Event, Status>>,
) {
    let wanted = request.r#match.unwrap_or_default();
    let per_second = if request.max_per_second == 0 { DEFAULT_PER_SECOND } else { request.max_per_second };
    let mut pace = Pace::new(per_second, Instant::now());
    let mut left = if request.limit == 0 { u32::MAX } else { request.limit };
    for captured in replayed(&last, &wanted, request.replay.min(left)) {
        if sender.send(Ok(event(captured, 0))).await.is_err() {
            return;
        }
        left -= 1;
    }
    drop(last);
    while left > 0 {
        let received = tokio::select! {
            received = observer.live.recv() => received,
            () = sender.closed() => return,
        };
        let captured = match received {
            Ok(captured) if matches(&wanted, &captured.exchange) => captured,
            Ok(_) => continue,
            Err(RecvError::Lagged(events)) => {
                pace.lost(events);
                continue;
            }
            Err(RecvError::Closed) => return,
        };
        let Some(skipped) = pace.admit(Instant::now()) else { continue };
        if sender.send(Ok(event(&captured, skipped))).await.is_err() {
            return;
        }
        left -= 1;
    }
}

/// The newest `count` of the matching exchanges, oldest first.
fn replayed<'a>(last: &'a [Arc<Captured>], wanted: &Match, count: u32) -> Vec<&'a Arc<Captured>> {
    let matching = last.iter().rev().filter(|captured| matches(wanted, &captured.exchange));
    let mut newest: Vec<_> = matching.take(count as usize).collect();
    newest.reverse();
    newest
}
