//! Failing endpoints are left out, failed requests retried within the budget, and gaps of a rollout waited for.

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use http::{Request, Response};
use support::http::{full, get, http1, http2, serve, text};
use support::loopback::{Mesh, Pod, endpoint};
use weft_api::discovery as api;
use weft_proxy::metrics::Control;

/// Requests that an application got.
type Hits = Arc<AtomicUsize>;

/// An application that answers its first `failures` requests with 500, and then with what it was sent.
async fn app(pod: &Pod, failures: usize) -> Hits {
    let hits = Hits::default();
    let count = hits.clone();
    serve(pod.app().await, false, move |request: Request<_>| {
        let status = if count.fetch_add(1, Ordering::Relaxed) < failures { 500 } else { 200 };
        async move {
            let body = text(Response::new(request.into_body())).await;
            Response::builder().status(status).body(full(format!("{status} {body}"))).unwrap()
        }
    });
    hits
}

/// Status and body of each of `count` POSTs, one after the other.
async fn post(pod: &Pod, count: usize) -> Vec<(u16, String)> {
    let mut client = http1(pod.connect().await).await;
    let mut answers = Vec::new();
    for _ in 0..count {
        let request = Request::post("/").header("host", "api").body(full("body")).unwrap();
        let response = client.send_request(request).await.unwrap();
        assert!(!response.headers().contains_key("weft-error"));
        answers.push((response.status().as_u16(), text(response).await));
        client.ready().await.unwrap();
    }
    answers
}

/// `weft-error` of a GET.
async fn said(pod: &Pod, by_http2: bool) -> String {
    let stream = pod.connect().await;
    let response = if by_http2 {
        let request = Request::get("http://api.shop/").body(full("")).unwrap();
        http2(stream).await.send_request(request).await.unwrap()
    } else {
        http1(stream).await.send_request(get("/")).await.unwrap()
    };
    response.headers().get("weft-error").map_or("", |said| said.to_str().unwrap()).to_owned()
}

fn retrying(min_retries_per_second: u32) -> api::ServiceDestination {
    let route = api::Route { name: "all".into(), retryable: true, ..Default::default() };
    let budget = api::RetryBudget { ratio_permille: 0, min_retries_per_second, ttl_ms: 10_000 };
    api::ServiceDestination { routes: vec![route], retry_budget: Some(budget), ..Default::default() }
}

fn breaking(max_failures: u32) -> api::ServiceDestination {
    let breaker = api::Breaker { max_failures, min_penalty_ms: 60_000, ..Default::default() };
    api::ServiceDestination { breaker: Some(breaker), ..Default::default() }
}

/// The status of an answer to who would leave HTTP.
async fn upgrade(pod: &Pod) -> u16 {
    let request = Request::get("/ws").header("host", "api").header("connection", "upgrade");
    let request = request.header("upgrade", "websocket").body(full("")).unwrap();
    http1(pod.connect().await).await.send_request(request).await.unwrap().status().as_u16()
}

/// What fails on a route that retries is sent again with its whole body, and the client sees only what came of it.
#[tokio::test]
async fn failures_are_retried() {
    let mesh = Mesh::start();
    let (web, api) = (mesh.pod(2, "web"), mesh.pod(3, "api"));
    let hits = app(&api, 2).await;
    mesh.service_of(api::Protocol::Http1, retrying(10), vec![api.endpoint()]);
    assert_eq!(vec![(200, "200 body".to_owned())], post(&web, 1).await);
    assert_eq!(3, hits.load(Ordering::Relaxed));
    web.expect("weft_retries_total", &["dst_service=\"api\"", "route=\"all\"", "result=\"success\""], 1.0)
        .await;
    web.expect("weft_requests_total", &["status=\"200\""], 1.0).await;
}

