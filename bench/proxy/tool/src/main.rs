//! pbtool: the backend and the load generators of proxybench.
//!
//! Everything is one thread on epoll, so that the tool itself takes as little
//! of the two cores as it can and its own scheduling adds no noise.
//!
//!   pbtool backend  --h1 A[,A..] --tcp A[,A..] [--body N] [--threads 1]
//!   pbtool rate     --addr A --conns N --rate R --secs S [--warmup S]   open loop, latency from the intended send time
//!   pbtool closed   --addr A --conns N --secs S [--warmup S]            closed loop
//!   pbtool connrate --addr A --conns N --secs S                         a new connection per request
//!   pbtool idle     --addr A --conns N --secs S                         one request each, then silence
//!   pbtool bulk     --addr A --conns N --dir down|up --mib M            opaque TCP
//!
//! Every client prints one line of JSON.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io;
use std::net::SocketAddr;

mod sys;
use sys::*;

mod backend;
mod grpc;

fn arg(args: &[String], name: &str) -> Option<String> {
    let key = format!("--{name}");
    args.iter().position(|a| *a == key).and_then(|i| args.get(i + 1).cloned())
}
fn num(args: &[String], name: &str, dft: f64) -> f64 {
    arg(args, name).map(|v| v.parse().expect("number")).unwrap_or(dft)
}

fn main() {
    let args: Vec<String> = std::env::args().collect();
    raise_nofile();
    match args.get(1).map(|s| s.as_str()) {
        Some("backend") => backend::run(
            arg(&args, "h1").unwrap_or_default(),
            arg(&args, "tcp").unwrap_or_default(),
            num(&args, "body", 128.0) as usize,
        ),
        Some("backend-h2") => grpc::run(&arg(&args, "listen").expect("--listen")),
        Some("rate") => http_load(&args, Mode::Rate),
        Some("closed") => http_load(&args, Mode::Closed),
        Some("connrate") => http_load(&args, Mode::ConnRate),
        Some("idle") => http_load(&args, Mode::Idle),
        Some("bulk") => bulk(&args),
        _ => {
            eprintln!("usage: pbtool backend|rate|closed|connrate|idle|bulk ...");
            std::process::exit(2);
        }
    }
}

#[derive(Copy, Clone, PartialEq, Eq)]
enum Mode {
    Rate,
    Closed,
    ConnRate,
    Idle,
}

#[derive(Copy, Clone, PartialEq, Eq, Debug)]
enum St {
    Connecting,
    Ready,
    Waiting,
    Done,
}

struct C {
    fd: i32,
    st: St,
    /// When the request in flight should have been (rate) or was (closed) sent.
    t0: u64,
    /// rate: number of the next slot of this connection's schedule.
    slot: u64,
    buf: Vec<u8>,
    armed_out: bool,
}

