//! Routes as discovery carries them: what a request meets on its way, from the client's proxy to the application.

mod support;

use http::{Request, Response};
use hyper::body::Incoming;
use support::http::{Body, full, get, http1, http2, mirror, serve, text};
use support::loopback::{Mesh, Pod};
use weft_api::discovery::{self as api, filter::Kind};

fn filter(kind: Kind) -> api::Filter {
    api::Filter { kind: Some(kind) }
}

fn header(name: &str, value: &str) -> api::Header {
    api::Header { name: name.into(), value: value.into() }
}

fn set(name: &str, value: &str) -> api::HeaderChange {
    api::HeaderChange { set: vec![header(name, value)], ..Default::default() }
}

fn add(name: &str, value: &str) -> api::HeaderChange {
    api::HeaderChange { add: vec![header(name, value)], ..Default::default() }
}

fn prefix(prefix: &str) -> api::RouteMatch {
    api::RouteMatch { path_prefix: prefix.into(), ..Default::default() }
}

fn replaced(value: &str) -> Option<api::PathChange> {
    Some(api::PathChange { value: value.into(), prefix: true })
}

fn by(routes: Vec<api::Route>) -> api::ServiceDestination {
    api::ServiceDestination { routes, no_match_not_found: true, ..Default::default() }
}

fn route(name: &str, rule: api::RouteMatch) -> api::Route {
    api::Route { name: name.into(), matches: vec![rule], ..Default::default() }
}

fn missing(message: &str) -> Option<api::Answer> {
    Some(api::Answer { status: 500, message: message.into() })
}

async fn ask(pod: &Pod, request: Request<Body>) -> Response<Incoming> {
    http1(pod.connect().await).await.send_request(request).await.unwrap()
}

/// Status and `weft-error`.
async fn refused(pod: &Pod, request: Request<Body>) -> (u16, String) {
    let response = ask(pod, request).await;
    let said = response.headers().get("weft-error").map(|said| said.to_str().unwrap().to_owned());
    (response.status().as_u16(), said.unwrap_or_default())
}

/// A call of gRPC without content: its status and message.
async fn call(pod: &Pod, path: &str) -> (String, String) {
    let mut client = http2(pod.connect().await).await;
    let request = Request::post(format!("http://api.shop{path}")).header("content-type", "application/grpc");
    let response = client.send_request(request.body(full("")).unwrap()).await.unwrap();
    let said = |name: &str| response.headers().get(name).map_or("", |v| v.to_str().unwrap()).to_owned();
    (said("grpc-status"), said("grpc-message"))
}

/// The application sees the path, host and headers that the route gives the request; its client the response's.
#[tokio::test]
async fn filters_change_request_and_response() {
    let mesh = Mesh::start();
    let (web, api) = (mesh.pod(2, "web"), mesh.pod(3, "api"));
    serve(api.app().await, false, mirror);
    let rewrite = api::Rewrite { hostname: "inner.example".into(), path: replaced("/v2") };
    let rule = api::Route {
        filters: vec![
            filter(Kind::RequestHeaders(set("x-tea", "oolong"))),
            filter(Kind::RequestHeaders(set("host", "smuggled"))),
            filter(Kind::RequestHeaders(add("content-length", "7"))),
            filter(Kind::ResponseHeaders(set("x-pot", "full"))),
            filter(Kind::Rewrite(rewrite)),
        ],
        backends: vec![api::WeightedBackend {
            service: Some(mesh.backend("api", vec![api.endpoint()])),
            weight: 1,
            filters: vec![
                filter(Kind::RequestHeaders(add("x-tea", "assam"))),
                filter(Kind::ResponseHeaders(add("x-pot", "warm"))),
            ],
            answer: None,
        }],
        ..route("menu", prefix("/menu"))
    };
    mesh.service_of(api::Protocol::Detect, by(vec![rule]), vec![api.endpoint()]);
    let response = ask(&web, get("/menu/green?hot=1")).await;
    let pots: Vec<_> = response.headers().get_all("x-pot").iter().collect();
    assert_eq!(vec!["full"], pots);
    assert_eq!(
        "GET /v2/green?hot=1 HTTP/1.1\nhost: inner.example\n\
         weft-client-id: spiffe://cluster.local/ns/shop/sa/web\nx-tea: assam\nx-tea: oolong\n\n",
        text(response).await
    );
    web.expect("weft_requests_total", &["route=\"menu\"", "status=\"200\""], 1.0).await;
}

