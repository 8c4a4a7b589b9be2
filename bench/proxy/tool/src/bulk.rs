//! Bytes over one connection: asked for with 'D' and a count, or announced with 'U' and a count and acknowledged.

use std::net::SocketAddr;

use crate::sys::{self, Epoll, IN, OUT};

const GIVE_UP: u64 = 120_000_000_000;
const CHUNK: usize = 256 * 1024;

pub fn run(address: SocketAddr, down: bool, mib: u64) {
    let bytes = mib * 1024 * 1024;
    let fd = sys::connect_blocking(address).expect("a connection");
    let began = sys::now();
    let mut command = [if down { b'D' } else { b'U' }; 9];
    command[1..].copy_from_slice(&bytes.to_be_bytes());
    assert_eq!(Some(command.len()), sys::send(fd, &command), "the command");
    sys::set_nonblocking(fd);
    let left = if down { receive(fd, bytes, began) } else { transmit(fd, bytes, began) };
    let seconds = (sys::now() - began) as f64 / 1e9;
    let moved = bytes - left;
    let errors = u32::from(left > 0);
    let rate = moved as f64 / 1e6 / seconds;
    println!("{{\"bytes\":{moved},\"secs\":{seconds:.4},\"mb_per_s\":{rate:.1},\"errors\":{errors}}}");
}

/// Reads until all is there; returns what is missing.
fn receive(fd: i32, mut left: u64, began: u64) -> u64 {
    let mut epoll = Epoll::new(16);
    epoll.add(fd, IN, 0);
    let mut buffer = vec![0; 4 * CHUNK];
    while left > 0 && sys::now() - began < GIVE_UP {
        epoll.wait(1000);
        match sys::recv(fd, &mut buffer) {
            Some(0) => break,
            Some(n) => left -= n as u64,
            None => {}
        }
    }
    left
}

/// Writes all, then waits for the byte that says it arrived; returns what is missing.
fn transmit(fd: i32, bytes: u64, began: u64) -> u64 {
    let mut epoll = Epoll::new(16);
    epoll.add(fd, OUT, 0);
    let (data, mut left) = (vec![0x5a; CHUNK], bytes);
    while left > 0 && sys::now() - began < GIVE_UP {
        epoll.wait(1000);
        let n = sys::send(fd, &data[..CHUNK.min(left as usize)]);
        left -= n.unwrap_or(0) as u64;
    }
    epoll.change(fd, IN, 0);
    while sys::now() - began < GIVE_UP {
        epoll.wait(1000);
        match sys::recv(fd, &mut [0]) {
            Some(1) => return left,
            Some(_) => break,
            None => {}
        }
    }
    bytes
}
