//! A backend of HTTP/2: answers every request, once it is whole, with 128 bytes; gRPC with one message and trailers.

use std::net::SocketAddr;

use bytes::Bytes;
use h2::server::{self, SendResponse};
use http::{HeaderMap, HeaderValue, Request, Response, header};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::LocalSet;

const BODY: [u8; 128] = [b'x'; 128];
/// Not compressed, 128 bytes long.
const PREFIX: [u8; 5] = [0, 0, 0, 0, 128];
const MAX_STREAMS: u32 = 1024;

type Failure = Box<dyn std::error::Error>;

/// Serves for ever.
pub fn run(addresses: &str) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().expect("a runtime");
    LocalSet::new().block_on(&runtime, async {
        for address in addresses.split(',') {
            let address: SocketAddr = address.parse().expect("an address");
            let listener = TcpListener::bind(address).await.expect("a free port");
            tokio::task::spawn_local(accept(listener));
        }
        println!("READY");
        std::future::pending::<()>().await;
    });
}

async fn accept(listener: TcpListener) {
    while let Ok((stream, _)) = listener.accept().await {
        // Connections end as their clients like; that is nobody's fault.
        tokio::task::spawn_local(async move { serve(stream).await.ok() });
    }
}

async fn serve(stream: TcpStream) -> Result<(), Failure> {
    stream.set_nodelay(true)?;
    let mut connection = server::Builder::new().max_concurrent_streams(MAX_STREAMS).handshake(stream).await?;
    while let Some(request) = connection.accept().await {
        let (request, respond) = request?;
        tokio::task::spawn_local(async move { answer(request, respond).await.ok() });
    }
    Ok(())
}

async fn answer(
    mut request: Request<h2::RecvStream>,
    mut respond: SendResponse<Bytes>,
) -> Result<(), Failure> {
    while let Some(data) = request.body_mut().data().await {
        request.body_mut().flow_control().release_capacity(data?.len())?;
    }
    let kind = request.headers().get(header::CONTENT_TYPE);
    if kind.is_some_and(|k| k.as_bytes().starts_with(b"application/grpc")) {
        let head = Response::builder().header(header::CONTENT_TYPE, "application/grpc").body(())?;
        let mut body = respond.send_response(head, false)?;
        body.send_data([&PREFIX[..], &BODY].concat().into(), false)?;
        let mut trailers = HeaderMap::new();
        trailers.insert("grpc-status", HeaderValue::from_static("0"));
        body.send_trailers(trailers)?;
    } else {
        let head = Response::builder().header(header::CONTENT_TYPE, "application/json").body(())?;
        respond.send_response(head, false)?.send_data(Bytes::from_static(&BODY), true)?;
    }
    Ok(())
}
