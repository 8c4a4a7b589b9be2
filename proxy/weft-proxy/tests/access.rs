//! Policies of who may call, on every way in: what is denied never reaches the application, and its client hears why.

mod support;

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response, StatusCode};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use support::access::{deny, enforced, loopback, policy, rule, web};
use support::http::{
    Body, UPGRADE, endless, full, get, http1, http2, mirror, serve, serve_switch, serve_upgrades, text,
};
use support::loopback::Mesh;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use weft_api::discovery as api;
use weft_api::discovery::Default as Otherwise;

const WEB: &str = "peer_identity=\"spiffe://cluster.local/ns/shop/sa/web\"";
const ENFORCED: &str = "mode=\"enforce\"";

/// Status and `weft-error` of a GET.
async fn ask(client: &mut hyper::client::conn::http1::SendRequest<Body>, path: &str) -> (u16, String) {
    client.ready().await.unwrap();
    let response = client.send_request(get(path)).await.unwrap();
    let error = response.headers().get("weft-error").map_or("", |v| v.to_str().unwrap()).to_owned();
    let answer = (response.status().as_u16(), error);
    text(response).await;
    answer
}

fn denied(by: &str) -> (u16, String) {
    (403, format!("E114 denied by {by}"))
}

const PASSED: (u16, String) = (200, String::new());

/// What a client reads after it has said `words`; an error is a reset.
async fn say(stream: &mut TcpStream, words: &[u8]) -> std::io::Result<String> {
    stream.write_all(words).await?;
    let mut heard = vec![0; 512];
    let n = stream.read(&mut heard).await?;
    Ok(String::from_utf8_lossy(&heard[..n]).into_owned())
}

fn is_reset<T>(heard: std::io::Result<T>) -> bool {
    heard.is_err_and(|error| error.kind() == std::io::ErrorKind::ConnectionReset)
}

/// An application that greets, and then says again what it hears.
fn greet(app: TcpListener, greeting: &'static str) {
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = app.accept().await.unwrap();
            tokio::spawn(async move {
                stream.write_all(greeting.as_bytes()).await.unwrap();
                let (mut from, mut to) = stream.split();
                let _ = tokio::io::copy(&mut from, &mut to).await;
            });
        }
    });
}

/// No connection of the proxy ever came to the application.
fn untouched(app: &TcpListener) -> bool {
    futures_util::FutureExt::now_or_never(app.accept()).is_none()
}

/// Peers get through where a rule says so; else they hear code and rule, and the application hears nothing.
#[tokio::test]
async fn peers_are_judged_by_identity_and_path() {
    let mesh = Mesh::start();
    let (web_pod, api, app) = mesh.pair().await;
    serve(app, false, mirror);
    let rules =
        vec![deny(rule("shop/keys", web(), &["/keys"])), rule("shop/menu", web(), &["/menu", "/keys"])];
    mesh.access(&api, enforced(Otherwise::Deny, rules));
    let mut client = http1(web_pod.connect().await).await;
    assert_eq!(PASSED, ask(&mut client, "/menu/tea?q=1").await);
    assert_eq!(denied("shop/keys"), ask(&mut client, "/keys/1").await);
    assert_eq!(denied("shop/keys"), ask(&mut client, "/menu/../keys/1").await);
    assert_eq!(denied("shop/keys"), ask(&mut client, "/%6beys").await);
    assert_eq!(denied("the default of namespace shop"), ask(&mut client, "/other").await);
    api.expect("weft_requests_total", &[WEB, "result=\"denied\"", "status=\"403\""], 4.0).await;
    api.expect("weft_requests_total", &[WEB, "result=\"success\"", "status=\"200\""], 1.0).await;
    api.expect("weft_policy_denied_total", &[WEB, ENFORCED, "policy=\"shop/keys\""], 3.0).await;
    api.expect("weft_policy_denied_total", &[WEB, ENFORCED, "policy=\"namespace shop\""], 1.0).await;
    let errors: Vec<_> = api.shared.ring.recent().iter().filter_map(|c| c.exchange.error.clone()).collect();
    assert_eq!("E114 denied by shop/keys", errors[0]);
}

