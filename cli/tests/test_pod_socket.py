"""Port-forward: a socket whose bytes go over a WebSocket, against another implementation of both."""

import asyncio
import socket
from contextlib import AsyncExitStack

import pytest
from aiohttp import WSMsgType, web
from hypothesis import given
from hypothesis import strategies as st
from weft.cluster import Kube
from weft.errors import Failure
from weft.kubeconfig import Access
from weft.pod_socket import BINARY, Frames, Port, frame
from weft.transport import Transport
from weft_testkit.listen import listen

PATH = "/api/v1/namespaces/{namespace}/pods/{pod}/portforward"
NUMBER = (8084).to_bytes(2, "little")


def unmasked(size: int, payload: bytes) -> bytes:
    """A server's frame."""
    head = bytes([size]) if size < 126 else b"\x7e" + size.to_bytes(2) if size < 1 << 16 else b"\x7f" + size.to_bytes(8)
    return bytes([0x80 | BINARY]) + head + payload


@given(st.lists(st.binary(max_size=300)), st.integers(1, 50))
def test_frames_are_found_however_the_bytes_come(payloads: list[bytes], step: int) -> None:
    """In whatever pieces."""
    data = b"".join(unmasked(len(payload), payload) for payload in payloads)
    frames = Frames()
    pieces = [data[start : start + step] for start in range(0, len(data), step)]
    found = [one for piece in pieces for one in frames.feed(piece)]
    assert found == [(BINARY, payload) for payload in payloads]


@pytest.mark.parametrize("size", [125, 126, 65535, 65536])
def test_sizes_have_three_forms(size: int) -> None:
    """Of either side."""
    payload = bytes(size)
    assert list(Frames().feed(unmasked(size, payload))) == [(BINARY, payload)]
    assert len(frame(BINARY, payload)) == size + (6 if size < 126 else 8 if size < 1 << 16 else 14)


@given(st.lists(st.binary(max_size=5)))
def test_a_port_begins_with_its_number(pieces: list[bytes]) -> None:
    """Which may come in pieces; what the other channel says is none of its bytes."""
    port = Port()
    found = b"".join(port.data(BINARY, bytes([0]) + piece) + port.data(BINARY, b"\x01broken") for piece in pieces)
    assert found == b"".join(pieces)[2:]


async def pod(request: web.Request) -> web.StreamResponse:
    """A pod whose port 8084 says everything twice, and says good-bye after b"end"."""
    if request.match_info["pod"] == "gone":
        return web.json_response({"message": 'pods "gone" not found'}, status=404)
    answer = web.WebSocketResponse(protocols=["v4.channel.k8s.io"])
    await answer.prepare(request)
    assert (answer.ws_protocol, request.query["ports"]) == ("v4.channel.k8s.io", "8084")
    await answer.send_bytes(b"\x00" + NUMBER)
    await answer.send_bytes(b"\x01" + NUMBER)
    await answer.ping()
    async for message in answer:
        assert (message.type, message.data[0]) == (WSMsgType.BINARY, 0)
        await answer.send_bytes(message.data + message.data[1:])
        if message.data.endswith(b"end"):
            break
    await answer.close()
    return answer


async def asked(name: str, says: bytes) -> bytes:
    """What a pod answers until it ends."""
    app = web.Application()
    app.router.add_get(PATH, pod)
    async with AsyncExitStack() as stack:
        server = await listen(app, stack)
        kube = Kube(Transport(Access({"server": server}, {}, "")), "")
        return await asyncio.to_thread(talk, kube, name, says)


def talk(kube: Kube, name: str, says: bytes) -> bytes:
    """Say it all, and listen to the end."""
    with kube.forward("shop", name, 8084) as connection:
        connection.sendall(says)
        answer = b""
        while data := connection.recv(1 << 20):
            answer += data
        return answer


async def test_a_pod_answers() -> None:
    """Bytes in both directions, more than fit into one frame, until the pod ends the connection."""
    says = bytes(range(256)) * 1000 + b"end"
    answer = await asked("web", says)
    assert (len(answer), answer[:256]) == (2 * len(says), says[:256])


async def test_a_pod_that_is_gone() -> None:
    """The API server's words."""
    with pytest.raises(Failure) as caught:
        await asked("gone", b"")
    assert caught.value.format_message() == (
        'cannot port-forward to shop/gone:8084: pods "gone" not found. '
        "See that the pod runs and that you may create pods/portforward in its namespace."
    )


async def test_who_hangs_up_ends_the_other_side() -> None:
    """The pod learns of it."""
    ended = asyncio.Event()

    async def silent(request: web.Request) -> web.StreamResponse:
        answer = web.WebSocketResponse()
        await answer.prepare(request)
        async for _ in answer:
            pass
        ended.set()
        return answer

    app = web.Application()
    app.router.add_get(PATH, silent)
    async with AsyncExitStack() as stack:
        kube = Kube(Transport(Access({"server": await listen(app, stack)}, {}, "")), "")
        connection = await asyncio.to_thread(kube.forward, "shop", "web", 8084)
        assert isinstance(connection, socket.socket)
        connection.close()
        await asyncio.wait_for(ended.wait(), 5)
