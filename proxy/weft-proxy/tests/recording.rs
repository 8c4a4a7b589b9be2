//! What the tap shows of an exchange is what happened.

mod support;

use http::{Request, Response, StatusCode, Version};
use http_body_util::BodyExt;
use support::http::{full, http1, http2, mirror, serve, text, with_trailers};
use support::loopback::Mesh;
use weft_proxy::tap::{Direction, Outcome};

/// Both sides record the request as the application spoke it, with its peer, sizes and result.
#[tokio::test]
async fn exchanges_are_recorded() {
    let mesh = Mesh::start();
    let (web, api, app) = mesh.pair().await;
    serve(app, false, mirror);
    let mut client = http1(web.connect().await).await;
    let request = Request::post("/orders?x=1").header("host", "api.shop").body(full("tea")).unwrap();
    let answer = text(client.send_request(request).await.unwrap()).await;
    for (pod, direction, peer) in [(&web, Direction::Outbound, "api"), (&api, Direction::Inbound, "web")] {
        pod.expect("weft_requests_total", &["result=\"success\""], 1.0).await;
        let last = pod.shared.ring.recent();
        let e = &last.last().unwrap().exchange;
        assert_eq!((direction, "true", Outcome::Success), (e.direction, e.tls, e.outcome));
        assert_eq!(
            Some(format!("spiffe://cluster.local/ns/shop/sa/{peer}").as_str()),
            e.peer_identity.as_deref()
        );
        assert_eq!(("POST", "/orders", Some("x=1")), (e.method.as_str(), e.uri.path(), e.uri.query()));
        assert_eq!("api.shop", e.authority());
        assert_eq!((Version::HTTP_11, Some(StatusCode::OK)), (e.version, e.status));
        assert_eq!((3, answer.len() as u64), (e.request_bytes, e.response_bytes));
        assert!(e.latency <= e.duration);
    }
}

/// HTTP/2 is recorded as such, with the authority of its request, and a gRPC call with the status of its trailers.
#[tokio::test]
async fn http2_is_recorded() {
    let mesh = Mesh::start();
    let (web, api, app) = mesh.pair().await;
    serve(app, true, async |request: Request<hyper::body::Incoming>| {
        request.into_body().collect().await.unwrap();
        let body = with_trailers("data", &[("grpc-status", "5")]);
        Response::builder().header("content-type", "application/grpc").body(body).unwrap()
    });
    let mut client = http2(web.connect().await).await;
    let request = Request::post("http://api.shop/orders?x=1").header("content-type", "application/grpc");
    let response = client.send_request(request.body(full("ask")).unwrap()).await.unwrap();
    response.into_body().collect().await.unwrap();
    for (pod, direction) in [(&web, Direction::Outbound), (&api, Direction::Inbound)] {
        pod.expect("weft_requests_total", &["grpc_status=\"5\""], 1.0).await;
        let last = pod.shared.ring.recent();
        let e = &last.last().unwrap().exchange;
        assert_eq!((direction, "true", Version::HTTP_2), (e.direction, e.tls, e.version));
        assert_eq!(("POST", "/orders", Some("x=1")), (e.method.as_str(), e.uri.path(), e.uri.query()));
        assert_eq!(("api.shop", Some(StatusCode::OK), Some(5)), (&*e.authority(), e.status, e.grpc_status));
        assert_eq!((3, 4), (e.request_bytes, e.response_bytes));
    }
}
