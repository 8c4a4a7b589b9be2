"""What is known of one kind, by key, and small groups of values."""

from collections.abc import Callable, Iterable
from typing import Generic, Protocol, TypeVar

from weft_destination.model import Key


class Fact(Protocol):
    """Something with a namespace and a name."""

    @property
    def key(self) -> Key:
        """Namespace and name."""


F = TypeVar("F", bound=Fact)


class Table(Generic[F]):
    """All facts of one kind, changed by the three verbs; equal facts change nothing."""

    def __init__(self, changed: Callable[[F | None, F | None], None]) -> None:
        self.rows: dict[Key, F] = {}
        self._changed = changed

    def apply(self, fact: F) -> None:
        """A fact is new or changed."""
        before = self.rows.get(fact.key)
        if before != fact:
            self.rows[fact.key] = fact
            self._changed(before, fact)

    def delete(self, key: Key) -> None:
        """The fact with this key is gone."""
        if before := self.rows.pop(key, None):
            self._changed(before, None)

    def reset(self, facts: Iterable[F]) -> None:
        """These are all there are; others are gone."""
        gone = set(self.rows)
        for fact in facts:
            gone.discard(fact.key)
            self.apply(fact)
        for key in gone:
            self.delete(key)


K = TypeVar("K")
V = TypeVar("V")


class Groups(Generic[K, V]):
    """A few values for each key; mostly one, so a tuple, which is far smaller than a set."""

    def __init__(self) -> None:
        self._values: dict[K, tuple[V, ...]] = {}

    def __getitem__(self, key: K) -> tuple[V, ...]:
        return self._values.get(key, ())

    def add(self, key: K, value: V) -> None:
        """Adds a value to the key's."""
        self._values[key] = (*self[key], value)

    def discard(self, key: K, value: V) -> None:
        """Takes it out again."""
        if rest := tuple(other for other in self[key] if other != value):
            self._values[key] = rest
        else:
            self._values.pop(key, None)