fn http_load(args: &[String], mode: Mode) {
    let addr: SocketAddr = arg(args, "addr").expect("--addr").parse().expect("addr");
    let conns = num(args, "conns", 1.0) as usize;
    let rate = num(args, "rate", 1000.0);
    let secs = num(args, "secs", 5.0);
    let warmup = num(args, "warmup", 0.0);
    let host = arg(args, "host").unwrap_or_else(|| "web.default.svc.cluster.local".into());
    let path = arg(args, "path").unwrap_or_else(|| "/bench/item/42?x=1".into());
    let req = format!(
        "GET {path} HTTP/1.1\r\nhost: {host}\r\nuser-agent: pbtool/1\r\naccept: */*\r\nx-request-id: 7d5a1c8e-4b0e-4c1f-9d55-0d4e6c6f0a11\r\n\r\n"
    )
    .into_bytes();

    let ep = epoll_create();
    let tfd = timerfd();
    epoll_add(ep, tfd, libc::EPOLLIN as u32, u64::MAX);

    let mut hist = hdrhistogram::Histogram::<u64>::new_with_bounds(1_000, 120_000_000_000, 3).unwrap();
    let mut done: u64 = 0; // after warm-up
    let mut total: u64 = 0;
    let mut errors: u64 = 0;
    let mut bad_status: u64 = 0;
    let mut late: u64 = 0;

    let mut cs: Vec<C> = Vec::with_capacity(conns);
    // At most 256 connects under way at once, so that no accept queue overflows.
    let mut opened = 0usize;
    let open_one = |cs: &mut Vec<C>| {
        let i = cs.len();
        let fd = connect_nb(&addr).expect("connect");
        epoll_add(ep, fd, (libc::EPOLLIN | libc::EPOLLOUT | libc::EPOLLRDHUP) as u32, i as u64);
        cs.push(C { fd, st: St::Connecting, t0: now(), slot: 0, buf: Vec::new(), armed_out: true });
    };
    while opened < conns.min(256) {
        open_one(&mut cs);
        opened += 1;
    }

    // Rate: connections first get established (not timed), then the schedule starts.
    let mut heap: BinaryHeap<Reverse<(u64, usize)>> = BinaryHeap::new();
    let period = (conns as f64 / rate * 1e9) as u64;
    let mut start = 0u64; // start of the schedule / of the load
    let mut m_start = 0u64; // start of the measured part
    let mut m_end = u64::MAX;
    let mut connected = 0usize;
    let mut ready_printed = false;
    let hard_stop = now() + ((secs + warmup + 60.0) * 1e9) as u64;
    let setup_deadline = now() + 30_000_000_000;

    let mut evs: Vec<libc::epoll_event> = vec![unsafe { std::mem::zeroed() }; 1024];
    let mut rbuf = vec![0u8; 256 * 1024];

    let send = |c: &mut C, t0: u64| -> bool {
        c.t0 = t0;
        c.st = St::Waiting;
        c.buf.clear();
        let n = unsafe { libc::send(c.fd, req.as_ptr() as *const _, req.len(), libc::MSG_NOSIGNAL) };
        n == req.len() as isize
    };

    macro_rules! begin {
        () => {{
            start = now() + 5_000_000;
            m_start = start + (warmup * 1e9) as u64;
            m_end = m_start + (secs * 1e9) as u64;
            match mode {
                Mode::Rate => {
                    for i in 0..conns {
                        // Spread the connections evenly over one period.
                        heap.push(Reverse((start + (period as u128 * i as u128 / conns as u128) as u64, i)));
                    }
                }
                Mode::Closed | Mode::Idle => {
                    for c in cs.iter_mut() {
                        if c.st == St::Ready {
                            let t = now();
                            if !send(c, t) {
                                errors += 1;
                                c.st = St::Done;
                            }
                        }
                    }
                }
                Mode::ConnRate => {}
            }
        }};
    }

    if mode == Mode::ConnRate {
        begin!();
    }

    loop {
        let t = now();
        if t > hard_stop {
            break;
        }
        while opened < conns && opened - connected < 256 {
            open_one(&mut cs);
            opened += 1;
        }
        if start == 0 {
            if connected == conns || t > setup_deadline {
                begin!();
            }
        }
        if start != 0 && t >= m_end {
            break;
        }

        // Fire what is due.
        let mut next = if start == 0 { setup_deadline } else { m_end };
        if mode == Mode::Rate {
            while let Some(&Reverse((due, i))) = heap.peek() {
                if due > t {
                    next = next.min(due);
                    break;
                }
                heap.pop();
                let c = &mut cs[i];
                match c.st {
                    St::Ready => {
                        if !send(c, due) {
                            errors += 1;
                            c.st = St::Done;
                        }
                    }
                    St::Waiting => {
                        // The answer to the last one is late: this one goes out when it comes,
                        // and its latency counts from `due`.
                        late += 1;
                        c.slot += 1;
                    }
                    _ => {}
                }
                if c.st != St::Done {
                    heap.push(Reverse((due + period, i)));
                }
            }
        }
        timerfd_arm(tfd, next);

        let n = epoll_wait(ep, &mut evs, 1000);
        for ev in evs.iter().take(n) {
            let (key, flags) = (ev.u64, ev.events);
            if key == u64::MAX {
                let mut b = [0u8; 8];
                unsafe { libc::read(tfd, b.as_mut_ptr() as *mut _, 8) };
                continue;
            }
            let i = key as usize;
            let reopen = {
                let c = &mut cs[i];
                if c.st == St::Connecting {
                    let e = so_error(c.fd);
                    if e != 0 {
                        errors += 1;
                        mode == Mode::ConnRate
                    } else if flags & libc::EPOLLOUT as u32 != 0 {
                        connected += 1;
                        if c.armed_out {
                            epoll_mod(ep, c.fd, (libc::EPOLLIN | libc::EPOLLRDHUP) as u32, key);
                            c.armed_out = false;
                        }
                        c.st = St::Ready;
                        if mode == Mode::ConnRate {
                            let t0 = c.t0;
                            if !send(c, t0) {
                                errors += 1;
                                true
                            } else {
                                false
                            }
                        } else {
                            false
                        }
                    } else {
                        false
                    }
                } else if flags & libc::EPOLLIN as u32 != 0
                    || flags & (libc::EPOLLRDHUP | libc::EPOLLHUP | libc::EPOLLERR) as u32 != 0
                {
                    let r = unsafe { libc::recv(c.fd, rbuf.as_mut_ptr() as *mut _, rbuf.len(), 0) };
                    if r > 0 {
                        let r = r as usize;
                        let full: Option<u16> = if c.buf.is_empty() {
                            match complete(&rbuf[..r]) {
                                Some(s) => Some(s),
                                None => {
                                    c.buf.extend_from_slice(&rbuf[..r]);
                                    None
                                }
                            }
                        } else {
                            c.buf.extend_from_slice(&rbuf[..r]);
                            complete(&c.buf)
                        };
                        if let (Some(status), St::Waiting) = (full, c.st) {
                            let t = now();
                            total += 1;
                            if status != 200 {
                                bad_status += 1;
                            }
                            if c.t0 >= m_start && t <= m_end || mode == Mode::ConnRate {
                                done += 1;
                                let _ = hist.record(t.saturating_sub(c.t0).max(1000));
                            }
                            c.st = St::Ready;
                            c.buf.clear();
                            match mode {
                                Mode::Closed => {
                                    if !send(c, t) {
                                        errors += 1;
                                        c.st = St::Done;
                                    }
                                    false
                                }
                                Mode::Rate => {
                                    if c.slot > 0 {
                                        // Behind schedule: the oldest missed slot goes now.
                                        let due = c.t0 + period;
                                        c.slot -= 1;
                                        if !send(c, due) {
                                            errors += 1;
                                            c.st = St::Done;
                                        }
                                    }
                                    false
                                }
                                Mode::ConnRate => true,
                                Mode::Idle => {
                                    c.st = St::Done;
                                    false
                                }
                            }
                        } else {
                            false
                        }
                    } else if r == 0 || !would_block() {
                        if c.st != St::Done || mode == Mode::Idle {
                            errors += 1;
                        }
                        if mode != Mode::ConnRate {
                            epoll_del(ep, c.fd);
                            c.st = St::Done;
                        }
                        mode == Mode::ConnRate
                    } else {
                        false
                    }
                } else {
                    false
                }
            };
            if reopen {
                let c = &mut cs[i];
                unsafe { libc::close(c.fd) };
                match connect_nb(&addr) {
                    Ok(fd) => {
                        c.fd = fd;
                        c.st = St::Connecting;
                        c.t0 = now();
                        c.buf.clear();
                        c.armed_out = true;
                        epoll_add(ep, fd, (libc::EPOLLIN | libc::EPOLLOUT | libc::EPOLLRDHUP) as u32, key);
                    }
                    Err(_) => {
                        errors += 1;
                        c.st = St::Done;
                        c.fd = -1;
                    }
                }
            }
        }
        if mode == Mode::Idle && !ready_printed && total + errors >= conns as u64 {
            ready_printed = true;
            println!("READY {total} {errors}");
        }
    }
    let el = (now().min(m_end) - m_start.min(now())) as f64 / 1e9;
    let q = |p: f64| hist.value_at_quantile(p) as f64 / 1e3;
    println!(
        "{{\"done\":{done},\"total\":{total},\"secs\":{el:.4},\"rps\":{:.1},\"errors\":{errors},\"bad_status\":{bad_status},\"late\":{late},\"mean_us\":{:.1},\"p50_us\":{:.1},\"p90_us\":{:.1},\"p99_us\":{:.1},\"p999_us\":{:.1},\"max_us\":{:.1}}}",
        done as f64 / el.max(1e-9),
        hist.mean() / 1e3,
        q(0.5),
        q(0.9),
        q(0.99),
        q(0.999),
        hist.max() as f64 / 1e3
    );
}

