//! The application: a responder of HTTP/1.1, and a source and sink of bytes.

use std::collections::HashMap;

use crate::http;
use crate::sys::{self, Epoll, HANGUP, IN, OUT};

const BODY: usize = 128;
const CHUNK: usize = 256 * 1024;
/// 'D' or 'U', and how many bytes.
const COMMAND: usize = 9;

enum Kind {
    Http { part: Vec<u8> },
    Bytes { command: Vec<u8>, down: u64, up: Option<u64> },
}

struct Connection {
    fd: i32,
    kind: Kind,
    out: Vec<u8>,
    /// Registered for OUT.
    blocked: bool,
}

struct Backend {
    epoll: Epoll,
    response: Vec<u8>,
    data: Vec<u8>,
    buffer: Vec<u8>,
}

/// Serves for ever: HTTP/1.1 on the first addresses, bytes on the others.
pub fn run(http: &str, bytes: &str) {
    sys::raise_descriptor_limit();
    let mut backend = Backend {
        epoll: Epoll::new(1024),
        response: response(),
        data: vec![0xa5; CHUNK],
        buffer: vec![0; 4 * CHUNK],
    };
    let mut listeners = HashMap::new();
    for (addresses, is_http) in [(http, true), (bytes, false)] {
        for address in addresses.split(',') {
            let fd = sys::listen(address.parse().expect("an address"));
            backend.epoll.add(fd, IN, fd as u64);
            listeners.insert(fd, is_http);
        }
    }
    println!("READY");
    let mut connections = HashMap::new();
    loop {
        for at in 0..backend.epoll.wait(-1) {
            let fd = backend.epoll.event(at).0 as i32;
            if let Some(is_http) = listeners.get(&fd) {
                backend.accept(fd, *is_http, &mut connections);
            } else if let Some(connection) = connections.get_mut(&fd)
                && backend.serve(connection).is_none()
            {
                connections.remove(&fd);
                sys::close(fd);
            }
        }
    }
}

fn response() -> Vec<u8> {
    let head = format!(
        "HTTP/1.1 200 OK\r\nserver: pbtool\r\ncontent-type: application/json\r\ncontent-length: {BODY}\r\n\r\n"
    );
    [head.as_bytes(), &[b'x'; BODY]].concat()
}

impl Backend {
    fn accept(&self, listener: i32, is_http: bool, connections: &mut HashMap<i32, Connection>) {
        while let Some(fd) = sys::accept(listener) {
            self.epoll.add(fd, IN | HANGUP, fd as u64);
            let kind = match is_http {
                true => Kind::Http { part: vec![] },
                false => Kind::Bytes { command: vec![], down: 0, up: None },
            };
            connections.insert(fd, Connection { fd, kind, out: vec![], blocked: false });
        }
    }

    /// Reads and writes what there is; None: the connection is over.
    fn serve(&mut self, connection: &mut Connection) -> Option<()> {
        if let Some(n) = sys::recv(connection.fd, &mut self.buffer) {
            if n == 0 {
                return None;
            }
            connection.take(&self.buffer[..n], &self.response);
        }
        let blocked = connection.write(&self.data)?;
        if blocked != connection.blocked {
            connection.blocked = blocked;
            let events = IN | HANGUP | if blocked { OUT } else { 0 };
            self.epoll.change(connection.fd, events, connection.fd as u64);
        }
        Some(())
    }
}

impl Connection {
    fn take(&mut self, bytes: &[u8], response: &[u8]) {
        match &mut self.kind {
            Kind::Http { part } => {
                part.extend_from_slice(bytes);
                let (count, used) = http::requests(part);
                part.drain(..used);
                (0..count).for_each(|_| self.out.extend_from_slice(response));
            }
            Kind::Bytes { command, down, up } => {
                let (head, rest) = bytes.split_at(bytes.len().min(COMMAND - command.len()));
                command.extend_from_slice(head);
                if !head.is_empty() && command.len() == COMMAND {
                    let count = u64::from_be_bytes(command[1..].try_into().expect("eight bytes"));
                    if command[0] == b'D' { *down = count } else { *up = Some(count) }
                }
                *up = up.map(|left| left.saturating_sub(rest.len() as u64));
                if *up == Some(0) {
                    *up = None;
                    self.out.push(b'.');
                }
            }
        }
    }

    /// Writes as much as goes; true when more is left, None when the connection is broken.
    fn write(&mut self, data: &[u8]) -> Option<bool> {
        if !self.out.is_empty() {
            let n = sys::send(self.fd, &self.out).or_else(|| sys::would_block().then_some(0))?;
            self.out.drain(..n);
        }
        let Kind::Bytes { down, .. } = &mut self.kind else { return Some(!self.out.is_empty()) };
        while *down > 0 {
            match sys::send(self.fd, &data[..data.len().min(*down as usize)]) {
                Some(n) => *down -= n as u64,
                None if sys::would_block() => return Some(true),
                None => return None,
            }
        }
        Some(!self.out.is_empty())
    }
}
