//! What a route says of failures: which are retried, how often, after how long, and what is one.

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use http::{Request, Response};
use support::http::{Body, full, get, http1, http2, serve};
use support::loopback::{Mesh, Pod, endpoint};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use weft_api::discovery as api;

/// Requests that an application got.
type Hits = Arc<AtomicUsize>;

/// An application whose answers are these, one after the other; the last one stays. None: it never answers.
async fn app(pod: &Pod, http2: bool, answers: Vec<Option<fn() -> Response<Body>>>) -> Hits {
    let hits = Hits::default();
    let count = hits.clone();
    serve(pod.app().await, http2, move |_: Request<_>| {
        let n = count.fetch_add(1, Ordering::Relaxed).min(answers.len() - 1);
        let answer = answers[n];
        async move {
            match answer {
                Some(answer) => answer(),
                None => std::future::pending().await,
            }
        }
    });
    hits
}

fn status<const STATUS: u16>() -> Response<Body> {
    Response::builder().status(STATUS).body(full("")).unwrap()
}

/// As servers of gRPC refuse a call.
fn grpc<const CODE: u16>() -> Response<Body> {
    let response = Response::builder().header("content-type", "application/grpc").header("grpc-status", CODE);
    response.body(full("")).unwrap()
}

fn retry(statuses: &[u32], grpc_codes: &[u32]) -> api::Route {
    let retry = api::Retry {
        statuses: statuses.into(),
        grpc_codes: grpc_codes.into(),
        max_retries: 2,
        backoff_ms: 1,
    };
    api::Route { name: "all".into(), retryable: true, retry: Some(retry), ..Default::default() }
}

fn to(route: api::Route) -> api::ServiceDestination {
    let budget = api::RetryBudget { ratio_permille: 0, min_retries_per_second: 10, ttl_ms: 10_000 };
    api::ServiceDestination { routes: vec![route], retry_budget: Some(budget), ..Default::default() }
}

async fn ask(pod: &Pod) -> u16 {
    http1(pod.connect().await).await.send_request(get("/")).await.unwrap().status().as_u16()
}

/// The `grpc-status` of a response without content.
async fn call(pod: &Pod) -> String {
    let mut client = http2(pod.connect().await).await;
    let request = Request::post("http://api.shop/tea.Menu/List").header("content-type", "application/grpc");
    let response = client.send_request(request.body(full("ask")).unwrap()).await.unwrap();
    response.headers()["grpc-status"].to_str().unwrap().to_owned()
}

/// An application that answers so many requests, and closes the connection upon each one after them.
fn dying(app: TcpListener, answers: usize) -> Hits {
    let hits = Hits::default();
    let count = hits.clone();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = app.accept().await.unwrap();
            let count = count.clone();
            tokio::spawn(async move {
                while stream.read(&mut [0; 4096]).await.is_ok_and(|n| n > 0)
                    && count.fetch_add(1, Ordering::Relaxed) < answers
                {
                    stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await.unwrap();
                }
            });
        }
    });
    hits
}

/// A client, and a server with these answers behind a Service with this route.
async fn pair(
    mesh: &Mesh,
    route: api::Route,
    http2: bool,
    answers: Vec<Option<fn() -> Response<Body>>>,
) -> (Pod, Pod, Hits) {
    let (web, api) = (mesh.pod(2, "web"), mesh.pod(3, "api"));
    let hits = app(&api, http2, answers).await;
    mesh.service_of(api::Protocol::Detect, to(route), vec![api.endpoint()]);
    (web, api, hits)
}

/// Statuses that the route lists are retried, failures or not, and no others, as often as it says.
#[tokio::test]
async fn listed_statuses_are_retried() {
    let mesh = Mesh::start();
    let answers: Vec<Option<fn() -> _>> =
        vec![Some(status::<429>), Some(status::<200>), Some(status::<500>), Some(status::<429>)];
    let (web, _api, hits) = pair(&mesh, retry(&[429], &[]), false, answers).await;
    let asked = [ask(&web).await, ask(&web).await, ask(&web).await];
    assert_eq!(([200, 500, 429], 2 + 1 + 3), (asked, hits.load(Ordering::Relaxed)));
    web.expect("weft_retries_total", &["route=\"all\"", "result=\"success\""], 1.0).await;
    web.expect("weft_retries_total", &["route=\"all\"", "result=\"failure\""], 1.0).await;
}

/// gRPC has codes of its own, in responses that are trailers only.
#[tokio::test]
async fn listed_codes_are_retried() {
    let mesh = Mesh::start();
    let answers: Vec<Option<fn() -> _>> = vec![Some(grpc::<8>), Some(grpc::<0>), Some(grpc::<14>)];
    let (web, _api, hits) = pair(&mesh, retry(&[], &[8]), true, answers).await;
    let called = [call(&web).await, call(&web).await];
    assert_eq!((["0".to_owned(), "14".to_owned()], 3), (called, hits.load(Ordering::Relaxed)));
}

