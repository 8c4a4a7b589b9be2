//! A proxy that leaves: what is under way is finished, and then its connections end.

mod support;

use std::sync::Arc;
use std::time::Duration;

use http::{Request, StatusCode};
use support::http::{full, get, http1, http2, serve};
use support::loopback::{Mesh, Pod};
use tokio::sync::Semaphore;

const GRACE: Duration = Duration::from_secs(10);

/// A client, and a server that answers when it is told to; every request tells that it came.
struct Slow {
    web: Pod,
    came: Arc<Semaphore>,
    may: Arc<Semaphore>,
}

async fn slow(mesh: &Mesh, http2: bool) -> Slow {
    let (web, _api, app) = mesh.pair().await;
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
    Slow { web, came, may }
}

impl Slow {
    /// The drain begins while a request is under way; then that is answered.
    async fn leave(&self) {
        self.came.acquire().await.unwrap().forget();
        self.web.shared.drain.start();
        self.may.add_permits(1);
    }

    async fn has_left(&self) -> bool {
        self.web.shared.drain.finished(GRACE).await
    }
}

/// HTTP/1: the response under way arrives and is the last of its connection.
#[tokio::test]
async fn http1_ends_with_its_response() {
    let mesh = Mesh::start();
    let slow = slow(&mesh, false).await;
    let mut client = http1(slow.web.connect().await).await;
    let (response, ()) = tokio::join!(client.send_request(get("/")), slow.leave());
    assert_eq!(StatusCode::OK, response.unwrap().status());
    assert!(slow.has_left().await);
    // The client may not have read yet that it ended.
    let _ = client.ready().await;
    assert!(client.send_request(get("/")).await.is_err());
}

/// HTTP/2: GOAWAY; the stream under way is finished, and there are no others.
#[tokio::test]
async fn http2_ends_with_its_streams() {
    let mesh = Mesh::start();
    let slow = slow(&mesh, true).await;
    let mut client = http2(slow.web.connect().await).await;
    let request = || Request::get("http://api.shop/").body(full("")).unwrap();
    let (response, ()) = tokio::join!(client.send_request(request()), slow.leave());
    assert_eq!(StatusCode::OK, response.unwrap().status());
    assert!(slow.has_left().await);
    let _ = client.ready().await;
    assert!(client.send_request(request()).await.is_err());
}

/// What does not end within the grace period is not waited for.
#[tokio::test]
async fn the_grace_period_ends() {
    let mesh = Mesh::start();
    let slow = slow(&mesh, false).await;
    let mut client = http1(slow.web.connect().await).await;
    let under_way = tokio::spawn(async move { client.send_request(get("/")).await.is_ok() });
    slow.came.acquire().await.unwrap().forget();
    slow.web.shared.drain.start();
    assert!(!slow.web.shared.drain.finished(Duration::from_millis(50)).await);
    under_way.abort();
}