/// Clients without identity are judged by their address, over HTTP/1 and HTTP/2, and a peer passes by its identity.
#[tokio::test]
async fn strangers_are_judged_by_address() {
    let mesh = Mesh::start();
    let (web_pod, api, app) = mesh.pair().await;
    serve(app, false, mirror);
    mesh.access(
        &api,
        enforced(Otherwise::Authenticated, vec![rule("shop/health", loopback(), &["/health"])]),
    );
    let mut client = http1(api.reach().await).await;
    assert_eq!(PASSED, ask(&mut client, "/health").await);
    assert_eq!(denied("the default of namespace shop"), ask(&mut client, "/").await);
    let mut client = http2(api.reach().await).await;
    let request = Request::get("http://api.shop/").body(full("")).unwrap();
    assert_eq!(StatusCode::FORBIDDEN, client.send_request(request).await.unwrap().status());
    assert_eq!(PASSED, ask(&mut http1(web_pod.connect().await).await, "/").await);
}

/// gRPC hears PERMISSION_DENIED in trailers only.
#[tokio::test]
async fn grpc_hears_permission_denied() {
    let mesh = Mesh::start();
    let (web_pod, api, app) = mesh.pair().await;
    serve(app, true, mirror);
    mesh.access(&api, enforced(Otherwise::Deny, vec![rule("shop/menu", web(), &["/menu.v1.Menu/List"])]));
    for (path, status) in [("/menu.v1.Menu/List", None), ("/menu.v1.Menu/Add", Some("7"))] {
        let mut client = http2(web_pod.connect().await).await;
        let request =
            Request::post(format!("http://api.shop{path}")).header("content-type", "application/grpc");
        let response = client.send_request(request.body(full("")).unwrap()).await.unwrap();
        assert_eq!(StatusCode::OK, response.status());
        assert_eq!(status, response.headers().get("grpc-status").map(|v| v.to_str().unwrap()));
    }
    api.expect("weft_requests_total", &["result=\"denied\"", "grpc_status=\"7\""], 1.0).await;
}

/// What is not HTTP falls under rules without calls; who is not among their clients is reset before the application
/// hears of anything: from a peer, in plain text, with TLS of the application's own, and silent.
#[tokio::test]
async fn bytes_are_judged_when_they_come() {
    let mesh = Mesh::start();
    let (web_pod, api, app) = mesh.pair().await;
    mesh.access(&api, enforced(Otherwise::Deny, vec![rule("shop/menu", web(), &["/menu"])]));
    assert!(is_reset(say(&mut web_pod.connect().await, b"*1\r\n$4\r\nPING\r\n").await));
    assert!(is_reset(say(&mut api.reach().await, b"*1\r\n$4\r\nPING\r\n").await));
    assert!(is_reset(say(&mut api.reach().await, b"\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00").await));
    assert!(is_reset(api.reach().await.read_u8().await));
    assert!(untouched(&app));
    let denied = ["policy=\"namespace shop\"", ENFORCED];
    api.expect("weft_policy_denied_total", &denied, 4.0).await;
    api.expect("weft_proxy_errors_total", &["E114"], 4.0).await;
    let seen = api.shared.ring.recent();
    assert!(seen.iter().all(|captured| captured.exchange.method.as_str() == "TCP"));
    mesh.change_access(&api, enforced(Otherwise::Deny, vec![rule("shop/tcp", loopback(), &[])])).await;
    greet(app, "");
    for mut client in [web_pod.connect().await, api.reach().await] {
        assert_eq!("*1\r\n", say(&mut client, b"*1\r\n").await.unwrap());
    }
}