/// A list for one protocol says nothing for the other one: what it does not name is not sent again.
#[tokio::test]
async fn what_is_not_listed_is_not_retried() {
    let mesh = Mesh::start();
    let (web, _api, hits) = pair(&mesh, retry(&[], &[14]), false, vec![Some(status::<503>)]).await;
    assert_eq!((503, 1), (ask(&web).await, hits.load(Ordering::Relaxed)));
    let mesh = Mesh::start();
    let (web, _api, hits) = pair(&mesh, retry(&[503], &[]), true, vec![Some(grpc::<14>)]).await;
    assert_eq!(("14".to_owned(), 1), (call(&web).await, hits.load(Ordering::Relaxed)));
}

/// A try that takes too long is given up for another one; the whole may take longer.
#[tokio::test]
async fn tries_have_a_timeout() {
    let mesh = Mesh::start();
    let route = api::Route { backend_timeout_ms: 100, request_timeout_ms: 20_000, ..retry(&[], &[]) };
    let (web, _api, hits) = pair(&mesh, route, false, vec![None, Some(status::<200>), None]).await;
    assert_eq!((200, 2), (ask(&web).await, hits.load(Ordering::Relaxed)));
    assert_eq!((504, 5), (ask(&web).await, hits.load(Ordering::Relaxed)));
    web.expect("weft_proxy_errors_total", &["E105"], 1.0).await;
}

/// An application that dies of a request gets it once. On a connection that had been used before it may only have been
/// idle for too long: then once more, unless the route allows a single try.
#[tokio::test]
async fn lost_requests_are_not_multiplied() {
    for (meshed, single_try, answers, tries) in [
        (true, false, 0, 1),
        (false, false, 0, 1),
        (true, false, 1, 2),
        (false, false, 1, 2),
        (true, true, 1, 1),
        (false, true, 1, 1),
    ] {
        let mesh = Mesh::start();
        let (web, api) = (mesh.pod(2, "web"), mesh.pod(3, "api"));
        let app = api.app().await;
        let there = if meshed { api.endpoint() } else { endpoint(app.local_addr().unwrap(), "", "api") };
        let hits = dying(app, answers);
        let route = api::Route { name: "all".into(), single_try, ..Default::default() };
        mesh.service_of(api::Protocol::Http1, to(route), vec![there]);
        for _ in 0..answers {
            assert_eq!(200, ask(&web).await);
        }
        let case = format!("meshed: {meshed}, a single try: {single_try}, used before: {answers}");
        assert_eq!((502, answers + tries), (ask(&web).await, hits.load(Ordering::Relaxed)), "{case}");
    }
}

/// An application that ends closes its idle connections, and may have taken a request with them: another pod gets it.
#[tokio::test]
async fn what_an_ending_application_lost_is_asked_of_another_one() {
    let mesh = Mesh::start();
    let (web, old, new) = (mesh.pod(2, "web"), mesh.pod(3, "api"), mesh.pod(4, "api"));
    let (app_of_old, (ends, end)) = (old.app().await, tokio::sync::oneshot::channel());
    let hits = app(&new, false, vec![Some(status::<201>)]).await;
    mesh.service_of(api::Protocol::Http1, to(api::Route::default()), vec![old.endpoint()]);
    tokio::spawn(async move {
        let (mut stream, _) = app_of_old.accept().await.unwrap();
        assert!(stream.read(&mut [0; 4096]).await.unwrap() > 0);
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await.unwrap();
        assert!(stream.read(&mut [0; 4096]).await.unwrap() > 0);
        drop(app_of_old);
        ends.send(()).unwrap();
    });
    assert_eq!(200, ask(&web).await);
    let gone = async {
        end.await.unwrap();
        mesh.endpoints(vec![new.endpoint()]);
    };
    assert_eq!((201, ()), tokio::join!(ask(&web), gone));
    assert_eq!(1, hits.load(Ordering::Relaxed));
}

/// What is lost is a failure like others: retried as often as the route says, and counted.
#[tokio::test]
async fn lost_requests_are_retried_within_the_budget() {
    let mesh = Mesh::start();
    let (web, api, app) = mesh.pair().await;
    let hits = dying(app, 0);
    mesh.service_of(api::Protocol::Http1, to(retry(&[], &[])), vec![api.endpoint()]);
    assert_eq!((502, 3), (ask(&web).await, hits.load(Ordering::Relaxed)));
    web.expect("weft_retries_total", &["route=\"all\"", "result=\"failure\""], 1.0).await;
}

/// A route with a single try asks nobody else, even if the application has not heard of the request.
#[tokio::test]
async fn a_single_try_is_one() {
    let mesh = Mesh::start();
    let (web, api, app) = mesh.pair().await;
    drop(app);
    let route = api::Route { name: "all".into(), single_try: true, ..Default::default() };
    mesh.service_of(api::Protocol::Http1, to(route), vec![api.endpoint()]);
    assert_eq!(502, ask(&web).await);
    api.expect("weft_proxy_errors_total", &["E103"], 1.0).await;
}

