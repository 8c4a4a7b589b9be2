"""Clocks that are wrong by 20 s, each: real proxies, whose wall clock is not that of their peers and of identity."""

import time

import pytest
from mesh import HTTP1, MESHED, Mesh, eventually


@pytest.mark.parametrize(("account", "number", "seconds"), [("late", 3, -40), ("early", 4, 40)])
def test_clocks_that_are_wrong_do_no_harm(mesh: Mesh, account: str, number: int, seconds: int) -> None:
    """A proxy 20 s behind true time where identity and peers are 20 s ahead, and the reverse: it takes its certificate
    at once, and each side believes the other's."""
    with mesh.guest(account, number, seconds) as guest:
        begun = guest.metric("process_start_time_seconds")
        assert begun == pytest.approx(time.time() + seconds, abs=10)
        with guest.namespace.connect((MESHED, HTTP1)) as sock:
            sock.sendall(b"GET / HTTP/1.1\r\nHost: web.shop\r\nConnection: close\r\n\r\n")
            assert sock.recv(4096).startswith(b"HTTP/1.1 200 OK")
        peer = f'peer_identity="spiffe://cluster.local/ns/shop/sa/{account}"'
        eventually("the server knows it", lambda: mesh.server.metric("weft_requests_total", 'tls="true"', peer) == 1)
