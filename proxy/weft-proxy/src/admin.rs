//! `/live`, `/ready`, `/probe/tcp/PORT` and `/metrics`, for the kubelet and Prometheus.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::header::{ALLOW, CONTENT_TYPE, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;

use crate::config::Mode;
use crate::metrics::Control;
use crate::probe;
use crate::worker::Shared;

const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Serves until the process ends.
pub async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    let admin = Arc::new(Admin { shared, was_connected: AtomicBool::new(false) });
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        let admin = admin.clone();
        let answer = move |request: Request<hyper::body::Incoming>| {
            let admin = admin.clone();
            async move { Ok::<_, Infallible>(admin.answer(request.method(), request.uri().path()).await) }
        };
        tokio::spawn(async move {
            let mut builder = http1::Builder::new();
            builder.timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT);
            let _ = builder.serve_connection(TokioIo::new(stream), service_fn(answer)).await;
        });
    }
}

struct Admin {
    shared: Arc<Shared>,
    /// Once is enough: a proxy goes on with what it knows while the control plane is away.
    was_connected: AtomicBool,
}

impl Admin {
    async fn answer(&self, method: &Method, path: &str) -> Response<Full<Bytes>> {
        if !matches!(*method, Method::GET | Method::HEAD) {
            let mut refused = text(StatusCode::METHOD_NOT_ALLOWED, "GET only\n".into());
            refused.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            return refused;
        }
        if let Some(port) = path.strip_prefix("/probe/tcp/") {
            let (status, why) = probe::tcp(&self.shared.config, port).await;
            return text(status, why);
        }
        match path {
            "/live" => text(StatusCode::OK, "live\n".into()),
            "/ready" => match self.missing() {
                None => text(StatusCode::OK, "ready\n".into()),
                Some(what) => text(StatusCode::SERVICE_UNAVAILABLE, format!("{what}\n")),
            },
            "/metrics" => self.metrics(),
            _ => text(StatusCode::NOT_FOUND, "/live /ready /metrics\n".into()),
        }
    }

    /// What is missing to be ready; listeners are bound and random numbers flow before anybody can ask.
    fn missing(&self) -> Option<&'static str> {
        let shared = &self.shared;
        if shared.discovery.is_connected() {
            self.was_connected.store(true, Ordering::Relaxed);
        }
        let discovers = shared.config.mode == Mode::Sidecar;
        if shared.drain.is_draining() {
            Some("ending")
        } else if !shared.identity.is_ready() {
            Some("no certificate yet")
        } else if discovers && !self.was_connected.load(Ordering::Relaxed) {
            Some("no word of the destination service yet")
        } else {
            None
        }
    }

    fn metrics(&self) -> Response<Full<Bytes>> {
        let control = Control {
            identity_expiry: self.shared.identity.expiry().try_into().unwrap_or(i64::MAX),
            discovery_connected: self.shared.discovery.is_connected(),
            discovery_age: self.shared.discovery.age(),
        };
        let mut response = text(StatusCode::OK, self.shared.metrics.render(control));
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(OPENMETRICS));
        response
    }
}

fn text(status: StatusCode, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}
