//! HTTP/1 from a stranger, the way a request takes through two proxies: what the application gets is one message for
//! one request, framed in one way, with the body that the first proxy read.

use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, LocalOptions};
use weft_proxy::drain::Drain;
use weft_proxy::http::body::{Body, BoxError};
use weft_proxy::http::headers::{into_mesh, restore, strip_hop, strip_request, strip_reserved};
use weft_proxy::http::received::Received;
use weft_proxy::http::server;
use weft_proxy::io::Io;

const ROOM: usize = 1 << 20;
/// The clock is virtual: what hangs ends at once.
const LIMIT: Duration = Duration::from_secs(5);

/// The bodies that the first proxy read, and what its requests became on the wire to the application.
#[derive(Default)]
struct Seen(Mutex<Vec<(Bytes, Vec<u8>)>>);

pub fn check(bytes: &[u8]) {
    let runtime = Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build_local(LocalOptions::default())
        .unwrap();
    let seen = Arc::new(Seen::default());
    runtime.block_on(async {
        let _ = tokio::time::timeout(LIMIT, serve(bytes, seen.clone())).await;
    });
    for (body, wire) in seen.0.lock().unwrap().iter() {
        assert_eq!(Some(body.to_vec()), only_message(wire), "{:?}", String::from_utf8_lossy(wire));
    }
}

/// The first proxy's own server, on a socket.
async fn serve(bytes: &[u8], seen: Arc<Seen>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (server, _) = listener.accept().await.unwrap();
    client.write_all(bytes).await.unwrap();
    client.shutdown().await.unwrap();
    let drained = async { while client.read(&mut [0; 4096]).await.is_ok_and(|n| n > 0) {} };
    let answer = move |request| forward(request, seen.clone());
    let _ = tokio::join!(server::serve(Io::tcp(server), false, Drain::default().live(), answer), drained);
}

async fn forward(request: Request<Received>, seen: Arc<Seen>) -> Result<Response<Body>, BoxError> {
    let (mut head, body) = request.into_parts();
    let body = body.collect().await?.to_bytes();
    let empty = Response::new(Body::Fixed(None));
    if strip_request(&mut head) {
        return Ok(empty);
    }
    strip_reserved(&mut head.headers);
    if into_mesh(&mut head, ([10, 0, 0, 1], 80).into()).is_err() || !restore(&mut head) {
        return Ok(empty);
    }
    // As HTTP/2 would: a body's length is what came, whatever was said.
    strip_hop(&mut head.headers);
    let (near, far) = duplex(ROOM);
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(near)).await?;
    let sent = sender.send_request(Request::from_parts(head, Full::new(body.clone())));
    let (wire, sent, _) = tokio::join!(application(far), async { sent.await.map(drop) }, connection);
    if sent.is_ok() {
        seen.0.lock().unwrap().push((body, wire));
    }
    Ok(empty)
}

/// Reads all that comes, answers, and ends the connection.
async fn application(mut stream: DuplexStream) -> Vec<u8> {
    let mut wire = vec![0; ROOM];
    let mut length = 0;
    while let Ok(Ok(n @ 1..)) =
        tokio::time::timeout(Duration::from_millis(1), stream.read(&mut wire[length..])).await
    {
        length += n;
    }
    let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n").await;
    wire.truncate(length);
    wire
}

/// The body, if `wire` is exactly one request that nobody could frame in another way.
fn only_message(wire: &[u8]) -> Option<Vec<u8>> {
    let mut headers = [httparse::EMPTY_HEADER; 128];
    let mut head = httparse::Request::new(&mut headers);
    let httparse::Status::Complete(at) = head.parse(wire).ok()? else { return None };
    let all = |name: &str| -> Vec<&[u8]> {
        head.headers.iter().filter(|h| h.name.eq_ignore_ascii_case(name)).map(|h| h.value).collect()
    };
    let rest = &wire[at..];
    match (&all("content-length")[..], &all("transfer-encoding")[..], all("host").len()) {
        ([], [], 0..=1) => rest.is_empty().then(Vec::new),
        ([length], [], 0..=1) => {
            let length: usize = std::str::from_utf8(length).ok()?.parse().ok()?;
            (rest.len() == length).then(|| rest.to_vec())
        }
        ([], [b"chunked"], 0..=1) => dechunk(rest),
        _ => None,
    }
}

fn dechunk(mut rest: &[u8]) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let httparse::Status::Complete((at, size)) = httparse::parse_chunk_size(rest).ok()? else {
            return None;
        };
        let size = usize::try_from(size).ok()?;
        rest = rest.get(at..)?;
        body.extend_from_slice(rest.get(..size)?);
        rest = rest.get(size..)?.strip_prefix(b"\r\n")?;
        if size == 0 {
            return rest.is_empty().then_some(body);
        }
    }
}
