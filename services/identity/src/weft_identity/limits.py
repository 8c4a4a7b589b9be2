"""How much of identity one workload may take: so that a thousand requests of one leave room for the others. Pure."""

from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager

CONCURRENT = 32
"""Requests of one caller under way at once; what comes beside them is refused and asks again later."""

NEWCOMERS = 1_000
"""Requests of all callers without a certificate under way at once: the rest of the server's calls is for renewals."""

BURST = 200
PER_SECOND = 50.0
"""Leaves of one service account: this many at once, then so many a second. Proxies ask again within 10 s."""

REMEMBERED = 10_000
"""Service accounts that are kept apart; who was quiet for longest is forgotten first."""


class LimitedError(Exception):
    """A workload asks for more than its share; the message says of what."""


class Limits:
    """Requests by caller, as the connection tells who that is; leaves by service account, as Kubernetes tells it."""

    def __init__(self) -> None:
        self._entered: dict[str, int] = {}
        self._newcomers = 0
        self._spent: OrderedDict[str, tuple[float, float]] = OrderedDict()
        """Tokens left, and when that was."""

    @contextmanager
    def entered(self, caller: str, *, known: bool) -> Iterator[None]:
        """One of the requests under way; LimitedError when there are too many. `known`: by a certificate."""
        count = self._entered.get(caller, 0)
        if count >= CONCURRENT:
            raise LimitedError(f"{CONCURRENT} requests of this caller are under way: try again in a second")
        if not known and self._newcomers >= NEWCOMERS:
            raise LimitedError(f"{NEWCOMERS} requests of newcomers are under way: try again in a second")
        self._entered[caller] = count + 1
        self._newcomers += not known
        try:
            yield
        finally:
            self._newcomers -= not known
            self._entered[caller] -= 1
            if not self._entered[caller]:
                del self._entered[caller]

    def spend(self, account: str, now: float) -> None:
        """One leaf; LimitedError when the account has had its share. `now`: seconds of any steady clock."""
        left, since = self._spent.pop(account, (BURST, now))
        left = min(BURST, left + (now - since) * PER_SECOND)
        self._spent[account] = (left - 1 if left >= 1 else left, now)
        if len(self._spent) > REMEMBERED:
            self._spent.popitem(last=False)
        if left < 1:
            raise LimitedError(f"this service account has had {BURST} leaves: from now on {PER_SECOND:g} a second")
