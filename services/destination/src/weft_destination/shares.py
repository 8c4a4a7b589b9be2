"""How much of one destination a caller may take, so that a single pod leaves room for all others. Pure.

A caller is an identity at an address: a pod, or a node's pods of one service account where the network hides them
behind the node.
"""

STREAMS_EACH = 128
"""Streams of one caller. A proxy has one, and a second one while it connects again."""

TARGETS_EACH = 10_000
"""Targets of one caller, all its streams together: twice what a proxy remembers."""


class Share:
    """What a caller has now."""

    __slots__ = ("streams", "targets")

    def __init__(self) -> None:
        self.streams = 0
        self.targets = 0


class Shares:
    """Of all callers that have any; its length is the number of streams."""

    def __init__(self) -> None:
        self._by_caller: dict[int, Share] = {}
        self._streams = 0

    def __len__(self) -> int:
        return self._streams

    def enter(self, caller: int) -> Share | None:
        """The caller's share with one stream more; None when it has as many as it may. `caller` is a hash of who it
        is, which takes less room than the words."""
        share = self._by_caller.get(caller) or Share()
        if share.streams >= STREAMS_EACH:
            return None
        self._by_caller[caller] = share
        share.streams += 1
        self._streams += 1
        return share

    def leave(self, caller: int) -> None:
        """One of its streams has ended."""
        self._streams -= 1
        share = self._by_caller[caller]
        share.streams -= 1
        if not share.streams:
            del self._by_caller[caller]