/// On a port that is not opaque nobody knows what bytes carry: rules that deny requests deny them too.
#[tokio::test]
async fn bytes_get_around_no_deny() {
    let mesh = Mesh::start();
    let (web_pod, api, app) = mesh.pair().await;
    greet(app, "");
    let rules = || vec![deny(rule("shop/keys", vec![], &["/keys"]))];
    mesh.access(&api, enforced(Otherwise::Anyone, rules()));
    assert!(is_reset(say(&mut web_pod.connect().await, b"*1\r\n").await));
    assert!(is_reset(say(&mut api.reach().await, b"*1\r\n").await));
    let opaque =
        api::Inbound { protocol: api::Protocol::Opaque.into(), ..enforced(Otherwise::Anyone, rules()) };
    mesh.change_access(&api, opaque).await;
    assert_eq!("*1\r\n", say(&mut web_pod.connect().await, b"*1\r\n").await.unwrap());
    assert_eq!("*1\r\n", say(&mut api.reach().await, b"*1\r\n").await.unwrap());
}

/// A server that speaks first greets whom it may, and nobody else.
#[tokio::test]
async fn greetings_are_for_those_who_may() {
    let mesh = Mesh::start();
    let (web_pod, api, app) = mesh.pair().await;
    greet(app, "220 ready\r\n");
    mesh.access(&api, enforced(Otherwise::Deny, vec![rule("shop/mail", web(), &[])]));
    assert_eq!("220 ready\r\n", say(&mut web_pod.connect().await, b"").await.unwrap());
    assert!(is_reset(say(&mut api.reach().await, b"").await));
}

/// A peer's request to leave HTTP is judged as a request, on a port never heard of before too.
#[tokio::test]
async fn upgrades_are_judged_as_requests() {
    let mesh = Mesh::start();
    let (web_pod, api, app) = mesh.pair().await;
    serve_upgrades(app);
    mesh.access(&api, enforced(Otherwise::Deny, vec![rule("shop/ws", web(), &["/ws"])]));
    let mut client = web_pod.connect().await;
    assert!(say(&mut client, UPGRADE.as_bytes()).await.unwrap().starts_with("HTTP/1.1 101 "));
    let other = UPGRADE.replace("/ws", "/other");
    let refused = say(&mut web_pod.connect().await, other.as_bytes()).await.unwrap();
    assert!(refused.starts_with("HTTP/1.1 403 "), "{refused}");
}

/// Requests in a tunnel of HTTP/2 would be judged by nobody: no server hears that it is asked for, or gets its way.
#[tokio::test]
async fn nobody_switches_to_h2c() {
    let mesh = Mesh::start();
    let (web_pod, api, app) = mesh.pair().await;
    serve_switch(app, "h2c");
    mesh.access(&api, enforced(Otherwise::Deny, vec![rule("shop/ws", vec![], &["/ws"])]));
    for asks in ["echo", "h2c", "h2c, echo", "echo\r\nupgrade: H2C"] {
        let request = UPGRADE.replace("echo", asks);
        for mut client in [web_pod.connect().await, api.reach().await] {
            let refused = say(&mut client, request.as_bytes()).await.unwrap();
            assert!(refused.starts_with("HTTP/1.1 502 ") && refused.contains("E108 "), "{asks}: {refused}");
        }
    }
}

/// A change holds for the next request on an open connection, and ends what is no HTTP or has left it.
#[tokio::test]
async fn changes_hold_for_live_connections() {
    let mesh = Mesh::start();
    let (web_pod, api, app) = mesh.pair().await;
    serve_upgrades(app);
    let allowed = || enforced(Otherwise::Deny, vec![rule("shop/web", web(), &[])]);
    mesh.access(&api, allowed());
    let mut raw = web_pod.connect().await;
    assert!(say(&mut raw, b"*1\r\n").await.unwrap().starts_with("HTTP/1.1 101 "));
    let mut left = web_pod.connect().await;
    assert!(say(&mut left, UPGRADE.as_bytes()).await.unwrap().starts_with("HTTP/1.1 101 "));
    mesh.change_access(&api, allowed()).await;
    mesh.change_access(&api, enforced(Otherwise::Deny, vec![])).await;
    for mut ended in [raw, left] {
        assert!(is_reset(say(&mut ended, b"").await));
    }
    let app = api.app().await;
    serve(app, false, mirror);
    mesh.access(&api, allowed());
    let mut client = http1(web_pod.connect().await).await;
    assert_eq!(PASSED, ask(&mut client, "/").await);
    mesh.change_access(&api, enforced(Otherwise::Deny, vec![])).await;
    assert_eq!(denied("the default of namespace shop"), ask(&mut client, "/").await);
    mesh.change_access(&api, api::Inbound::default()).await;
    assert_eq!(PASSED, ask(&mut client, "/").await);
}