/// The timeout of a try is not one of retries: a route without them gives up after the first.
#[tokio::test]
async fn a_try_may_be_the_only_one() {
    let mesh = Mesh::start();
    let route = api::Route { name: "all".into(), backend_timeout_ms: 400, ..Default::default() };
    let (web, _api, hits) = pair(&mesh, route, false, vec![None]).await;
    assert_eq!((504, 1), (ask(&web).await, hits.load(Ordering::Relaxed)));
}

/// The response of a try has to be whole in time as well.
#[tokio::test]
async fn a_try_ends_with_its_body() {
    let mesh = Mesh::start();
    let endless: fn() -> Response<Body> = || {
        let body = futures_util::stream::pending::<Result<hyper::body::Frame<bytes::Bytes>, _>>();
        Response::new(http_body_util::combinators::BoxBody::new(http_body_util::StreamBody::new(body)))
    };
    let route = api::Route { name: "all".into(), backend_timeout_ms: 400, ..Default::default() };
    let (web, _api, _hits) = pair(&mesh, route, false, vec![Some(endless)]).await;
    let response = http1(web.connect().await).await.send_request(get("/")).await.unwrap();
    assert_eq!(200, response.status());
    let body = http_body_util::BodyExt::collect(response.into_body());
    assert!(tokio::time::timeout(Duration::from_secs(20), body).await.unwrap().is_err());
    web.expect("weft_requests_total", &["result=\"failure\"", "status=\"200\""], 1.0).await;
}

/// Nobody waits for a retry that would come too late: the response that there is counts, whoever set the timeout.
#[tokio::test]
async fn retries_fit_into_the_timeout() {
    for (of_route, of_client) in [(20_000, None), (0, Some(Duration::from_secs(20)))] {
        let mesh = Mesh::start();
        let mut route = api::Route { request_timeout_ms: of_route, ..retry(&[], &[]) };
        route.retry.as_mut().unwrap().backoff_ms = 30_000;
        let (web, api) =
            (mesh.pod_with(2, "web", |config| config.request_timeout = of_client), mesh.pod(3, "api"));
        let hits = app(&api, false, vec![Some(status::<503>)]).await;
        mesh.service_of(api::Protocol::Detect, to(route), vec![api.endpoint()]);
        assert_eq!((503, 1), (ask(&web).await, hits.load(Ordering::Relaxed)));
    }
}

/// The client's own timeout holds where a route says nothing, and no more where it says that there is none.
#[tokio::test]
async fn a_route_may_have_no_timeout() {
    let mesh = Mesh::start();
    let of_client = Some(Duration::from_millis(300));
    let web = mesh.pod_with(2, "web", |config| config.request_timeout = of_client);
    let api = mesh.pod(3, "api");
    serve(api.app().await, false, async |_: Request<_>| {
        tokio::time::sleep(Duration::from_millis(600)).await;
        status::<200>()
    });
    for (no_request_timeout, expected) in [(false, 504), (true, 200)] {
        let route = api::Route { name: "all".into(), no_request_timeout, ..Default::default() };
        mesh.service_of(api::Protocol::Http1, to(route), vec![api.endpoint()]);
        web.settled(async || ask(&web).await == expected).await;
    }
}

/// What the route calls a failure is one for metrics, retries and breakers; what it calls none is none.
#[tokio::test]
async fn routes_judge_responses() {
    let mesh = Mesh::start();
    let class = |status, failure| api::ResponseClass { min_status: status, max_status: status, failure };
    let response_classes = vec![class(404, true), class(500, false)];
    let route = api::Route { response_classes, ..retry(&[], &[]) };
    let answers: Vec<Option<fn() -> _>> = vec![Some(status::<404>), Some(status::<500>), Some(status::<404>)];
    let (web, api) = (mesh.pod(2, "web"), mesh.pod(3, "api"));
    let hits = app(&api, false, answers).await;
    let breaker = api::Breaker { max_failures: 3, ..Default::default() };
    let to = api::ServiceDestination { breaker: Some(breaker), ..to(route) };
    mesh.service_of(api::Protocol::Http1, to, vec![api.endpoint()]);
    assert_eq!((500, 2), (ask(&web).await, hits.load(Ordering::Relaxed)));
    assert_eq!((404, 5), (ask(&web).await, hits.load(Ordering::Relaxed)));
    web.expect("weft_requests_total", &["result=\"success\"", "status=\"500\""], 1.0).await;
    web.expect("weft_requests_total", &["result=\"failure\"", "status=\"404\""], 1.0).await;
    web.expect("weft_breaker_trips_total", &["reason=\"failures\""], 1.0).await;
}
