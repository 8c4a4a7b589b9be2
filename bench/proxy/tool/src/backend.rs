//! The backend: a static HTTP/1.1 responder, and a source and sink of bytes.
use crate::sys::*;
use std::collections::HashMap;

enum Kind {
    Http,
    /// Opaque: 9 bytes of command ('D' or 'U' and a count), then the transfer.
    Tcp {
        cmd: Vec<u8>,
        down: u64,
        up: u64,
        ack: bool,
    },
}
struct Conn {
    kind: Kind,
    inb: Vec<u8>,
    out: Vec<u8>,
    want_out: bool,
}

pub fn run(h1: String, tcp: String, body: usize) {
    let resp = {
        let mut r = format!(
            "HTTP/1.1 200 OK\r\nserver: pbtool\r\ncontent-type: application/json\r\ncontent-length: {body}\r\n\r\n"
        )
        .into_bytes();
        r.extend(std::iter::repeat(b'x').take(body));
        r
    };
    let ep = epoll_create();
    let mut listeners: HashMap<i32, bool> = HashMap::new();
    for (list, is_http) in [(&h1, true), (&tcp, false)] {
        for a in list.split(',').filter(|s| !s.is_empty()) {
            let fd = listen(&a.parse().expect("addr"));
            epoll_add(ep, fd, libc::EPOLLIN as u32, fd as u64);
            listeners.insert(fd, is_http);
        }
    }
    println!("READY");
    let mut conns: HashMap<i32, Conn> = HashMap::new();
    let mut evs: Vec<libc::epoll_event> = vec![unsafe { std::mem::zeroed() }; 1024];
    let mut rbuf = vec![0u8; 1024 * 1024];
    let data = vec![0xa5u8; 256 * 1024];
    loop {
        let n = epoll_wait(ep, &mut evs, -1);
        for ev in evs.iter().take(n) {
            let (fd, flags) = (ev.u64 as i32, ev.events);
            if let Some(&is_http) = listeners.get(&fd) {
                while let Some(c) = accept(fd) {
                    epoll_add(ep, c, (libc::EPOLLIN | libc::EPOLLRDHUP) as u32, c as u64);
                    let kind = if is_http {
                        Kind::Http
                    } else {
                        Kind::Tcp { cmd: vec![], down: 0, up: 0, ack: false }
                    };
                    conns.insert(c, Conn { kind, inb: vec![], out: vec![], want_out: false });
                }
                continue;
            }
            let Some(c) = conns.get_mut(&fd) else { continue };
            let mut close = false;
            if flags & (libc::EPOLLIN | libc::EPOLLRDHUP | libc::EPOLLHUP | libc::EPOLLERR) as u32 != 0 {
                let r = unsafe { libc::recv(fd, rbuf.as_mut_ptr() as *mut _, rbuf.len(), 0) };
                if r > 0 {
                    let got = &rbuf[..r as usize];
                    match &mut c.kind {
                        Kind::Http => {
                            let n = if c.inb.is_empty() {
                                let (n, used) = requests(got);
                                c.inb.extend_from_slice(&got[used..]);
                                n
                            } else {
                                c.inb.extend_from_slice(got);
                                let (n, used) = requests(&c.inb);
                                c.inb.drain(..used);
                                n
                            };
                            if n == 1 && c.out.is_empty() {
                                close = !write_now(fd, &resp, &mut c.out);
                            } else if n > 0 {
                                for _ in 0..n {
                                    c.out.extend_from_slice(&resp);
                                }
                                close = !flush(fd, &mut c.out);
                            }
                        }
                        Kind::Tcp { cmd, down, up, ack } => {
                            let mut got = got;
                            if cmd.len() < 9 {
                                let t = got.len().min(9 - cmd.len());
                                cmd.extend_from_slice(&got[..t]);
                                got = &got[t..];
                                if cmd.len() == 9 {
                                    let n = u64::from_be_bytes(cmd[1..].try_into().unwrap());
                                    if cmd[0] == b'D' {
                                        *down = n
                                    } else {
                                        *up = n;
                                        *ack = true
                                    }
                                }
                            }
                            if !got.is_empty() {
                                *up = up.saturating_sub(got.len() as u64);
                            }
                            if *ack && *up == 0 {
                                *ack = false;
                                c.out.push(b'.');
                                close = !flush(fd, &mut c.out);
                            }
                        }
                    }
                } else if r == 0 || !would_block() {
                    close = true;
                }
            }
            if !close {
                if !c.out.is_empty() {
                    close = !flush(fd, &mut c.out);
                }
                let mut more = !c.out.is_empty();
                if let Kind::Tcp { down, .. } = &mut c.kind {
                    while *down > 0 {
                        let want = (*down as usize).min(data.len());
                        let r =
                            unsafe { libc::send(fd, data.as_ptr() as *const _, want, libc::MSG_NOSIGNAL) };
                        if r > 0 {
                            *down -= r as u64;
                        } else {
                            if !would_block() {
                                close = true;
                            }
                            break;
                        }
                    }
                    more |= *down > 0;
                }
                if more != c.want_out && !close {
                    c.want_out = more;
                    let e = libc::EPOLLIN | libc::EPOLLRDHUP | if more { libc::EPOLLOUT } else { 0 };
                    epoll_mod(ep, fd, e as u32, fd as u64);
                }
            }
            if close {
                conns.remove(&fd);
                unsafe { libc::close(fd) };
            }
        }
    }
}

fn write_now(fd: i32, b: &[u8], rest: &mut Vec<u8>) -> bool {
    let r = unsafe { libc::send(fd, b.as_ptr() as *const _, b.len(), libc::MSG_NOSIGNAL) };
    if r == b.len() as isize {
        return true;
    }
    if r >= 0 {
        rest.extend_from_slice(&b[r as usize..]);
        return true;
    }
    if would_block() {
        rest.extend_from_slice(b);
        return true;
    }
    false
}
fn flush(fd: i32, out: &mut Vec<u8>) -> bool {
    let r = unsafe { libc::send(fd, out.as_ptr() as *const _, out.len(), libc::MSG_NOSIGNAL) };
    if r >= 0 {
        out.drain(..r as usize);
        true
    } else {
        would_block()
    }
}

/// How many complete requests stand at the front of `b`, and how many bytes they take.
fn requests(b: &[u8]) -> (usize, usize) {
    let (mut n, mut at) = (0, 0);
    while let Some(h) = crate::find(&b[at..], b"\r\n\r\n") {
        let head = &b[at..at + h];
        let mut len = 0usize;
        for line in head.split(|c| *c == b'\n').skip(1) {
            if line.len() > 15 && line[..15].eq_ignore_ascii_case(b"content-length:") {
                len = std::str::from_utf8(&line[15..]).ok().and_then(|s| s.trim().parse().ok()).unwrap_or(0);
            }
        }
        if b.len() < at + h + 4 + len {
            break;
        }
        at += h + 4 + len;
        n += 1;
    }
    (n, at)
}
