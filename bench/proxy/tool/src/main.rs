//! The backends and load generators of the proxy benchmark.
//!
//! One thread on epoll each, so that the tool takes as little of the machine as it can and its scheduling adds no noise.
//!
//!     pbtool backend     --h1 A[,A…] --tcp A[,A…]              HTTP/1.1 responder; source and sink of bytes
//!     pbtool backend-h2  --listen A[,A…]                       HTTP/2 and gRPC in plain text
//!     pbtool rate        --addr A --conns N --rate R --secs S --warmup W   open loop, latency from when a request was due
//!     pbtool connrate    --addr A --conns N --secs S           a new connection for each request, N at a time
//!     pbtool idle        --addr A --conns N                    one request each, then silence until it is killed
//!     pbtool bulk        --addr A --dir down|up --mib M        bytes over one connection
//!
//! Backends say READY, `idle` says "READY <answered> <failed>"; the others end with one line of JSON.

use std::net::SocketAddr;
use std::process::ExitCode;

mod backend;
mod bulk;
mod grpc;
mod http;
mod load;
mod sys;

/// `--name value` pairs.
struct Args(Vec<String>);

impl Args {
    fn text(&self, name: &str) -> &str {
        let at = self.0.iter().position(|arg| arg.strip_prefix("--") == Some(name));
        let value = at.and_then(|at| self.0.get(at + 1));
        value.unwrap_or_else(|| panic!("--{name} is missing"))
    }

    fn number(&self, name: &str) -> f64 {
        self.text(name).parse().unwrap_or_else(|_| panic!("--{name} is no number"))
    }

    fn address(&self) -> SocketAddr {
        self.text("addr").parse().expect("--addr is IP:PORT")
    }
}

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    let command = args.next().unwrap_or_default();
    let args = Args(args.collect());
    let connections = || args.number("conns") as usize;
    match command.as_str() {
        "backend" => backend::run(args.text("h1"), args.text("tcp")),
        "backend-h2" => grpc::run(args.text("listen")),
        "rate" => {
            let period = (connections() as f64 / args.number("rate") * 1e9) as u64;
            let plan =
                load::Plan::Rate { period, warmup: args.number("warmup"), seconds: args.number("secs") };
            load::run(args.address(), connections(), plan);
        }
        "connrate" => {
            load::run(args.address(), connections(), load::Plan::Connect { seconds: args.number("secs") });
        }
        "idle" => load::run(args.address(), connections(), load::Plan::Idle),
        "bulk" => bulk::run(args.address(), args.text("dir") == "down", args.number("mib") as u64),
        _ => {
            eprintln!("usage: see the head of main.rs");
            return ExitCode::from(64);
        }
    }
    ExitCode::SUCCESS
}
