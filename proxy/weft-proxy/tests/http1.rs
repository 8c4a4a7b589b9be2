//! What HTTP/1 can do passes whichever way it takes: from pod to pod, to a server without a proxy, from a client without.

mod support;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::BodyExt;
use support::http::{full, get, http1, mirror, raw, serve, text};
use support::loopback::{Mesh, Pod, endpoint};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Which of the two has a proxy.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Proxied {
    Both,
    Client,
    Server,
}

const WAYS: [Proxied; 3] = [Proxied::Both, Proxied::Client, Proxied::Server];

/// What lies between a client and an application.
struct Way {
    proxied: Proxied,
    web: Pod,
    api: Pod,
    _mesh: Mesh,
}

impl Way {
    /// And where the application listens.
    async fn open(proxied: Proxied) -> (Self, TcpListener) {
        let mesh = Mesh::start();
        let (web, api, app) = mesh.pair().await;
        if proxied == Proxied::Client {
            mesh.service(vec![endpoint(app.local_addr().unwrap(), "", "api")]);
        }
        (Self { proxied, web, api, _mesh: mesh }, app)
    }

    async fn connect(&self) -> TcpStream {
        if self.proxied == Proxied::Server { self.api.reach().await } else { self.web.connect().await }
    }

    /// The proxy that the client meets.
    fn near(&self) -> &Pod {
        if self.proxied == Proxied::Server { &self.api } else { &self.web }
    }

    /// Every proxy on the way has counted so many requests, and no other has any.
    async fn counts(&self, labels: &[&str], value: f64) {
        let expected = match self.proxied {
            Proxied::Both => [value, value],
            Proxied::Client => [value, 0.0],
            Proxied::Server => [0.0, value],
        };
        for (pod, value) in [&self.web, &self.api].into_iter().zip(expected) {
            pod.expect("weft_requests_total", labels, value).await;
        }
    }
}

/// HTTP/1.0 stays HTTP/1.0 for the server, and its client gets a response that ends by closing.
#[tokio::test]
async fn http10_is_kept() {
    for way in WAYS {
        let (way, app) = Way::open(way).await;
        serve(app, false, mirror);
        let response = raw(&mut way.connect().await, "GET /old HTTP/1.0\r\n\r\n").await;
        assert!(response.starts_with("HTTP/1.0 200 OK\r\n"), "{response}");
        assert!(response.contains("GET /old HTTP/1.0\n"), "{response}");
    }
}

/// A response without length ends with its connection; the client gets all of it.
#[tokio::test]
async fn close_delimited_bodies_are_whole() {
    for way in WAYS {
        let (way, app) = Way::open(way).await;
        tokio::spawn(async move {
            let (mut stream, _) = app.accept().await.unwrap();
            let _ = stream.read(&mut [0; 1024]).await.unwrap();
            stream.write_all(b"HTTP/1.1 200 OK\r\n\r\nsome ").await.unwrap();
            stream.write_all(b"words").await.unwrap();
        });
        let mut client = http1(way.connect().await).await;
        assert_eq!("some words", text(client.send_request(get("/")).await.unwrap()).await);
    }
}

/// HEAD has the headers of GET, with its length, and no body; the connection goes on.
#[tokio::test]
async fn head_keeps_its_length() {
    for way in WAYS {
        let (way, app) = Way::open(way).await;
        serve(app, false, async |_| {
            Response::builder().header("content-length", "12345").body(full("")).unwrap()
        });
        let requests =
            "HEAD / HTTP/1.1\r\nhost: a\r\n\r\nHEAD / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
        let responses = raw(&mut way.connect().await, requests).await;
        assert_eq!(
            2,
            responses.matches("HTTP/1.1 200 OK\r\ncontent-length: 12345\r\n").count(),
            "{responses}"
        );
        assert!(responses.ends_with("\r\n\r\n"), "{responses}");
        way.counts(&["result=\"success\""], 2.0).await;
    }
}

