//! Load of HTTP/1.1 GETs, and how long their answers took.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::net::SocketAddr;

use hdrhistogram::Histogram;

use crate::http;
use crate::sys::{self, Epoll, HANGUP, IN, OUT};

const REQUEST: &[u8] =
    b"GET /bench/item/42?x=1 HTTP/1.1\r\nhost: web.shop\r\nuser-agent: pbtool/1\r\naccept: */*\r\n\
    x-request-id: 7d5a1c8e-4b0e-4c1f-9d55-0d4e6c6f0a11\r\n\r\n";
/// Connects under way at once, so that no accept queue overflows.
const MAX_CONNECTING: usize = 256;
const SECOND: u64 = 1_000_000_000;
/// For connections to come about; then for answers that are late.
const PATIENCE: u64 = 60 * SECOND;
const TIMER: u64 = u64::MAX;

/// What each connection does.
#[derive(Clone, Copy)]
pub enum Plan {
    /// One request every `period` ns, on a schedule that does not wait for answers.
    Rate { period: u64, warmup: f64, seconds: f64 },
    /// Connects, sends one request, closes, again.
    Connect { seconds: f64 },
    /// One request, then silence.
    Idle,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Connecting,
    Ready,
    Waiting,
    Over,
}

struct Connection {
    fd: i32,
    state: State,
    /// When the request under way was due.
    due: u64,
    /// Requests that became due while it was under way.
    missed: u64,
    answer: Vec<u8>,
}

/// What was counted; latencies in ns.
struct Tally {
    latency: Histogram<u64>,
    total: u64,
    measured: u64,
    errors: u64,
    bad_status: u64,
}

struct Load {
    address: SocketAddr,
    plan: Plan,
    epoll: Epoll,
    timer: i32,
    connections: Vec<Connection>,
    wanted: usize,
    connected: usize,
    schedule: BinaryHeap<Reverse<(u64, usize)>>,
    tally: Tally,
    /// The schedule's begin, 0 before; latencies count from `measure_from` to `end`.
    begin: u64,
    measure_from: u64,
    end: u64,
    buffer: Vec<u8>,
}

/// Runs the plan and prints what came of it.
pub fn run(address: SocketAddr, connections: usize, plan: Plan) {
    sys::raise_descriptor_limit();
    let mut load = Load::new(address, connections, plan);
    let give_up = sys::now() + PATIENCE;
    while load.begin == 0 && sys::now() < give_up {
        load.connect_more();
        if load.connected == load.wanted || matches!(plan, Plan::Connect { .. }) {
            load.start();
        } else {
            load.wait(give_up);
        }
    }
    let mut told = false;
    while sys::now() < load.end {
        let next = load.send_due();
        load.wait(next);
        if matches!(plan, Plan::Idle) && !told && load.tally.total + load.tally.errors >= connections as u64 {
            told = true;
            println!("READY {} {}", load.tally.total, load.tally.errors);
        }
    }
    load.report();
}

impl Load {
    fn new(address: SocketAddr, wanted: usize, plan: Plan) -> Self {
        let (epoll, timer) = (Epoll::new(1024), sys::timer());
        epoll.add(timer, IN, TIMER);
        let latency = Histogram::new_with_bounds(1_000, 120 * SECOND, 3).expect("a histogram");
        Self {
            address,
            plan,
            epoll,
            timer,
            connections: Vec::with_capacity(wanted),
            wanted,
            connected: 0,
            schedule: BinaryHeap::new(),
            tally: Tally { latency, total: 0, measured: 0, errors: 0, bad_status: 0 },
            begin: 0,
            measure_from: 0,
            end: 0,
            buffer: vec![0; 256 * 1024],
        }
    }

    fn connect_more(&mut self) {
        while self.connections.len() < self.wanted && self.connections.len() - self.connected < MAX_CONNECTING
        {
            let number = self.connections.len();
            let fd = self.open(number);
            self.connections.push(Connection {
                fd,
                state: State::Connecting,
                due: sys::now(),
                missed: 0,
                answer: vec![],
            });
        }
    }

    fn open(&self, number: usize) -> i32 {
        let fd = sys::connect(self.address).expect("a socket");
        self.epoll.add(fd, IN | OUT | HANGUP, number as u64);
        fd
    }

    /// All connections are there (or make themselves as they go): the measurement begins.
    fn start(&mut self) {
        self.begin = sys::now() + SECOND / 200;
        let (warmup, seconds) = match self.plan {
            Plan::Rate { warmup, seconds, .. } => (warmup, seconds),
            Plan::Connect { seconds } => (0.0, seconds),
            Plan::Idle => (0.0, f64::from(u32::MAX)),
        };
        self.measure_from = self.begin + (warmup * 1e9) as u64;
        self.end = self.measure_from + (seconds * 1e9) as u64;
        if matches!(self.plan, Plan::Connect { .. }) {
            self.connect_more();
            return;
        }
        // Spread evenly over a period; those that send only once, over a second.
        let period = if let Plan::Rate { period, .. } = self.plan { period } else { SECOND };
        for number in 0..self.wanted {
            let offset = (u128::from(period) * number as u128 / self.wanted as u128) as u64;
            self.schedule.push(Reverse((self.begin + offset, number)));
        }
    }