/// Begins an answer that goes on for ever, of `/waits` not even that; tells `reached` of the request.
async fn begin(request: Request<Incoming>, reached: Arc<Notify>) -> Response<Body> {
    reached.notify_one();
    if request.uri().path() == "/waits" {
        pending::<()>().await;
    }
    Response::new(endless("tea"))
}

/// What goes on although a change denies it is ended after a while: gRPC by trailers, other answers by breaking off, and who
/// waits for one is refused. What is still allowed goes on, on the same connection.
#[tokio::test]
async fn changes_end_what_goes_on() {
    let (mesh, reached) = (Mesh::start(), Arc::new(Notify::new()));
    let web_pod = mesh.pod(2, "web");
    let api = mesh.pod_with(3, "api", |config| config.revoked_grace = Duration::from_millis(1));
    let told = reached.clone();
    serve(api.app().await, true, move |request| begin(request, told.clone()));
    mesh.service(vec![api.endpoint()]);
    mesh.access(&api, enforced(Otherwise::Deny, vec![rule("shop/web", web(), &[])]));
    let client = http2(web_pod.connect().await).await;
    let ask = async |path: &str, kind: &str| {
        let request = Request::post(format!("http://api.shop{path}")).header("content-type", kind);
        client.clone().send_request(request.body(full("")).unwrap()).await.unwrap()
    };
    let mut bodies = Vec::new();
    for (path, kind) in [("/kept", "application/grpc"), ("/", "application/grpc"), ("/", "text/plain")] {
        let mut body = ask(path, kind).await.into_body();
        assert_eq!("tea", body.frame().await.unwrap().unwrap().into_data().unwrap());
        reached.notified().await;
        bodies.push(body);
    }
    let change = async {
        reached.notified().await;
        mesh.change_access(&api, enforced(Otherwise::Deny, vec![rule("shop/kept", web(), &["/kept"])])).await;
    };
    let (refused, ()) = tokio::join!(ask("/waits", "text/plain"), change);
    assert_eq!(
        (StatusCode::FORBIDDEN, "E114 denied by the default of namespace shop"),
        (refused.status(), refused.headers()["weft-error"].to_str().unwrap())
    );
    let trailers = bodies[1].frame().await.unwrap().unwrap().into_trailers().unwrap();
    let said = ["grpc-status", "grpc-message"].map(|name| trailers[name].to_str().unwrap());
    assert_eq!(["7", "E114 denied by the default of namespace shop"], said);
    assert!(bodies[2].frame().await.unwrap().is_err());
    api.expect("weft_policy_denied_total", &[WEB, ENFORCED], 3.0).await;
    api.expect("weft_requests_total", &[WEB, "result=\"denied\""], 3.0).await;
    assert!(futures_util::FutureExt::now_or_never(bodies[0].frame()).is_none());
}

