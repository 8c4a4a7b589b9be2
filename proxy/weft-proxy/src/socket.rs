//! Sockets: listeners that share a port, where a redirected connection was going, and connecting in time.

use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::time::Duration;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};
use tokio::net::TcpStream;

const BACKLOG: i32 = 4096;
/// A peer is asked after so long in silence whether it is there; one that vanished is noticed by the ninth probe. The kernel
/// asks nothing while data is under way, and gives up after its own time (`tcp_retries2`): `TCP_USER_TIMEOUT` would end
/// readers that pause as well, see `expect_answers`.
const KEEPALIVE: Duration = Duration::from_secs(30);

/// Lets this process have as many sockets as it may: the soft limit is there for programs that use `select`.
pub fn lift_limit() -> io::Result<()> {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    Ok(setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?)
}

/// Listens on `addr`, ready to be taken over by a runtime; every worker does, and the kernel spreads connections among them.
///
/// `[::]` takes IPv4 as well; on a machine without IPv6 it becomes `0.0.0.0`.
pub fn listen(addr: SocketAddr) -> io::Result<TcpListener> {
    match bind(addr) {
        Err(e) if addr.ip() == IpAddr::from([0u16; 8]) && is_no_ipv6(&e) => {
            bind(([0, 0, 0, 0], addr.port()).into())
        }
        other => other,
    }
}

fn bind(addr: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
    if addr.is_ipv6() {
        socket.set_only_v6(addr.ip() != IpAddr::from([0u16; 8]))?;
    }
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    socket.set_nonblocking(true)?;
    // Every connection that it accepts inherits them (Linux): not asked for one by one.
    tune(SockRef::from(&socket))?;
    socket.bind(&addr.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// The machine has no IPv6, or none on this interface.
pub fn is_no_ipv6(e: &io::Error) -> bool {
    matches!(e.kind(), io::ErrorKind::AddrNotAvailable | io::ErrorKind::Unsupported)
        || e.raw_os_error() == Some(97)
}

/// Where the client was going before iptables redirected it here.
///
/// Without a redirection the kernel knows none, and the address of the listener itself comes back: a loop to refuse.
pub fn original_dst(stream: &TcpStream) -> io::Result<SocketAddr> {
    let local = canonical(stream.local_addr()?);
    let socket = SockRef::from(stream);
    let found = if local.is_ipv4() { socket.original_dst_v4() } else { socket.original_dst_v6() };
    Ok(found.ok().and_then(|a| a.as_socket()).map_or(local, canonical))
}

/// An IPv4 address that an IPv6 socket shows as `::ffff:a.b.c.d`, as plain IPv4.
pub fn canonical(addr: SocketAddr) -> SocketAddr {
    SocketAddr::new(addr.ip().to_canonical(), addr.port())
}

/// Options of every connection, accepted or made.
fn tune(socket: SockRef<'_>) -> io::Result<()> {
    socket.set_tcp_nodelay(true)?;
    socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(KEEPALIVE).with_interval(KEEPALIVE / 3))
}

/// Dropping the stream resets the connection.
pub fn reset(stream: &TcpStream) -> io::Result<()> {
    SockRef::from(stream).set_linger(Some(Duration::ZERO))
}

/// Gives up a peer of the mesh that acknowledges nothing for `limit`: its machine is gone, or the way to it. Not for
/// bytes of applications: a reader that pauses acknowledges, but its closed window counts as well.
pub fn expect_answers(stream: &TcpStream, limit: Duration) -> io::Result<()> {
    SockRef::from(stream).set_tcp_user_timeout(Some(limit))
}

/// Connects within `limit`.
pub async fn connect(addr: SocketAddr, limit: Duration) -> io::Result<TcpStream> {
    let stream = tokio::time::timeout(limit, TcpStream::connect(addr)).await.map_err(|_| {
        io::Error::new(io::ErrorKind::TimedOut, format!("no answer within {} ms", limit.as_millis()))
    })??;
    tune(SockRef::from(&stream))?;
    Ok(stream)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listener(addr: &str) -> (tokio::net::TcpListener, SocketAddr) {
        let listener = listen(addr.parse().unwrap()).unwrap();
        let addr = listener.local_addr().unwrap();
        (tokio::net::TcpListener::from_std(listener).unwrap(), addr)
    }

    /// A connection that nobody redirected shows the listener's own address.
    #[tokio::test]
    async fn direct_connection_shows_the_listener() {
        let (listener, addr) = listener("127.0.0.1:0");
        let (_client, accepted) = tokio::join!(TcpStream::connect(addr), listener.accept());
        assert_eq!(addr, original_dst(&accepted.unwrap().0).unwrap());
    }

    /// What is accepted sends at once, and notices a client that vanished, as what is dialled does.
    #[tokio::test]
    async fn accepted_connections_inherit_their_options() {
        let (listener, addr) = listener("127.0.0.1:0");
        let (_client, accepted) = tokio::join!(TcpStream::connect(addr), listener.accept());
        let stream = accepted.unwrap().0;
        let socket = SockRef::from(&stream);
        assert!(socket.tcp_nodelay().unwrap() && socket.keepalive().unwrap());
        let probes = (socket.tcp_keepalive_time().unwrap(), socket.tcp_keepalive_interval().unwrap());
        assert_eq!((KEEPALIVE, KEEPALIVE / 3), probes);
    }

    /// An address that never answers is given up in time: here one whose queue is full, to which the kernel says nothing.
    #[tokio::test]
    async fn silence_is_given_up() {
        let new = || Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        let full = new();
        full.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
        full.listen(0).unwrap();
        let addr = full.local_addr().unwrap();
        let queue = [(); 3].map(|()| new());
        for waiting in &queue {
            waiting.set_nonblocking(true).unwrap();
            let _ = waiting.connect(&addr);
        }
        let error = connect(addr.as_socket().unwrap(), Duration::from_millis(20)).await.unwrap_err();
        assert_eq!("no answer within 20 ms", error.to_string());
    }

    /// Two workers share one port.
    #[tokio::test]
    async fn a_port_is_shared() {
        let (_first, addr) = listener("127.0.0.1:0");
        assert!(listen(addr).is_ok());
    }

    /// The dual-stack listener takes IPv4 clients, and they look like IPv4.
    #[tokio::test]
    async fn dual_stack_takes_ipv4() {
        let (listener, addr) = listener("[::]:0");
        let port = addr.port();
        let (_client, accepted) = tokio::join!(TcpStream::connect(("127.0.0.1", port)), listener.accept());
        assert_eq!(IpAddr::from([127, 0, 0, 1]), canonical(accepted.unwrap().1).ip());
    }
}
