"""Server push: what changed since the last look, as server-sent events. Pure but for the pause it is given."""

from collections.abc import AsyncIterator, Awaitable, Callable

import msgspec

from weft_web.model import Change, Ref, Row, Stat

PERIOD_SECONDS = 2.0
HEARTBEAT = b": still here\n\n"


def message(data: bytes) -> bytes:
    """An event that a browser's `onmessage` gets; `data` is JSON in one line."""
    return b"data: " + data + b"\n\n"


def failure(data: bytes) -> bytes:
    """The last event of a stream that cannot go on: a browser cannot see the status of a refused stream."""
    return b"event: failure\ndata: " + data + b"\n\n"


def change(before: Stat, after: Stat) -> Change | None:
    """What a reader of `before` must change to hold `after`; None: nothing."""
    old, new = ({_ref(row): row for row in stat.rows} for stat in (before, after))
    rows = [row for ref, row in new.items() if old.get(ref) != row]
    removed = [ref for ref in old if ref not in new]
    if not rows and not removed and before.warnings == after.warnings:
        return None
    return Change(after.window_seconds, rows, removed, after.warnings)


async def pushes(
    look: Callable[[], Awaitable[msgspec.Struct]], sleep: Callable[[float], Awaitable[object]]
) -> AsyncIterator[bytes]:
    """Of rows: all, then the changes. Of other answers: the whole, each time it differs."""
    seen = await look()
    whole = Change(seen.window_seconds, seen.rows, [], seen.warnings) if isinstance(seen, Stat) else seen
    yield message(msgspec.json.encode(whole))
    while True:
        await sleep(PERIOD_SECONDS)
        now = await look()
        yield _push(seen, now)
        seen = now


def _push(seen: msgspec.Struct, now: msgspec.Struct) -> bytes:
    news: msgspec.Struct | None = now if now != seen else None
    if isinstance(seen, Stat) and isinstance(now, Stat):
        news = change(seen, now)
    return message(msgspec.json.encode(news)) if news else HEARTBEAT


def _ref(row: Row) -> Ref:
    return Ref(row.namespace, row.kind, row.name)