/// What is done before that is answered, and nothing more is let in.
#[tokio::test]
async fn requests_under_way_are_answered() {
    let (mesh, reached, go_on) = (Mesh::start(), Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (web_pod, api, app) = mesh.pair().await;
    let (told, until) = (reached.clone(), go_on.clone());
    serve(app, false, move |request| {
        let (told, until) = (told.clone(), until.clone());
        async move {
            told.notify_one();
            until.notified().await;
            mirror(request).await
        }
    });
    mesh.access(&api, enforced(Otherwise::Deny, vec![rule("shop/web", web(), &[])]));
    let mut client = http1(web_pod.connect().await).await;
    let change = async {
        reached.notified().await;
        mesh.change_access(&api, enforced(Otherwise::Deny, vec![])).await;
        go_on.notify_one();
    };
    assert_eq!(PASSED, tokio::join!(ask(&mut client, "/"), change).0);
    assert_eq!(denied("the default of namespace shop"), ask(&mut client, "/").await);
}

/// Drafts in audit tell what they would deny, and let it pass.
#[tokio::test]
async fn audits_tell_and_let_pass() {
    let mesh = Mesh::start();
    let (web_pod, api, app) = mesh.pair().await;
    serve(app, false, mirror);
    let audited = policy(Otherwise::Anyone, vec![deny(rule("shop/draft#2", web(), &["/keys"]))]);
    mesh.access(&api, api::Inbound { audited: Some(audited), ..Default::default() });
    let mut client = http1(web_pod.connect().await).await;
    assert_eq!(PASSED, ask(&mut client, "/keys").await);
    assert_eq!(PASSED, ask(&mut client, "/menu").await);
    let audit = [WEB, "mode=\"audit\"", "policy=\"shop/draft#2\""];
    api.expect("weft_policy_denied_total", &audit, 1.0).await;
    api.expect("weft_requests_total", &["result=\"success\""], 2.0).await;
    let told: Vec<_> = api.shared.ring.recent().iter().map(|c| c.exchange.audited.clone()).collect();
    assert_eq!(vec![Some("shop/draft#2".into()), None], told);
}

/// A port of which nothing is known lets nobody in, and HTTP clients hear why; the known ones go on without a control plane.
#[tokio::test]
async fn unknown_ports_let_nobody_in() {
    let mut mesh = Mesh::start();
    let (web_pod, api, app) = mesh.pair().await;
    serve(app, false, mirror);
    mesh.access(&api, enforced(Otherwise::Deny, vec![rule("shop/menu", web(), &["/menu"])]));
    let mut client = http1(web_pod.connect().await).await;
    assert_eq!(PASSED, ask(&mut client, "/menu").await);
    mesh.plane.kill();
    let mut client = http1(web_pod.connect().await).await;
    assert_eq!(
        (PASSED, denied("the default of namespace shop")),
        (ask(&mut client, "/menu").await, ask(&mut client, "/").await)
    );
    let app = api.app().await;
    let (status, error) = ask(&mut http1(api.reach().await).await, "/menu").await;
    assert_eq!((503, true), (status, error.starts_with("E116 ")));
    assert!(untouched(&app));
}

/// Above a limit clients hear when to come again, each of its own.
#[tokio::test]
async fn limits_say_when_to_come_again() {
    let mesh = Mesh::start();
    let (web_pod, api, app) = mesh.pair().await;
    serve(app, false, mirror);
    let limit = api::RateLimit {
        name: "shop/menu".into(),
        requests_per_second: 1,
        burst: 2,
        per_client: true,
        ..Default::default()
    };
    let health = api::call_match::Path::Exact("/health".into());
    let unlimited = vec![api::CallMatch { method: "GET".into(), path: Some(health) }];
    mesh.access(&api, api::Inbound { rate_limits: vec![limit], unlimited, ..Default::default() });
    let mut client = http1(web_pod.connect().await).await;
    for _ in 0..3 {
        assert_eq!(PASSED, ask(&mut client, "/health?deep=1").await);
    }
    assert_eq!([PASSED, PASSED], [ask(&mut client, "/").await, ask(&mut client, "/").await]);
    let response = client.send_request(get("/")).await.unwrap();
    assert_eq!(
        (StatusCode::TOO_MANY_REQUESTS, "1"),
        (response.status(), response.headers()["retry-after"].to_str().unwrap())
    );
    assert_eq!("E115 more requests than shop/menu allows", response.headers()["weft-error"]);
    text(response).await;
    assert_eq!(PASSED, ask(&mut client, "/health").await);
    assert_eq!(429, ask(&mut client, "/health/").await.0);
    let mut client = http2(web_pod.connect().await).await;
    let grpc =
        Request::post("http://api/").header("content-type", "application/grpc").body(full("")).unwrap();
    assert_eq!("8", client.send_request(grpc).await.unwrap().headers()["grpc-status"]);
    assert_eq!(PASSED, ask(&mut http1(api.reach().await).await, "/").await);
    api.expect("weft_rate_limited_total", &[WEB, "policy=\"shop/menu\""], 3.0).await;
    api.expect("weft_requests_total", &["result=\"denied\"", "status=\"429\""], 2.0).await;
}
