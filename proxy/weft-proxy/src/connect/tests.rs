use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;

use futures_util::future::join_all;
use futures_util::{join, poll};
use http::{Request, Response, StatusCode};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{LocalSet, spawn_local, unconstrained};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::*;
use crate::balance::ewma;
use crate::config::Config;
use crate::discovery::{Discovery, Endpoint};
use crate::http::body::RequestBody;
use crate::http::client::{self, Wire};
use crate::identity::ALPN_TCP;
use crate::identity::testing::{Authority, spiffe};
use crate::worker::Shared;

type Open<'a> = Pin<Box<dyn Future<Output = Result<Io, Error>> + 'a>>;

/// A peer that answers when the test says so, and a worker that dials it.
struct Peer {
    worker: Rc<Worker>,
    node: Rc<Node>,
    listener: TcpListener,
    acceptor: TlsAcceptor,
}

impl Peer {
    async fn start() -> Self {
        let ca = Authority::new().unwrap();
        let [web, api] = ["web", "api"].map(|account| ca.identity(&spiffe("shop", account)).unwrap());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = Endpoint {
            addr: listener.local_addr().unwrap(),
            weight: 1,
            identity: Some(api.id().into()),
            zone: "".into(),
            labels: Arc::default(),
        };
        let node = Node::new(Arc::new(endpoint), Tls::True, ewma::UNKNOWN, None, Instant::now());
        let config = Config::parse([].into()).unwrap();
        let shared = Shared::new(config, web, Discovery::new(vec![]), Arc::new(socket::original_dst));
        Self {
            worker: Worker::new(Arc::new(shared), 1),
            node: Rc::new(node),
            listener,
            acceptor: api.server_config().unwrap().into(),
        }
    }

    /// So many who want a connection at once: each dials, or waits for its turn.
    async fn crowd(&self, size: usize) -> Vec<Open<'_>> {
        begun((0..size).map(|_| open(&self.worker, &self.node, ALPN_TCP, None))).await
    }

    /// So many have dialled, and no more.
    async fn dialled(&self, count: usize) -> Vec<TcpStream> {
        let mut dialled = Vec::new();
        for _ in 0..count {
            dialled.push(self.listener.accept().await.unwrap().0);
        }
        assert!(poll!(pin!(self.listener.accept())).is_pending(), "more than {count} dialled");
        dialled
    }

    async fn answer(&self, dialled: TcpStream) -> TlsStream<TcpStream> {
        self.acceptor.accept(dialled).await.unwrap()
    }
}

/// All of them have been polled, and none is done.
async fn begun<'a, T>(
    all: impl Iterator<Item = impl Future<Output = T> + 'a>,
) -> Vec<Pin<Box<dyn Future<Output = T> + 'a>>> {
    let mut begun = Vec::new();
    for one in all {
        let mut one: Pin<Box<dyn Future<Output = T> + 'a>> = Box::pin(unconstrained(one));
        assert!(poll!(&mut one).is_pending());
        begun.push(one);
    }
    begun
}

/// So many connections are made at once; when one is there, the next one's turn has come.
#[tokio::test]
async fn crowds_take_turns() {
    let peer = Peer::start().await;
    let mut crowd = peer.crowd(MAX_DIALS + 2).await;
    let mut dialled = peer.dialled(MAX_DIALS).await;
    let (_stream, opened) = join!(peer.answer(dialled.remove(0)), crowd.remove(0));
    assert!(opened.is_ok());
    for waiter in &mut crowd[MAX_DIALS - 1..] {
        assert!(poll!(waiter).is_pending());
    }
    peer.dialled(1).await;
}

/// When nobody gets through, those who wait for a turn need not try as well.
#[tokio::test]
async fn waiters_hear_of_failures() {
    let peer = Peer::start().await;
    let mut crowd = peer.crowd(MAX_DIALS + 2).await;
    let mut dialled = peer.dialled(MAX_DIALS).await;
    let waiters = crowd.split_off(MAX_DIALS);
    drop(dialled.remove(0));
    let failed = crowd.remove(0).await.err();
    let heard: Vec<_> = join_all(waiters).await.into_iter().map(Result::err).collect();
    assert_eq!((true, vec![failed.clone(); 2]), (failed.is_some(), heard));
    peer.dialled(0).await;
}

/// One failure says nothing where others get through meanwhile: those who wait have their turn.
#[tokio::test]
async fn a_single_failure_fails_nobody_else() {
    let peer = Peer::start().await;
    let mut crowd = peer.crowd(MAX_DIALS + 2).await;
    let mut dialled = peer.dialled(MAX_DIALS).await;
    let waiters = crowd.split_off(MAX_DIALS);
    let (_stream, opened) = join!(peer.answer(dialled.remove(0)), crowd.remove(0));
    assert!(opened.is_ok());
    drop(dialled.remove(0));
    assert!(crowd.remove(0).await.is_err());
    for mut waiter in waiters {
        assert!(poll!(&mut waiter).is_pending());
        let dialled = peer.dialled(1).await.remove(0);
        let (_stream, opened) = join!(peer.answer(dialled), waiter);
        assert!(opened.is_ok());
    }
}

/// A crowd of requests of HTTP/2 makes one connection, however late its server answers.
#[tokio::test]
async fn crowds_share_a_connection_of_http2() {
    const REQUESTS: usize = 100;
    let serve = |stream| async {
        let mut connection = h2::server::handshake(stream).await.unwrap();
        while let Some(Ok((_, mut respond))) = connection.accept().await {
            respond.send_response(Response::new(()), true).unwrap();
        }
    };
    let crowd = async {
        let peer = Peer::start().await;
        let request = || Request::get("http://api.shop/").body(RequestBody::Empty).unwrap();
        let send = |_| client::send(&peer.worker, &peer.node, Wire::Http2, request());
        let crowd = begun((0..REQUESTS).map(send)).await;
        let dialled = peer.dialled(1).await.remove(0);
        let acceptor = peer.acceptor.clone();
        spawn_local(async move { serve(acceptor.accept(dialled).await.unwrap()).await });
        let answered = join_all(crowd).await;
        assert!(answered.iter().all(|sent| sent.as_ref().is_ok_and(|(r, _)| r.status() == StatusCode::OK)));
        peer.dialled(0).await;
    };
    LocalSet::new().run_until(crowd).await;
}