/// When the budget is spent, the application's own response passes.
#[tokio::test]
async fn retries_stay_within_the_budget() {
    let mesh = Mesh::start();
    let (web, api) = (mesh.pod(2, "web"), mesh.pod(3, "api"));
    let hits = app(&api, usize::MAX).await;
    let budget = api::RetryBudget { ratio_permille: 0, min_retries_per_second: 1, ttl_ms: 4000 };
    let to = api::ServiceDestination { retry_budget: Some(budget), ..retrying(0) };
    mesh.service_of(api::Protocol::Http1, to, vec![api.endpoint()]);
    assert_eq!(vec![(500, "500 body".to_owned()); 5], post(&web, 5).await);
    assert_eq!(5 + 4, hits.load(Ordering::Relaxed));
    web.expect("weft_retries_total", &["result=\"failure\""], 1.0).await;
    web.expect("weft_retries_total", &["result=\"no_budget\""], 4.0).await;
}

/// A response with more header than fits is an error of its own: asked for once, and no breaker hears of it.
#[tokio::test]
async fn too_much_header_is_told() {
    for (kib, http2, meshed) in [(100, false, true), (100, true, true), (600, true, false)] {
        let mesh = Mesh::start();
        let (web, api) = (mesh.pod(2, "web"), mesh.pod(3, "api"));
        let (app, hits) = (api.app().await, Hits::default());
        let (there, count) = (app.local_addr().unwrap(), hits.clone());
        serve(app, http2, move |_| {
            count.fetch_add(1, Ordering::Relaxed);
            let much = "x".repeat(kib * 1024);
            std::future::ready(Response::builder().header("x-much", much).body(full("")).unwrap())
        });
        let to = if meshed { api.endpoint() } else { endpoint(there, "", "api") };
        mesh.service_of(api::Protocol::Detect, breaking(1), vec![to]);
        let (said, hits) = (said(&web, http2).await, hits.load(Ordering::Relaxed));
        assert_eq!(("E108 ", 1), (&said[..5], hits), "{kib} KiB: {said}");
        assert_eq!(0.0, web.metric("weft_breaker_trips_total", &[]));
    }
}

/// Nothing is sent twice by a route that does not say so.
#[tokio::test]
async fn other_routes_do_not_retry() {
    let mesh = Mesh::start();
    let (web, api) = (mesh.pod(2, "web"), mesh.pod(3, "api"));
    let hits = app(&api, usize::MAX).await;
    mesh.service(vec![api.endpoint()]);
    post(&web, 1).await;
    assert_eq!(1, hits.load(Ordering::Relaxed));
}

/// An endpoint that fails so often in a row gets no more requests while there are others.
#[tokio::test]
async fn failing_endpoints_are_left_out() {
    let mesh = Mesh::start();
    let (web, good, bad) = (mesh.pod(2, "web"), mesh.pod(3, "api"), mesh.pod(4, "api"));
    let (_, failures) = (app(&good, 0).await, app(&bad, usize::MAX).await);
    mesh.service_of(api::Protocol::Http1, breaking(3), vec![good.endpoint(), bad.endpoint()]);
    // Several at once, so that both endpoints are picked.
    while web.metric("weft_breaker_trips_total", &[]) == 0.0 {
        futures_util::future::join_all((0..8).map(|_| post(&web, 1))).await;
    }
    let until_then = failures.load(Ordering::Relaxed);
    assert_eq!(vec![(200, "200 body".to_owned()); 50], post(&web, 50).await);
    assert_eq!(until_then, failures.load(Ordering::Relaxed));
    web.expect("weft_breaker_trips_total", &["dst_service=\"api\"", "reason=\"failures\""], 1.0).await;
    web.expect("weft_balancer_endpoints", &["dst_service=\"api\"", "state=\"open\""], 1.0).await;
    web.expect("weft_balancer_endpoints", &["dst_service=\"api\"", "state=\"closed\""], 1.0).await;
    let name = format!("endpoint=\"{}\"", bad.inbound);
    web.expect("weft_balancer_left_out", &["dst_service=\"api\"", &name], 1.0).await;
    mesh.endpoints(vec![good.endpoint()]);
    web.settled(async || !web.shared.metrics.render(Control::default()).contains("weft_balancer_left_out{"))
        .await;
}

