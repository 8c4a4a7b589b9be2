"""What a check is, what it looks at, and what comes out."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from weft.cluster import Kube, Object


class CheckFailedError(Exception):
    """The check's condition does not hold; the message says why."""


class CheckSkippedError(Exception):
    """The check has no meaning here; nothing is printed."""


@dataclass
class Scene:
    """The cluster as the checks see it. What several checks read is read once."""

    connect: Callable[[], Kube]
    version: str
    namespace: str | None = None
    _kube: Kube | None = None
    _seen: dict[str, Any] = field(default_factory=dict)

    @property
    def kube(self) -> Kube:
        """The connected client."""
        if self._kube is None:
            self._kube = self.connect()
        return self._kube

    def once(self, path: str) -> Object | None:
        """An object, read at most once in a run (so not for what checks wait for)."""
        if path not in self._seen:
            self._seen[path] = self.kube.find(path)
        found: Object | None = self._seen[path]
        return found


@dataclass(frozen=True, slots=True)
class Check:
    """One condition. `hint` says what to do when it does not hold."""

    id: str
    description: str
    probe: Callable[[Scene], None]
    hint: str
    fatal: bool = False
    """All that follows is pointless without it."""
    warning: bool = False
    """Not holding is worth a line, not a failure."""
    retry: bool = False
    """May become true by waiting."""


@dataclass(frozen=True, slots=True)
class Category:
    """Checks under one heading."""

    name: str
    checks: tuple[Check, ...]


@dataclass(frozen=True, slots=True)
class Result:
    """What came out of one check: success, warning or error."""

    category: str
    id: str
    description: str
    result: str
    error: str
    hint: str
    seconds: float


def require(condition: object, message: str) -> None:
    """Fail the check unless the condition holds."""
    if not condition:
        raise CheckFailedError(message)