/// The status of a complete response, or None while some of it is missing.
fn complete(b: &[u8]) -> Option<u16> {
    let h = find(b, b"\r\n\r\n")?;
    let status = std::str::from_utf8(b.get(9..12)?).ok()?.parse().ok()?;
    let head = &b[..h];
    let mut len = None;
    let mut chunked = false;
    for line in head.split(|c| *c == b'\n').skip(1) {
        if line.len() > 15 && line[..15].eq_ignore_ascii_case(b"content-length:") {
            len = std::str::from_utf8(&line[15..]).ok().and_then(|s| s.trim().parse::<usize>().ok());
        } else if line.len() > 18 && line[..18].eq_ignore_ascii_case(b"transfer-encoding:") {
            chunked = true;
        }
    }
    if chunked {
        return if b.ends_with(b"0\r\n\r\n") { Some(status) } else { None };
    }
    if b.len() >= h + 4 + len.unwrap_or(0) { Some(status) } else { None }
}

fn bulk(args: &[String]) {
    let addr: SocketAddr = arg(args, "addr").expect("--addr").parse().expect("addr");
    let conns = num(args, "conns", 1.0) as usize;
    let mib = num(args, "mib", 256.0) as u64;
    let down = arg(args, "dir").unwrap_or_else(|| "down".into()) == "down";
    let per = mib * 1024 * 1024 / conns as u64;
    let ep = epoll_create();
    let mut left = vec![per; conns];
    let mut fds = vec![];
    let data = vec![0x5au8; 256 * 1024];
    let mut rbuf = vec![0u8; 1024 * 1024];
    // Set up: connect and say what is wanted, with blocking calls.
    for i in 0..conns {
        let fd = connect_blocking(&addr).expect("connect");
        fds.push(fd);
        if down {
            epoll_add(ep, fd, libc::EPOLLIN as u32, i as u64);
        } else {
            epoll_add(ep, fd, (libc::EPOLLOUT | libc::EPOLLIN) as u32, i as u64);
        }
    }
    let t0 = now();
    for &fd in &fds {
        let mut cmd = [0u8; 9];
        cmd[0] = if down { b'D' } else { b'U' };
        cmd[1..].copy_from_slice(&per.to_be_bytes());
        assert_eq!(unsafe { libc::send(fd, cmd.as_ptr() as *const _, 9, libc::MSG_NOSIGNAL) }, 9);
        set_nonblocking(fd);
    }
    let mut open = conns;
    let mut errors = 0;
    let mut evs: Vec<libc::epoll_event> = vec![unsafe { std::mem::zeroed() }; 64];
    let stop = t0 + 120_000_000_000;
    while open > 0 && now() < stop {
        let n = epoll_wait(ep, &mut evs, 1000);
        for ev in evs.iter().take(n) {
            let i = ev.u64 as usize;
            let fd = fds[i];
            if down {
                let r = unsafe { libc::recv(fd, rbuf.as_mut_ptr() as *mut _, rbuf.len(), 0) };
                if r > 0 {
                    left[i] -= r as u64;
                    if left[i] == 0 {
                        open -= 1;
                        epoll_del(ep, fd);
                    }
                } else if r == 0 || !would_block() {
                    errors += 1;
                    open -= 1;
                    epoll_del(ep, fd);
                }
            } else {
                if left[i] > 0 {
                    let want = (left[i] as usize).min(data.len());
                    let r = unsafe { libc::send(fd, data.as_ptr() as *const _, want, libc::MSG_NOSIGNAL) };
                    if r > 0 {
                        left[i] -= r as u64;
                        if left[i] == 0 {
                            epoll_mod(ep, fd, libc::EPOLLIN as u32, i as u64);
                        }
                    } else if !would_block() {
                        errors += 1;
                        open -= 1;
                        epoll_del(ep, fd);
                    }
                } else {
                    // Wait for the one byte that says all has arrived.
                    let r = unsafe { libc::recv(fd, rbuf.as_mut_ptr() as *mut _, 1, 0) };
                    if r != 1 {
                        errors += 1;
                    }
                    open -= 1;
                    epoll_del(ep, fd);
                }
            }
        }
    }
    let el = (now() - t0) as f64 / 1e9;
    let moved: u64 = conns as u64 * per - left.iter().sum::<u64>();
    println!(
        "{{\"bytes\":{moved},\"secs\":{el:.4},\"mb_s\":{:.1},\"errors\":{errors},\"open\":{open}}}",
        moved as f64 / 1e6 / el
    );
}

pub fn find(h: &[u8], n: &[u8]) -> Option<usize> {
    h.windows(n.len()).position(|w| w == n)
}

#[allow(dead_code)]
fn last_err() -> io::Error {
    io::Error::last_os_error()
}
