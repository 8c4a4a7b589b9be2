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
    """A few values for each key; mostly one, so the first is held by itself, which is smaller than any collection."""

    def __init__(self) -> None:
        self._first: dict[K, V] = {}
        self._others: dict[K, tuple[V, ...]] = {}

    def __getitem__(self, key: K) -> tuple[V, ...]:
        return (self._first[key], *self._others.get(key, ())) if key in self._first else ()

    def add(self, key: K, value: V) -> None:
        """Adds a value to the key's."""
        if key in self._first:
            self._others[key] = (*self._others.get(key, ()), value)
        else:
            self._first[key] = value

    def discard(self, key: K, value: V) -> None:
        """Takes it out again."""
        rest = [other for other in self[key] if other != value]
        self._first.pop(key, None)
        self._others.pop(key, None)
        for other in rest:
            self.add(key, other)
