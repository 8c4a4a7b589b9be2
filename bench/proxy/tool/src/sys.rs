//! The few system calls that pbtool needs.
use std::io;
use std::net::SocketAddr;

pub fn now() -> u64 {
    let mut t = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut t) };
    t.tv_sec as u64 * 1_000_000_000 + t.tv_nsec as u64
}
pub fn raise_nofile() {
    unsafe {
        let mut r: libc::rlimit = std::mem::zeroed();
        libc::getrlimit(libc::RLIMIT_NOFILE, &mut r);
        r.rlim_cur = r.rlim_max;
        libc::setrlimit(libc::RLIMIT_NOFILE, &r);
    }
}
pub fn epoll_create() -> i32 {
    unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) }
}
pub fn epoll_add(ep: i32, fd: i32, events: u32, key: u64) {
    let mut e = libc::epoll_event { events, u64: key };
    assert_eq!(unsafe { libc::epoll_ctl(ep, libc::EPOLL_CTL_ADD, fd, &mut e) }, 0);
}
pub fn epoll_mod(ep: i32, fd: i32, events: u32, key: u64) {
    let mut e = libc::epoll_event { events, u64: key };
    unsafe { libc::epoll_ctl(ep, libc::EPOLL_CTL_MOD, fd, &mut e) };
}
pub fn epoll_del(ep: i32, fd: i32) {
    unsafe { libc::epoll_ctl(ep, libc::EPOLL_CTL_DEL, fd, std::ptr::null_mut()) };
}
pub fn epoll_wait(ep: i32, evs: &mut [libc::epoll_event], ms: i32) -> usize {
    let n = unsafe { libc::epoll_wait(ep, evs.as_mut_ptr(), evs.len() as i32, ms) };
    n.max(0) as usize
}
pub fn timerfd() -> i32 {
    unsafe { libc::timerfd_create(libc::CLOCK_MONOTONIC, libc::TFD_NONBLOCK | libc::TFD_CLOEXEC) }
}
pub fn timerfd_arm(fd: i32, at_ns: u64) {
    let v = libc::itimerspec {
        it_interval: libc::timespec { tv_sec: 0, tv_nsec: 0 },
        it_value: libc::timespec {
            tv_sec: (at_ns / 1_000_000_000) as i64,
            tv_nsec: (at_ns % 1_000_000_000).max(1) as i64,
        },
    };
    unsafe { libc::timerfd_settime(fd, libc::TFD_TIMER_ABSTIME, &v, std::ptr::null_mut()) };
}
pub fn would_block() -> bool {
    matches!(io::Error::last_os_error().raw_os_error(), Some(libc::EAGAIN) | Some(libc::EINTR))
}
pub fn so_error(fd: i32) -> i32 {
    let mut e: i32 = 0;
    let mut l = 4u32;
    unsafe { libc::getsockopt(fd, libc::SOL_SOCKET, libc::SO_ERROR, &mut e as *mut _ as *mut _, &mut l) };
    e
}
pub fn set_nonblocking(fd: i32) {
    unsafe {
        let f = libc::fcntl(fd, libc::F_GETFL);
        libc::fcntl(fd, libc::F_SETFL, f | libc::O_NONBLOCK);
    }
}
fn nodelay(fd: i32) {
    let one: i32 = 1;
    unsafe { libc::setsockopt(fd, libc::IPPROTO_TCP, libc::TCP_NODELAY, &one as *const _ as *const _, 4) };
}
fn sockaddr(a: &SocketAddr) -> libc::sockaddr_in {
    match a {
        SocketAddr::V4(v) => libc::sockaddr_in {
            sin_family: libc::AF_INET as u16,
            sin_port: v.port().to_be(),
            sin_addr: libc::in_addr { s_addr: u32::from_ne_bytes(v.ip().octets()) },
            sin_zero: [0; 8],
        },
        _ => panic!("IPv4 only"),
    }
}
pub fn connect_nb(a: &SocketAddr) -> io::Result<i32> {
    let fd = unsafe {
        libc::socket(libc::AF_INET, libc::SOCK_STREAM | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC, 0)
    };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    nodelay(fd);
    let sa = sockaddr(a);
    let r = unsafe { libc::connect(fd, &sa as *const _ as *const _, std::mem::size_of_val(&sa) as u32) };
    if r < 0 && io::Error::last_os_error().raw_os_error() != Some(libc::EINPROGRESS) {
        let e = io::Error::last_os_error();
        unsafe { libc::close(fd) };
        return Err(e);
    }
    Ok(fd)
}
pub fn connect_blocking(a: &SocketAddr) -> io::Result<i32> {
    let fd = unsafe { libc::socket(libc::AF_INET, libc::SOCK_STREAM | libc::SOCK_CLOEXEC, 0) };
    nodelay(fd);
    let sa = sockaddr(a);
    let r = unsafe { libc::connect(fd, &sa as *const _ as *const _, std::mem::size_of_val(&sa) as u32) };
    if r < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(fd)
}
pub fn listen(a: &SocketAddr) -> i32 {
    let fd = unsafe {
        libc::socket(libc::AF_INET, libc::SOCK_STREAM | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC, 0)
    };
    let one: i32 = 1;
    unsafe { libc::setsockopt(fd, libc::SOL_SOCKET, libc::SO_REUSEADDR, &one as *const _ as *const _, 4) };
    let sa = sockaddr(a);
    assert_eq!(
        unsafe { libc::bind(fd, &sa as *const _ as *const _, std::mem::size_of_val(&sa) as u32) },
        0,
        "bind {a}"
    );
    assert_eq!(unsafe { libc::listen(fd, 4096) }, 0);
    fd
}
pub fn accept(fd: i32) -> Option<i32> {
    let c = unsafe {
        libc::accept4(
            fd,
            std::ptr::null_mut(),
            std::ptr::null_mut(),
            libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC,
        )
    };
    if c < 0 {
        return None;
    }
    nodelay(c);
    Some(c)
}
