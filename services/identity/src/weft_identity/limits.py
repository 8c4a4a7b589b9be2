"""How much of identity one workload may take: so that a thousand requests of one leave room for the others. Pure."""

from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager

CONCURRENT = 32
"""Requests of one service account under way at once; what comes beside them is refused and asks again later."""

BURST = 200
PER_SECOND = 50.0
"""Leaves of one service account: this many at once, then so many a second. Proxies ask again within 10 s."""

REMEMBERED = 10_000
"""Service accounts that are kept apart; who was quiet for longest is forgotten first."""


class LimitedError(Exception):
    """A workload asks for more than its share; the message says of what."""


class Limits:
    """Counts by service account. Names for `entered` may be claims that nobody has checked yet."""

    def __init__(self) -> None:
        self._entered: dict[str, int] = {}
        self._spent: OrderedDict[str, tuple[float, float]] = OrderedDict()
        """Tokens left, and when that was."""

    @contextmanager
    def entered(self, claimed: str) -> Iterator[None]:
        """One of the requests under way; LimitedError when there are too many."""
        count = self._entered.get(claimed, 0)
        if count >= CONCURRENT:
            raise LimitedError(f"{CONCURRENT} requests of this service account are under way: try again in a second")
        self._entered[claimed] = count + 1
        try:
            yield
        finally:
            self._entered[claimed] -= 1
            if not self._entered[claimed]:
                del self._entered[claimed]

    def spend(self, account: str, now: float) -> None:
        """One leaf; LimitedError when the account has had its share. `now`: seconds of any steady clock."""
        left, since = self._spent.pop(account, (BURST, now))
        left = min(BURST, left + (now - since) * PER_SECOND)
        self._spent[account] = (left - 1 if left >= 1 else left, now)
        if len(self._spent) > REMEMBERED:
            self._spent.popitem(last=False)
        if left < 1:
            raise LimitedError(f"this service account has had {BURST} leaves: from now on {PER_SECOND:g} a second")
