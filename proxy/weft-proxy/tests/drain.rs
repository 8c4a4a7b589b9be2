//! A proxy that leaves: what is under way is finished, and then its connections end.

mod support;

use std::sync::Arc;
use std::time::Duration;

use http::{Request, StatusCode};
use support::http::{full, get, http1, serve};
use support::loopback::{Mesh, Pod};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use weft_proxy::drain::Drain;

const GRACE: Duration = Duration::from_secs(10);

/// Whose proxy leaves: the client's; the server's, that a client without one has reached; the server's, reached by a peer.
#[derive(Clone, Copy, PartialEq)]
enum Leaves {
    Client,
    Server,
    Peer,
}

const ALL: [Leaves; 3] = [Leaves::Client, Leaves::Server, Leaves::Peer];

/// A client, and a server that answers when it is told to; every request tells that it came.
struct Slow {
    leaves: Leaves,
    web: Pod,
    api: Pod,
    came: Arc<Semaphore>,
    may: Arc<Semaphore>,
}

async fn slow(mesh: &Mesh, http2: bool, leaves: Leaves) -> Slow {
    let (web, api, app) = mesh.pair().await;
    let (came, may) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
    let (tell, wait) = (came.clone(), may.clone());
    serve(app, http2, move |_| {
        let (tell, wait) = (tell.clone(), wait.clone());
        async move {
            tell.add_permits(1);
            wait.acquire().await.unwrap().forget();
            http::Response::new(full("at last"))
        }
    });
    Slow { leaves, web, api, came, may }
}

impl Slow {
    async fn connect(&self) -> TcpStream {
        if self.leaves == Leaves::Server { self.api.reach().await } else { self.web.connect().await }
    }

    /// That of the proxy that leaves.
    fn drain(&self) -> &Drain {
        &if self.leaves == Leaves::Client { &self.web } else { &self.api }.shared.drain
    }

    /// The drain begins while a request is under way; then that is answered.
    async fn leave(&self) {
        self.came.acquire().await.unwrap().forget();
        self.drain().start();
        self.may.add_permits(1);
    }

    async fn has_left(&self) -> bool {
        self.drain().finished(GRACE).await
    }
}

/// HTTP/1: the response under way arrives and is the last of its connection.
#[tokio::test]
async fn http1_ends_with_its_response() {
    for leaves in ALL {
        let mesh = Mesh::start();
        let slow = slow(&mesh, false, leaves).await;
        let mut client = http1(slow.connect().await).await;
        let (response, ()) = tokio::join!(client.send_request(get("/")), slow.leave());
        assert_eq!(StatusCode::OK, response.unwrap().status());
        assert!(slow.has_left().await);
        if leaves != Leaves::Peer {
            // The client may not have read yet that it ended.
            let _ = client.ready().await;
            assert!(client.send_request(get("/")).await.is_err());
        }
    }
}

/// HTTP/2: GOAWAY, which tells of no error; the stream under way is finished, and there are no others.
#[tokio::test]
async fn http2_ends_with_its_streams() {
    for leaves in ALL {
        let mesh = Mesh::start();
        let slow = slow(&mesh, true, leaves).await;
        let (client, connection) = h2::client::handshake(slow.connect().await).await.unwrap();
        let connection = tokio::spawn(connection);
        let request = Request::get("http://api.shop/").body(()).unwrap();
        let mut client = client.ready().await.unwrap();
        let (response, _) = client.send_request(request, true).unwrap();
        let (response, ()) = tokio::join!(response, slow.leave());
        assert_eq!(StatusCode::OK, response.unwrap().status());
        assert!(slow.has_left().await);
        if leaves != Leaves::Peer {
            connection.await.unwrap().unwrap();
            let told = client.ready().await.expect_err("a GOAWAY");
            assert!(told.is_go_away() && told.is_remote(), "{told:?}");
            assert_eq!(Some(h2::Reason::NO_ERROR), told.reason());
        }
    }
}

/// What does not end within the grace period is not waited for.
#[tokio::test]
async fn the_grace_period_ends() {
    let mesh = Mesh::start();
    let slow = slow(&mesh, false, Leaves::Client).await;
    let mut client = http1(slow.connect().await).await;
    let under_way = tokio::spawn(async move { client.send_request(get("/")).await.is_ok() });
    slow.came.acquire().await.unwrap().forget();
    slow.drain().start();
    assert!(!slow.drain().finished(Duration::from_millis(50)).await);
    under_way.abort();
}
