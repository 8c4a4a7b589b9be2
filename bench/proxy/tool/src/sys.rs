//! The system calls that the tool needs; the only file with unsafe code.

use std::io;
use std::mem::{size_of_val, zeroed};
use std::net::SocketAddr;

pub const IN: u32 = libc::EPOLLIN as u32;
pub const OUT: u32 = libc::EPOLLOUT as u32;
pub const HANGUP: u32 = libc::EPOLLRDHUP as u32;

/// Nanoseconds of the monotonic clock.
pub fn now() -> u64 {
    let mut t = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut t) };
    t.tv_sec as u64 * 1_000_000_000 + t.tv_nsec as u64
}

pub fn raise_descriptor_limit() {
    unsafe {
        let mut limit: libc::rlimit = zeroed();
        libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit);
        limit.rlim_cur = limit.rlim_max;
        libc::setrlimit(libc::RLIMIT_NOFILE, &limit);
    }
}

pub struct Epoll {
    fd: i32,
    events: Vec<libc::epoll_event>,
}

impl Epoll {
    /// For so many events at once.
    pub fn new(events: usize) -> Self {
        let fd = unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) };
        assert!(fd >= 0, "epoll: {}", io::Error::last_os_error());
        Self { fd, events: vec![libc::epoll_event { events: 0, u64: 0 }; events] }
    }

    pub fn add(&self, fd: i32, events: u32, key: u64) {
        assert_eq!(
            0,
            self.control(libc::EPOLL_CTL_ADD, fd, events, key),
            "epoll: {}",
            io::Error::last_os_error()
        );
    }

    pub fn change(&self, fd: i32, events: u32, key: u64) {
        self.control(libc::EPOLL_CTL_MOD, fd, events, key);
    }

    pub fn remove(&self, fd: i32) {
        self.control(libc::EPOLL_CTL_DEL, fd, 0, 0);
    }

    fn control(&self, operation: i32, fd: i32, events: u32, key: u64) -> i32 {
        let mut event = libc::epoll_event { events, u64: key };
        unsafe { libc::epoll_ctl(self.fd, operation, fd, &mut event) }
    }

    /// How many events there are, after `ms` at most (-1: for ever).
    pub fn wait(&mut self, ms: i32) -> usize {
        let n = unsafe { libc::epoll_wait(self.fd, self.events.as_mut_ptr(), self.events.len() as i32, ms) };
        n.max(0) as usize
    }

    /// Key and events.
    pub fn event(&self, at: usize) -> (u64, u32) {
        (self.events[at].u64, self.events[at].events)
    }
}

pub fn timer() -> i32 {
    unsafe { libc::timerfd_create(libc::CLOCK_MONOTONIC, libc::TFD_NONBLOCK | libc::TFD_CLOEXEC) }
}

/// Lets the timer be readable at a time.
pub fn arm(timer: i32, at: u64) {
    let it_value =
        libc::timespec { tv_sec: (at / 1_000_000_000) as i64, tv_nsec: (at % 1_000_000_000).max(1) as i64 };
    let once = libc::itimerspec { it_interval: libc::timespec { tv_sec: 0, tv_nsec: 0 }, it_value };
    unsafe { libc::timerfd_settime(timer, libc::TFD_TIMER_ABSTIME, &once, std::ptr::null_mut()) };
}

pub fn drain_timer(timer: i32) {
    let mut expirations = 0u64;
    unsafe { libc::read(timer, (&raw mut expirations).cast(), 8) };
}

/// Bytes read, 0 at the end or after an error, None when there is nothing now.
pub fn recv(fd: i32, buffer: &mut [u8]) -> Option<usize> {
    let n = unsafe { libc::recv(fd, buffer.as_mut_ptr().cast(), buffer.len(), 0) };
    if n < 0 && would_block() { None } else { Some(n.max(0) as usize) }
}

/// Bytes written, None when nothing was: see `would_block`.
pub fn send(fd: i32, bytes: &[u8]) -> Option<usize> {
    let n = unsafe { libc::send(fd, bytes.as_ptr().cast(), bytes.len(), libc::MSG_NOSIGNAL) };
    usize::try_from(n).ok()
}

/// Whether the last call failed only for now.
pub fn would_block() -> bool {
    matches!(io::Error::last_os_error().raw_os_error(), Some(libc::EAGAIN | libc::EINTR))
}

/// Whether connecting failed.
pub fn failed(fd: i32) -> bool {
    let (mut error, mut length) = (0i32, 4u32);
    unsafe { libc::getsockopt(fd, libc::SOL_SOCKET, libc::SO_ERROR, (&raw mut error).cast(), &mut length) };
    error != 0
}

pub fn set_nonblocking(fd: i32) {
    unsafe { libc::fcntl(fd, libc::F_SETFL, libc::fcntl(fd, libc::F_GETFL) | libc::O_NONBLOCK) };
}

fn set_nodelay(fd: i32) {
    let on = 1i32;
    unsafe { libc::setsockopt(fd, libc::IPPROTO_TCP, libc::TCP_NODELAY, (&raw const on).cast(), 4) };
}

fn ipv4(address: SocketAddr) -> libc::sockaddr_in {
    let SocketAddr::V4(address) = address else { panic!("{address} is not IPv4") };
    libc::sockaddr_in {
        sin_family: libc::AF_INET as u16,
        sin_port: address.port().to_be(),
        sin_addr: libc::in_addr { s_addr: u32::from_ne_bytes(address.ip().octets()) },
        sin_zero: [0; 8],
    }
}

fn socket(flags: i32) -> i32 {
    unsafe { libc::socket(libc::AF_INET, libc::SOCK_STREAM | libc::SOCK_CLOEXEC | flags, 0) }
}

/// A connection that is being made.
pub fn connect(address: SocketAddr) -> io::Result<i32> {
    dial(address, libc::SOCK_NONBLOCK)
}

pub fn connect_blocking(address: SocketAddr) -> io::Result<i32> {
    dial(address, 0)
}

fn dial(address: SocketAddr, flags: i32) -> io::Result<i32> {
    let (fd, to) = (socket(flags), ipv4(address));
    set_nodelay(fd);
    let done = unsafe { libc::connect(fd, (&raw const to).cast(), size_of_val(&to) as u32) };
    let error = io::Error::last_os_error();
    if done == 0 || error.raw_os_error() == Some(libc::EINPROGRESS) {
        return Ok(fd);
    }
    close(fd);
    Err(error)
}

pub fn listen(address: SocketAddr) -> i32 {
    let (fd, at, on) = (socket(libc::SOCK_NONBLOCK), ipv4(address), 1i32);
    unsafe {
        libc::setsockopt(fd, libc::SOL_SOCKET, libc::SO_REUSEADDR, (&raw const on).cast(), 4);
        assert_eq!(0, libc::bind(fd, (&raw const at).cast(), size_of_val(&at) as u32), "bind {address}");
        assert_eq!(0, libc::listen(fd, 4096), "listen {address}");
    }
    fd
}

pub fn accept(listener: i32) -> Option<i32> {
    let null = std::ptr::null_mut();
    let fd = unsafe { libc::accept4(listener, null, null.cast(), libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC) };
    if fd < 0 {
        return None;
    }
    set_nodelay(fd);
    Some(fd)
}

pub fn close(fd: i32) {
    unsafe { libc::close(fd) };
}