/// A redirect comes from the client's own proxy, and counts for its route.
#[tokio::test]
async fn redirects_reach_no_application() {
    let mesh = Mesh::start();
    let web = mesh.pod(2, "web");
    let redirect =
        api::Redirect { status: 308, scheme: "https".into(), path: replaced("/b"), ..Default::default() };
    let filters =
        vec![filter(Kind::Redirect(redirect)), filter(Kind::ResponseHeaders(set("x-why", "moved")))];
    let rule = api::Route { filters, ..route("moved", prefix("/a")) };
    mesh.service_of(api::Protocol::Detect, by(vec![rule]), vec![]);
    let response = ask(&web, get("/a/c?d")).await;
    let said = |name: &str| response.headers()[name].to_str().unwrap().to_owned();
    assert_eq!(
        (308, "https://api.shop/b/c?d".to_owned(), "moved".to_owned()),
        (response.status().as_u16(), said("location"), said("x-why"))
    );
    web.expect("weft_requests_total", &["route=\"moved\"", "status=\"308\"", "result=\"success\""], 1.0)
        .await;
}

/// What no route matches is not found, where the Service's routes leave nothing over.
#[tokio::test]
async fn unmatched_requests_are_not_found() {
    let mesh = Mesh::start();
    let (web, api) = (mesh.pod(2, "web"), mesh.pod(3, "api"));
    serve(api.app().await, false, mirror);
    let routes = vec![route("menu", prefix("/menu"))];
    mesh.service_of(api::Protocol::Detect, by(routes.clone()), vec![api.endpoint()]);
    let expected = (404, "E101 no route of svc/api.shop:80 matches the request".to_owned());
    assert_eq!(expected, refused(&web, get("/")).await);
    assert_eq!(200, ask(&web, get("/menu")).await.status());
    assert_eq!(("12".to_owned(), expected.1), call(&web, "/tea.Menu/List").await);
    let rest = api::ServiceDestination { no_match_not_found: false, ..by(routes) };
    mesh.service_of(api::Protocol::Detect, rest, vec![api.endpoint()]);
    web.settled(async || refused(&web, get("/")).await.0 == 200).await;
}

/// A backend that does not exist gets its share of the requests, and each of them an error; one without endpoints too.
#[tokio::test]
async fn backends_share_what_comes() {
    let mesh = Mesh::start();
    let (web, api) = (mesh.pod(2, "web"), mesh.pod(3, "api"));
    serve(api.app().await, false, mirror);
    let backend = |name: &str, weight, endpoints| api::WeightedBackend {
        service: Some(mesh.backend(name, endpoints)),
        weight,
        ..Default::default()
    };
    let gone =
        |weight, message| api::WeightedBackend { weight, answer: missing(message), ..Default::default() };
    let rule = api::Route {
        backends: vec![
            backend("api", 2, vec![api.endpoint()]),
            backend("empty", 1, vec![]),
            gone(1, "svc/gone does not exist"),
            gone(0, "never asked"),
        ],
        ..route("split", prefix("/"))
    };
    mesh.service_of(api::Protocol::Detect, by(vec![rule]), vec![api.endpoint()]);
    let mut counts = std::collections::BTreeMap::new();
    for _ in 0..200 {
        *counts.entry(refused(&web, get("/")).await).or_insert(0) += 1;
    }
    let expected = [
        (200, String::new()),
        (500, "E113 svc/gone does not exist".to_owned()),
        (503, "E104 no ready endpoints of svc/empty.shop:80".to_owned()),
    ];
    assert_eq!(expected.each_ref().map(Some), {
        let mut k = counts.keys();
        [k.next(), k.next(), k.next()]
    });
    assert!(counts[&expected[0]] > 80 && counts.values().all(|count| *count > 30), "{counts:?}");
    web.expect("weft_proxy_errors_total", &["code=\"E113\""], f64::from(counts[&expected[1]])).await;
    for ((status, _), count) in &counts {
        let labels = ["route=\"split\"".to_owned(), format!("status=\"{status}\"")];
        web.expect("weft_requests_total", &labels.each_ref().map(String::as_str), f64::from(*count)).await;
    }
}

/// A route that cannot be followed says so, to gRPC in its own words.
#[tokio::test]
async fn routes_may_answer_themselves() {
    let mesh = Mesh::start();
    let web = mesh.pod(2, "web");
    let rule = api::Route { answer: missing("no backend exists"), ..route("broken", prefix("/")) };
    mesh.service_of(api::Protocol::Detect, by(vec![rule]), vec![]);
    assert_eq!((500, "E113 no backend exists".to_owned()), refused(&web, get("/")).await);
    assert_eq!(("14".to_owned(), "E113 no backend exists".to_owned()), call(&web, "/tea.Menu/List").await);
}