/// Requests that are sent without waiting are answered in their order.
#[tokio::test]
async fn pipelined_requests_are_answered_in_order() {
    for way in WAYS {
        let (way, app) = Way::open(way).await;
        serve(app, false, mirror);
        let requests =
            "GET /1 HTTP/1.1\r\nhost: a\r\n\r\nPOST /2 HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\n\r\ntea";
        let last = "GET /3 HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
        let responses = raw(&mut way.connect().await, &format!("{requests}{last}")).await;
        let seen = |line: &str| responses.find(line).unwrap_or_else(|| panic!("{line}: {responses}"));
        assert!(
            seen("GET /1 HTTP/1.1\n") < seen("POST /2 HTTP/1.1\n")
                && seen("\n\ntea") < seen("GET /3 HTTP/1.1\n")
        );
        way.counts(&["result=\"success\""], 3.0).await;
    }
}

/// Responses without a body leave their connection to the application open for the next request.
#[tokio::test]
async fn bodiless_responses_keep_the_connection() {
    for way in WAYS {
        let (way, app) = Way::open(way).await;
        let answers = tokio::spawn(async move {
            let (mut stream, _) = app.accept().await.unwrap();
            for _ in 0..3 {
                assert!(stream.read(&mut [0; 1024]).await.unwrap() > 0);
                stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await.unwrap();
            }
        });
        let mut client = http1(way.connect().await).await;
        for _ in 0..3 {
            assert_eq!(StatusCode::NO_CONTENT, client.send_request(get("/")).await.unwrap().status());
        }
        answers.await.unwrap();
    }
}

/// A client that waits for `100 Continue` gets it, and its body arrives.
#[tokio::test]
async fn continue_is_said() {
    for way in WAYS {
        let (way, app) = Way::open(way).await;
        serve(app, false, mirror);
        let mut client = way.connect().await;
        let head = "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 4\r\nexpect: 100-continue\r\nconnection: close\r\n\r\n";
        client.write_all(head.as_bytes()).await.unwrap();
        let mut first = [0; 25];
        client.read_exact(&mut first).await.unwrap();
        assert_eq!(b"HTTP/1.1 100 Continue\r\n\r\n", &first);
        assert!(raw(&mut client, "body").await.ends_with("\n\nbody"));
    }
}

/// Chunks, and the trailers behind them, pass in both directions.
#[tokio::test]
async fn chunks_and_trailers_pass() {
    for way in WAYS {
        let (way, app) = Way::open(way).await;
        let server = tokio::spawn(async move {
            let (mut stream, _) = app.accept().await.unwrap();
            let mut heard = Vec::new();
            while !heard.ends_with(b"2\r\nhi\r\n0\r\nx-sum: 2\r\n\r\n") {
                heard.push(stream.read_u8().await.unwrap());
            }
            let head = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntrailer: x-took\r\n\r\n";
            stream.write_all(head).await.unwrap();
            stream.write_all(b"3\r\ntea\r\n0\r\nx-took: 7\r\n\r\n").await.unwrap();
            stream.read(&mut [0]).await
        });
        let head = "POST / HTTP/1.1\r\nhost: a\r\nte: trailers\r\nconnection: close\r\ntrailer: x-sum\r\n";
        let body = "transfer-encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nx-sum: 2\r\n\r\n";
        let response = raw(&mut way.connect().await, &format!("{head}{body}")).await;
        assert!(response.ends_with("3\r\ntea\r\n0\r\nx-took: 7\r\n\r\n"), "{response}");
        drop(server);
    }
}

/// Large bodies pass whole in both directions, with and without a length.
#[tokio::test]
async fn bulk_passes_whole() {
    for way in WAYS {
        let (way, app) = Way::open(way).await;
        serve(app, false, async |request: Request<_>| {
            let body: hyper::body::Incoming = request.into_body();
            Response::new(full(body.collect().await.unwrap().to_bytes()))
        });
        let sent = Bytes::from(vec![b'x'; 8 << 20]);
        let mut client = http1(way.connect().await).await;
        let request = Request::post("/").header("host", "a").body(full(sent.clone())).unwrap();
        let response = client.send_request(request).await.unwrap();
        assert_eq!(sent, response.into_body().collect().await.unwrap().to_bytes());
    }
}