    /// Sends what is due; returns when the next is.
    fn send_due(&mut self) -> u64 {
        let now = sys::now();
        while let Some(&Reverse((due, number))) = self.schedule.peek() {
            if due > now {
                return due.min(self.end);
            }
            self.schedule.pop();
            match self.connections[number].state {
                State::Ready => self.send(number, due),
                State::Waiting => self.connections[number].missed += 1,
                State::Connecting | State::Over => {}
            }
            if let (Plan::Rate { period, .. }, true) =
                (self.plan, self.connections[number].state != State::Over)
            {
                self.schedule.push(Reverse((due + period, number)));
            }
        }
        self.end
    }

    fn send(&mut self, number: usize, due: u64) {
        let connection = &mut self.connections[number];
        (connection.due, connection.state) = (due, State::Waiting);
        connection.answer.clear();
        if sys::send(connection.fd, REQUEST) != Some(REQUEST.len()) {
            self.fail(number);
        }
    }

    fn fail(&mut self, number: usize) {
        self.tally.errors += 1;
        self.connections[number].state = State::Over;
        if let Plan::Connect { .. } = self.plan {
            self.reconnect(number);
        } else {
            self.epoll.remove(self.connections[number].fd);
        }
    }

    /// Handles what has happened, or waits for it until `until`.
    fn wait(&mut self, until: u64) {
        sys::arm(self.timer, until);
        for at in 0..self.epoll.wait(1000) {
            let (number, events) = self.epoll.event(at);
            if number == TIMER {
                sys::drain_timer(self.timer);
                continue;
            }
            let number = number as usize;
            match self.connections[number].state {
                State::Connecting => self.connecting(number, events),
                State::Over if !matches!(self.plan, Plan::Idle) => {}
                _ => self.read(number),
            }
        }
    }

    fn connecting(&mut self, number: usize, events: u32) {
        let fd = self.connections[number].fd;
        if sys::failed(fd) {
            self.fail(number);
        } else if events & OUT != 0 {
            self.connected += 1;
            self.epoll.change(fd, IN | HANGUP, number as u64);
            self.connections[number].state = State::Ready;
            if let Plan::Connect { .. } = self.plan {
                self.send(number, self.connections[number].due);
            }
        }
    }

    fn read(&mut self, number: usize) {
        let connection = &mut self.connections[number];
        let n = match sys::recv(connection.fd, &mut self.buffer) {
            Some(0) => return self.fail(number),
            Some(n) => n,
            None => return,
        };
        let status = if connection.answer.is_empty() { http::response(&self.buffer[..n]) } else { None };
        let status = status.or_else(|| {
            connection.answer.extend_from_slice(&self.buffer[..n]);
            http::response(&connection.answer)
        });
        if let (Some(status), State::Waiting) = (status, connection.state) {
            self.answered(number, status);
        }
    }

    fn answered(&mut self, number: usize, status: u16) {
        let (now, due) = (sys::now(), self.connections[number].due);
        self.tally.total += 1;
        self.tally.bad_status += u64::from(status != 200);
        if due >= self.measure_from && now <= self.end {
            self.tally.measured += 1;
            self.tally.latency.saturating_record(now.saturating_sub(due).max(1000));
        }
        match self.plan {
            Plan::Rate { period, .. } => {
                self.connections[number].state = State::Ready;
                if self.connections[number].missed > 0 {
                    self.connections[number].missed -= 1;
                    self.send(number, due + period);
                }
            }
            Plan::Connect { .. } => self.reconnect(number),
            Plan::Idle => self.connections[number].state = State::Over,
        }
    }

    fn reconnect(&mut self, number: usize) {
        sys::close(self.connections[number].fd);
        let fd = self.open(number);
        let answer = std::mem::take(&mut self.connections[number].answer);
        self.connections[number] =
            Connection { fd, state: State::Connecting, due: sys::now(), missed: 0, answer };
        self.connections[number].answer.clear();
    }

    fn report(&self) {
        let Tally { latency, total, measured, errors, bad_status } = &self.tally;
        let seconds = (self.end - self.measure_from) as f64 / 1e9;
        let us = |quantile| latency.value_at_quantile(quantile) as f64 / 1e3;
        println!(
            "{{\"total\":{total},\"rps\":{:.1},\"errors\":{errors},\"bad_status\":{bad_status},\"p50_us\":{:.1},\"p99_us\":{:.1},\"p999_us\":{:.1}}}",
            *measured as f64 / seconds,
            us(0.5),
            us(0.99),
            us(0.999)
        );
    }
}
