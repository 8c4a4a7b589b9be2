"""What a serving certificate's Secret holds, and what is asked about it. Pure, and without the means to make one."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from msgspec import Struct

LIFETIME = timedelta(days=30)
RENEW_AFTER = 2 / 3
CLOCK_SKEW = timedelta(minutes=10)
"""Replicas' clocks may differ by this much: else the late one would renew again and again what the early one made."""


class Pair(Struct, frozen=True):
    """Certificate and key of a server, and the CAs that its clients are to trust: the newest first."""

    authorities: bytes
    certificate: bytes
    key: bytes
    not_before: datetime
    not_after: datetime

    def due(self, now: datetime) -> bool:
        """Is it time for a new one? Also when it claims to come from a future beyond skew of clocks."""
        renew_at = self.not_before + (self.not_after - self.not_before) * RENEW_AFTER
        return not self.not_before - CLOCK_SKEW <= now < renew_at

    def data(self) -> dict[str, bytes]:
        """As data of a Secret of type kubernetes.io/tls."""
        return {"ca.crt": self.authorities, "tls.crt": self.certificate, "tls.key": self.key}


class Question(Struct, frozen=True):
    """Which pair is to be used? `data` is the Secret's; None when there is none."""

    name: str
    hosts: Sequence[str]
    now: datetime
    data: dict[str, bytes] | None


class Settled(Struct, frozen=True):
    """The Secret's pair, or one that was made to replace it; `fault` says what was wrong with the Secret's."""

    pair: Pair
    made: bool
    fault: str = ""
