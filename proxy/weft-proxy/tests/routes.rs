//! Routes as discovery carries them: what a request meets on its way, from the client's proxy to the application.

mod support;

use http::{Request, Response};
use hyper::body::Incoming;
use support::http::{Body, full, get, http1, http2, mirror, serve, text};
use support::loopback::{Mesh, Pod};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
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

async fn read_head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    String::from_utf8(head).unwrap()
}

/// An application that leaves HTTP for rooms: its response says which request it saw, and then it says again what it hears.
fn serve_upgrades(app: TcpListener) {
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = app.accept().await.unwrap();
            let seen = read_head(&mut stream).await;
            let (line, tea) = (
                seen.lines().next().unwrap(),
                seen.contains("x-tea: oolong\r\n") && seen.contains("connection: Upgrade\r\n"),
            );
            let (status, upgrade) = if line.contains("room") {
                ("101 Switching Protocols", "upgrade: echo\r\nconnection: upgrade\r\n")
            } else {
                ("404 Not Found", "content-length: 0\r\n")
            };
            let head = format!("HTTP/1.1 {status}\r\n{upgrade}x-saw: {line}, tea {tea}\r\n\r\n");
            stream.write_all(head.as_bytes()).await.unwrap();
            tokio::spawn(async move {
                let (mut from, mut to) = stream.split();
                let _ = tokio::io::copy(&mut from, &mut to).await;
            });
        }
    });
}

/// Asks to leave HTTP: the head of the answer, and the connection.
async fn upgrade(pod: &Pod, path: &str) -> (String, TcpStream) {
    let mut stream = pod.connect().await;
    let request = format!(
        "GET {path} HTTP/1.1\r\nhost: api.shop\r\nconnection: upgrade, x-tea\r\nupgrade: echo\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    (read_head(&mut stream).await, stream)
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

/// A change is not lost with the request that waits for what it needs: the next one follows it.
#[tokio::test]
async fn changes_survive_requests_that_are_given_up() {
    let mesh = Mesh::start();
    let (web, api) = (mesh.pod(2, "web"), mesh.pod(3, "api"));
    serve(api.app().await, true, mirror);
    mesh.service(vec![api.endpoint()]);
    let mut client = http2(web.connect().await).await;
    let mut ask = || client.send_request(Request::get("http://api.shop/").body(full("")).unwrap());
    assert_eq!(200, ask().await.unwrap().status());

    let port = api::ServicePort { namespace: "shop".into(), name: "late".into(), port: 80 };
    let backend = api::WeightedBackend { service: Some(port.clone()), weight: 1, ..Default::default() };
    let rule = api::Route { backends: vec![backend], ..route("late", prefix("/")) };
    mesh.service_of(api::Protocol::Detect, by(vec![rule]), vec![api.endpoint()]);
    let target = api::Target { kind: Some(api::target::Kind::Endpoints(port)) };
    let watches = |asked: &api::request::Kind| match asked {
        api::request::Kind::Watch(watch) => watch.target.as_ref() == Some(&target),
        _ => false,
    };
    tokio::select! {
        () = async { loop { let _ = ask().await; } } => {}
        () = mesh.plane.destination.wait_for(watches) => {}
    }
    // The request that met the change has left; by the same connection comes the next one. Another's round trip later
    // the proxy has heard of both.
    let next = tokio::spawn(ask());
    let other = Request::get("http://api.shop/").body(full("")).unwrap();
    http2(api.reach().await).await.send_request(other).await.unwrap();
    mesh.backend("late", vec![api.endpoint()]);
    assert_eq!(200, next.await.unwrap().unwrap().status());
    let followed = ["route=\"late\"", "status=\"200\""];
    web.settled(async || web.metric("weft_requests_total", &followed) > 0.0).await;
}

/// An upgrade (WebSocket) meets what every request of its route does: filters, backends, answers of the proxy.
#[tokio::test]
async fn upgrades_take_their_route() {
    let mesh = Mesh::start();
    let (web, api) = (mesh.pod(2, "web"), mesh.pod(3, "api"));
    serve_upgrades(api.app().await);
    let chat = api::Route {
        filters: vec![
            filter(Kind::RequestHeaders(set("x-tea", "oolong"))),
            filter(Kind::ResponseHeaders(set("x-pot", "full"))),
            filter(Kind::Rewrite(api::Rewrite { path: replaced("/v2"), ..Default::default() })),
        ],
        backends: vec![api::WeightedBackend {
            service: Some(mesh.backend("chat", vec![api.endpoint()])),
            weight: 1,
            ..Default::default()
        }],
        response_classes: vec![api::ResponseClass { min_status: 404, max_status: 404, failure: true }],
        ..route("chat", prefix("/ws"))
    };
    let moved = api::Redirect { status: 308, path: replaced("/ws"), ..Default::default() };
    let moved = api::Route { filters: vec![filter(Kind::Redirect(moved))], ..route("moved", prefix("/old")) };
    let broken = api::Route { answer: missing("no backend exists"), ..route("broken", prefix("/gone")) };
    mesh.service_of(api::Protocol::Detect, by(vec![chat, moved, broken]), vec![]);

    let (head, mut stream) = upgrade(&web, "/ws/room").await;
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    assert!(
        head.contains("x-saw: GET /v2/room HTTP/1.1, tea true\r\n") && head.contains("x-pot: full\r\n"),
        "{head}"
    );
    stream.write_all(b"hello").await.unwrap();
    stream.shutdown().await.unwrap();
    let mut echoed = String::new();
    stream.read_to_string(&mut echoed).await.unwrap();
    assert_eq!("hello", echoed);
    web.expect("weft_requests_total", &["route=\"chat\"", "status=\"101\"", "result=\"success\""], 1.0).await;
    for (path, expected) in [("/ws/attic", "404"), ("/old/room", "308"), ("/gone", "500"), ("/", "404")] {
        let (head, _) = upgrade(&web, path).await;
        assert!(head.starts_with(&format!("HTTP/1.1 {expected} ")), "{path}: {head}");
    }
    let refused = ["route=\"chat\"", "status=\"404\"", "result=\"failure\""];
    web.expect("weft_requests_total", &refused, 1.0).await;
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
