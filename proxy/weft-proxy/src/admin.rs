//! `/live`, `/ready`, `/probe/…` and `/metrics`, for the kubelet and Prometheus; from the pod itself only: what is held
//! of each target (`/held`), and changes by `/log-level` and `/shutdown`.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::header::{ALLOW, CONTENT_TYPE, HeaderValue};
use http::request::Parts;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio::sync::Notify;

use crate::config::Mode;
use crate::http::body::BoxError;
use crate::logs;
use crate::metrics::Control;
use crate::probe;
use crate::worker::Shared;

const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// A filter for the log is shorter.
const MAX_BODY: usize = 4096;

/// Serves until the process ends. `stop` ends it.
pub async fn serve(listener: TcpListener, shared: Arc<Shared>, stop: Arc<Notify>) {
    let admin = Arc::new(Admin { shared, stop, was_connected: AtomicBool::new(false) });
    loop {
        let Ok((stream, client)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        let admin = admin.clone();
        let answer = move |request: Request<Incoming>| {
            let admin = admin.clone();
            async move {
                Ok::<_, Infallible>(match *request.method() {
                    Method::GET | Method::HEAD => admin.answer(&request.into_parts().0, client).await,
                    _ => admin.change(request, client).await,
                })
            }
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
    stop: Arc<Notify>,
    /// Once is enough: a proxy goes on with what it knows while the control plane is away.
    was_connected: AtomicBool,
}

impl Admin {
    /// `PUT /log-level` with a filter, `POST /shutdown`: for clients on the loopback, in the pod.
    async fn change<B>(&self, request: Request<B>, client: SocketAddr) -> Response<Full<Bytes>>
    where
        B: http_body::Body<Error: Into<BoxError>>,
    {
        let path = request.uri().path();
        let allowed = match path {
            "/log-level" => "GET, HEAD, PUT",
            "/shutdown" => "POST",
            _ => "GET, HEAD",
        };
        if !allowed.split(", ").any(|method| method == request.method()) {
            let mut refused = text(StatusCode::METHOD_NOT_ALLOWED, format!("{allowed} only\n"));
            refused.headers_mut().insert(ALLOW, HeaderValue::from_static(allowed));
            return refused;
        }
        if !is_own(client) {
            return strange();
        }
        if path == "/shutdown" {
            return self.shut_down();
        }
        let filter = match Limited::new(request.into_body(), MAX_BODY).collect().await {
            Ok(body) => String::from_utf8_lossy(&body.to_bytes()).trim().to_owned(),
            Err(_) => return text(StatusCode::PAYLOAD_TOO_LARGE, format!("at most {MAX_BODY} bytes\n")),
        };
        match logs::set_filter(&filter) {
            Ok(()) => {
                tracing::info!(filter, "log level changed");
                text(StatusCode::OK, format!("{filter}\n"))
            }
            Err(why) => {
                text(StatusCode::BAD_REQUEST, format!("{filter:?}: {why}; try info,weft_proxy=debug\n"))
            }
        }
    }

    fn shut_down(&self) -> Response<Full<Bytes>> {
        if !self.shared.config.admin_shutdown {
            return text(StatusCode::FORBIDDEN, "switched off: set WEFT_ADMIN_SHUTDOWN=true\n".into());
        }
        self.stop.notify_one();
        text(StatusCode::OK, "ending\n".into())
    }

    async fn answer(&self, asked: &Parts, client: SocketAddr) -> Response<Full<Bytes>> {
        let path = asked.uri.path();
        if path.starts_with(probe::https::PATH) {
            let (status, why) = probe::https::https(&self.shared.config, asked).await;
            return text(status, why);
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
            "/log-level" => text(StatusCode::OK, format!("{}\n", logs::filter())),
            "/held" if is_own(client) => text(StatusCode::OK, self.shared.discovery.held()),
            "/held" => strange(),
            _ => text(StatusCode::NOT_FOUND, "/live /ready /metrics /log-level /held\n".into()),
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

/// In the pod, as `kubectl port-forward` is.
fn is_own(client: SocketAddr) -> bool {
    client.ip().to_canonical().is_loopback()
}

fn strange() -> Response<Full<Bytes>> {
    text(StatusCode::FORBIDDEN, "from the pod itself only: 127.0.0.1:4191\n".into())
}

fn text(status: StatusCode, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;
    use crate::config::Config;
    use crate::discovery::Discovery;
    use crate::identity::Identity;
    use crate::socket;

    const STRANGER: [u8; 4] = [10, 0, 0, 1];

    fn admin() -> Admin {
        let mut config = Config::parse([].into()).unwrap();
        config.admin_shutdown = true;
        let identity = Identity::new(&config.own_id(), &config.trust_domain);
        let original = Arc::new(socket::original_dst);
        let shared = Arc::new(Shared::new(config, identity, Discovery::new(vec![]), original));
        Admin { shared, stop: Arc::default(), was_connected: AtomicBool::new(false) }
    }

    async fn change(admin: &Admin, method: Method, path: &str, from: [u8; 4]) -> u16 {
        let request = Request::builder().method(method).uri(path).body(Full::<Bytes>::default()).unwrap();
        admin.change(request, (from, 4000).into()).await.status().as_u16()
    }

    /// Only who is in the pod ends its proxy, changes what it logs, and sees what it holds.
    #[tokio::test]
    async fn strangers_change_nothing() {
        let admin = admin();
        let (held, ()) = Request::get("/held").body(()).unwrap().into_parts();
        let refused = [
            change(&admin, Method::POST, "/shutdown", STRANGER).await,
            change(&admin, Method::PUT, "/log-level", STRANGER).await,
            admin.answer(&held, (STRANGER, 4000).into()).await.status().as_u16(),
        ];
        assert_eq!([403; 3], refused);
        assert!(admin.stop.notified().now_or_never().is_none());
        assert_eq!(200, change(&admin, Method::POST, "/shutdown", [127, 0, 0, 1]).await);
        assert!(admin.stop.notified().now_or_never().is_some());
    }
}