/// The application reads a head, which it returns, agrees, and then sends back what it gets.
async fn agree(app: TcpListener, answer: &'static str) -> String {
    let (mut stream, _) = app.accept().await.unwrap();
    let mut head = vec![0; 4096];
    let n = stream.read(&mut head).await.unwrap();
    stream.write_all(answer.as_bytes()).await.unwrap();
    let (mut from, mut to) = stream.split();
    tokio::io::copy(&mut from, &mut to).await.unwrap();
    String::from_utf8_lossy(&head[..n]).into_owned()
}

/// A client that leaves HTTP: what it reads up to `end`, and what comes back of what it says then.
async fn leave(way: &Way, request: &str, end: &str, said: &str) -> (String, String) {
    let mut client = way.connect().await;
    client.write_all(request.as_bytes()).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(end.as_bytes()) {
        head.push(client.read_u8().await.unwrap());
    }
    client.write_all(said.as_bytes()).await.unwrap();
    client.shutdown().await.unwrap();
    let mut echoed = String::new();
    client.read_to_string(&mut echoed).await.unwrap();
    (String::from_utf8(head).unwrap(), echoed)
}

/// WebSocket and the like: the server answers 101, then both talk as they like.
#[tokio::test]
async fn upgrades_leave_http() {
    for way in WAYS {
        let (way, app) = Way::open(way).await;
        let switch = "HTTP/1.1 101 Switching Protocols\r\nupgrade: echo\r\nconnection: upgrade\r\n\r\nhello ";
        let server = tokio::spawn(agree(app, switch));
        let request = "GET /ws HTTP/1.1\r\nhost: a\r\nconnection: Upgrade\r\nupgrade: echo\r\n\r\n";
        let (head, echoed) = leave(&way, request, "\r\n\r\nhello ", "world").await;
        assert!(head.starts_with("HTTP/1.1 101"));
        assert_eq!("world", echoed);
        let head = server.await.unwrap().to_lowercase();
        assert!(head.contains("upgrade: echo\r\n") && head.contains("connection: upgrade\r\n"), "{head}");
        // Between two proxies it is bytes from the first on: the second has no request to count.
        way.near().expect("weft_requests_total", &["status=\"101\"", "result=\"success\""], 1.0).await;
    }
}

/// CONNECT: once the server agrees, both talk as they like.
#[tokio::test]
async fn connect_leaves_http() {
    for way in WAYS {
        let (way, app) = Way::open(way).await;
        let server = tokio::spawn(agree(app, "HTTP/1.1 200 OK\r\n\r\n"));
        let request = "CONNECT db.shop:5432 HTTP/1.1\r\nhost: db.shop:5432\r\n\r\n";
        let (head, echoed) = leave(&way, request, "\r\n\r\n", "hello").await;
        assert!(head.starts_with("HTTP/1.1 200"));
        assert_eq!("hello", echoed);
        assert!(server.await.unwrap().starts_with("CONNECT db.shop:5432 HTTP/1.1\r\n"));
    }
}

/// A server that does not want to leave HTTP is heard all the same.
#[tokio::test]
async fn refused_upgrades_are_responses() {
    for way in WAYS {
        let (way, app) = Way::open(way).await;
        serve(app, false, mirror);
        let request = "GET /ws HTTP/1.1\r\nhost: a\r\nconnection: Upgrade\r\nupgrade: echo\r\n\r\n";
        let mut client = way.connect().await;
        client.write_all(request.as_bytes()).await.unwrap();
        let mut status = [0; 15];
        client.read_exact(&mut status).await.unwrap();
        assert_eq!(b"HTTP/1.1 200 OK", &status);
    }
}
