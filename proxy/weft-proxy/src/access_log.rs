//! The access log: one JSON object for each exchange, written to standard output by a thread of its own.

use std::fmt::Write as _;
use std::io::{BufWriter, Write};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};
use std::time::{Duration, UNIX_EPOCH};

use crate::tap::{Captured, Exchange, Outcome};

/// Lines that wait for a slow reader; more are left out, and counted in the next line.
const BACKLOG: usize = 4096;

/// Starts the thread; it ends when the sender is gone.
pub fn start(out: impl Write + Send + 'static) -> std::io::Result<SyncSender<Arc<Captured>>> {
    let (sender, receiver) = sync_channel(BACKLOG);
    std::thread::Builder::new().name("access-log".into()).spawn(move || write(&receiver, out))?;
    Ok(sender)
}

fn write(receiver: &Receiver<Arc<Captured>>, out: impl Write) {
    let mut out = BufWriter::new(out);
    let mut next = 0;
    while let Some(captured) = receive(receiver, &mut out) {
        let skipped = captured.id.saturating_sub(next);
        let line = line(&captured.exchange, if next == 0 { 0 } else { skipped });
        // Two workers may swap two lines; nothing is missing then.
        next = next.max(captured.id + 1);
        if out.write_all(line.as_bytes()).is_err() {
            return;
        }
    }
    let _ = out.flush();
}

/// The next exchange; what is written is flushed before waiting for it.
fn receive(receiver: &Receiver<Arc<Captured>>, out: &mut impl Write) -> Option<Arc<Captured>> {
    match receiver.try_recv() {
        Err(TryRecvError::Empty) => {
            let _ = out.flush();
            receiver.recv().ok()
        }
        other => other.ok(),
    }
}

/// No query and no headers: secrets travel there.
fn line(exchange: &Exchange, skipped: u64) -> String {
    let mut line = Line(String::from("{"));
    let time = exchange.started.duration_since(UNIX_EPOCH).unwrap_or_default();
    line.number("time", format_args!("{}.{:06}", time.as_secs(), time.subsec_micros()));
    line.text("direction", exchange.direction.as_str());
    line.text("method", exchange.method.as_str());
    line.text("authority", &exchange.authority());
    line.text("path", exchange.uri.path());
    line.text("version", &format!("{:?}", exchange.version));
    line.number("status", format_args!("{}", exchange.status.map_or(0, |s| s.as_u16())));
    if let Some(status) = exchange.grpc_status {
        line.number("grpc_status", format_args!("{status}"));
    }
    line.text("result", result(exchange.outcome));
    line.seconds("latency_seconds", exchange.latency);
    line.seconds("duration_seconds", exchange.duration);
    line.number("request_bytes", format_args!("{}", exchange.request_bytes));
    line.number("response_bytes", format_args!("{}", exchange.response_bytes));
    line.text("source", &exchange.source.to_string());
    line.text("destination", &exchange.destination.to_string());
    line.text("tls", exchange.tls);
    line.text("peer_identity", exchange.peer_identity.as_deref().unwrap_or_default());
    line.text("dst_namespace", &exchange.dst.namespace);
    line.text("dst_service", &exchange.dst.service);
    line.text("dst_workload", &exchange.dst.workload);
    line.text("dst_pod", &exchange.dst.pod);
    line.text("route", exchange.route.as_deref().unwrap_or_default());
    if let Some(error) = &exchange.error {
        line.text("error", error);
    }
    line.text("audited", exchange.audited.as_deref().unwrap_or_default());
    if skipped > 0 {
        line.number("skipped", format_args!("{skipped}"));
    }
    line.0.push_str("}\n");
    line.0
}

fn result(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Success => "success",
        Outcome::Failure => "failure",
        Outcome::Cancelled => "cancelled",
    }
}

/// A JSON object in the making. Writing into a String does not fail.
struct Line(String);

impl Line {
    fn key(&mut self, key: &str) {
        let comma = if self.0.len() > 1 { "," } else { "" };
        let _ = write!(self.0, "{comma}\"{key}\":");
    }

    fn number(&mut self, key: &str, number: std::fmt::Arguments<'_>) {
        self.key(key);
        let _ = self.0.write_fmt(number);
    }

    fn seconds(&mut self, key: &str, duration: Duration) {
        self.number(key, format_args!("{:.6}", duration.as_secs_f64()));
    }

    /// Empty texts are left out.
    fn text(&mut self, key: &str, text: &str) {
        if text.is_empty() {
            return;
        }
        self.key(key);
        self.0.push('"');
        for c in text.chars() {
            match c {
                '"' | '\\' => self.0.extend(['\\', c]),
                c if c.is_control() => drop(write!(self.0, "\\u{:04x}", u32::from(c))),
                c => self.0.push(c),
            }
        }
        self.0.push('"');
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::discovery::DstLabels;
    use crate::tap::Direction;
    use std::time::SystemTime;

    fn exchange(path: &str) -> Exchange {
        Exchange {
            started: SystemTime::UNIX_EPOCH + Duration::from_millis(1500),
            direction: Direction::Inbound,
            source: "10.0.0.1:1000".parse().unwrap(),
            destination: "10.0.0.2:80".parse().unwrap(),
            tls: "true",
            peer_identity: Some("spiffe://x".into()),
            method: http::Method::GET,
            uri: path.parse().unwrap(),
            host: Some(http::HeaderValue::from_static("shop")),
            version: http::Version::HTTP_11,
            status: Some(http::StatusCode::OK),
            grpc_status: None,
            outcome: Outcome::Success,
            latency: Duration::from_millis(2),
            duration: Duration::from_millis(3),
            request_bytes: 0,
            response_bytes: 5,
            route: None,
            dst: Arc::new(DstLabels { workload: "a\"b\n".into(), ..DstLabels::default() }),
            request_headers: http::HeaderMap::new(),
            response_headers: http::HeaderMap::new(),
            error: None,
            audited: None,
        }
    }

    /// One line of JSON, escaped, without the query.
    #[test]
    fn lines_are_json() {
        assert_eq!(
            "{\"time\":1.500000,\"direction\":\"inbound\",\"method\":\"GET\",\"authority\":\"shop\",\"path\":\"/a\",\
             \"version\":\"HTTP/1.1\",\"status\":200,\"result\":\"success\",\"latency_seconds\":0.002000,\
             \"duration_seconds\":0.003000,\"request_bytes\":0,\"response_bytes\":5,\
             \"source\":\"10.0.0.1:1000\",\"destination\":\"10.0.0.2:80\",\"tls\":\"true\",\
             \"peer_identity\":\"spiffe://x\",\"dst_workload\":\"a\\\"b\\u000a\",\"skipped\":2}\n",
            line(&exchange("/a?token=secret"), 2)
        );
    }
}
