"""At most so many events a second, with one second's worth at once. Pure but for the clock it is given."""

from collections.abc import Callable


class Pace:
    """A token bucket that counts what it holds back."""

    def __init__(self, per_second: int, clock: Callable[[], float]) -> None:
        self._per_second = per_second
        self._clock = clock
        self._tokens = float(per_second)
        self._filled = clock()
        self._held_back = 0

    def allow(self, left_out: int = 0) -> int | None:
        """How many events were left out before this one, which may go; None: this one is left out too.

        `left_out`: how many the source itself left out since its last event.
        """
        now = self._clock()
        self._tokens = min(self._per_second, self._tokens + (now - self._filled) * self._per_second)
        self._filled = now
        self._held_back += left_out
        if self._tokens < 1:
            self._held_back += 1
            return None
        self._tokens -= 1
        before, self._held_back = self._held_back, 0
        return before