/// An endpoint that never answers is tried once: what it lets a request wait counts as its latency.
#[tokio::test]
async fn hung_endpoints_are_left_alone() {
    let mesh = Mesh::start();
    let (web, good, hung) = (mesh.pod(2, "web"), mesh.pod(3, "api"), mesh.pod(4, "api"));
    serve(hung.app().await, false, |_| std::future::pending());
    serve(good.app().await, false, |_| async {
        tokio::time::sleep(Duration::from_millis(20)).await;
        Response::new(full(""))
    });
    let route = api::Route { name: "all".into(), request_timeout_ms: 500, ..Default::default() };
    let to = api::ServiceDestination { routes: vec![route], ..Default::default() };
    mesh.service_of(api::Protocol::Http1, to, vec![good.endpoint(), hung.endpoint()]);
    let mut client = http1(web.connect().await).await;
    let mut late = 0;
    for _ in 0..20 {
        late += usize::from(client.send_request(get("/")).await.unwrap().status() == 504);
        client.ready().await.unwrap();
    }
    assert_eq!(1, late);
}

/// When every breaker is open, requests go on: the mesh never makes an outage whole.
#[tokio::test]
async fn the_last_endpoint_is_not_left_out() {
    let mesh = Mesh::start();
    let (web, api) = (mesh.pod(2, "web"), mesh.pod(3, "api"));
    app(&api, 5).await;
    mesh.service_of(api::Protocol::Http1, breaking(1), vec![api.endpoint()]);
    let statuses: Vec<_> = post(&web, 6).await.into_iter().map(|(status, _)| status).collect();
    assert_eq!(vec![500, 500, 500, 500, 500, 200], statuses);
}

/// Other numbers for the breaker hold from now on, for endpoints that are in use already.
#[tokio::test]
async fn breakers_change_while_in_use() {
    let mesh = Mesh::start();
    let (web, api) = (mesh.pod(2, "web"), mesh.pod(3, "api"));
    app(&api, usize::MAX).await;
    mesh.service_of(api::Protocol::Http1, breaking(0), vec![api.endpoint()]);
    post(&web, 20).await;
    assert_eq!(0.0, web.metric("weft_breaker_trips_total", &[]));
    mesh.service_of(api::Protocol::Http1, breaking(3), vec![api.endpoint()]);
    web.settled(async || {
        post(&web, 1).await;
        web.metric("weft_breaker_trips_total", &["reason=\"failures\""]) == 1.0
    })
    .await;
    assert_eq!(1.0, web.metric("weft_tcp_opened_total", &["direction=\"outbound\""]));
}

/// Between the last old endpoint and the first new one requests wait.
#[tokio::test]
async fn requests_wait_for_the_next_endpoint() {
    let mesh = Mesh::start();
    let (web, api) = (mesh.pod(2, "web"), mesh.pod(3, "api"));
    app(&api, 0).await;
    mesh.service(vec![api.endpoint()]);
    post(&web, 1).await;
    mesh.endpoints(vec![]);
    web.expect("weft_balancer_endpoints", &[], 0.0).await;
    let mut client = http1(web.connect().await).await;
    let mut waiting = std::pin::pin!(client.send_request(get("/")));
    assert!(futures_util::poll!(waiting.as_mut()).is_pending());
    mesh.endpoints(vec![api.endpoint()]);
    assert_eq!(200, waiting.await.unwrap().status().as_u16());
}

/// What would leave HTTP fails as any other request does: its breaker hears of it.
#[tokio::test]
async fn failing_upgrades_open_breakers() {
    let mesh = Mesh::start();
    let (web, api) = (mesh.pod(2, "web"), mesh.pod(3, "api"));
    app(&api, usize::MAX).await;
    mesh.service_of(api::Protocol::Http1, breaking(2), vec![api.endpoint()]);
    assert_eq!([500, 500], [upgrade(&web).await, upgrade(&web).await]);
    web.expect("weft_breaker_trips_total", &["reason=\"failures\""], 1.0).await;
}

/// What would leave HTTP and finds no endpoint is counted for its route, as any other request is.
#[tokio::test]
async fn unreached_upgrades_count_for_their_route() {
    let mesh = Mesh::start();
    let web = mesh.pod(2, "web");
    let route = api::Route { name: "all".into(), ..Default::default() };
    mesh.service_with(api::Protocol::Http1, vec![route], vec![]);
    assert_eq!(503, upgrade(&web).await);
    web.expect("weft_requests_total", &["route=\"all\"", "status=\"503\""], 1.0).await;
}
