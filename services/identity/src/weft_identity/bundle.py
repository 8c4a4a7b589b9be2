"""Which namespaces lack the trust bundle. Pure: fed by two watches, asked by the publisher."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from msgspec import field
from weft_kube.names import TRUST_BUNDLE_KEY
from weft_kube.objects import Namespace, Object


class ConfigMap(Object):
    """v1 ConfigMap."""

    data: dict[str, str] = field(default_factory=dict)


class Namespaces:
    """The namespaces that live: one that is being deleted takes no new objects."""

    def __init__(self, changed: Callable[[], None] = lambda: None) -> None:
        self.names: set[str] = set()
        self._changed = changed

    def apply(self, obj: Namespace) -> None:
        """New or changed."""
        if obj.metadata.deletion_timestamp:
            self.names.discard(obj.metadata.name)
        else:
            self.names.add(obj.metadata.name)
        self._changed()

    def delete(self, key: tuple[str, str]) -> None:
        """Gone."""
        self.names.discard(key[1])

    def reset(self, objects: Sequence[Namespace]) -> None:
        """These are all there are."""
        self.names = {obj.metadata.name for obj in objects if not obj.metadata.deletion_timestamp}
        self._changed()


@dataclass(frozen=True, slots=True)
class Copy:
    """A ConfigMap's bundle, and the uids of its owners."""

    text: str
    owners: frozenset[str] = frozenset()

    @classmethod
    def of(cls, obj: ConfigMap) -> "Copy":
        """What a ConfigMap holds."""
        return cls(obj.data.get(TRUST_BUNDLE_KEY, ""), frozenset(ref.uid for ref in obj.metadata.owner_references))


class Copies:
    """The copy in each namespace that has the ConfigMap."""

    def __init__(self, changed: Callable[[], None] = lambda: None) -> None:
        self.found: dict[str, Copy] = {}
        self._changed = changed

    def apply(self, obj: ConfigMap) -> None:
        """New or changed."""
        self.found[obj.metadata.namespace] = Copy.of(obj)
        self._changed()

    def delete(self, key: tuple[str, str]) -> None:
        """Gone."""
        self.found.pop(key[0], None)
        self._changed()

    def reset(self, objects: Sequence[ConfigMap]) -> None:
        """These are all there are."""
        self.found = {obj.metadata.namespace: Copy.of(obj) for obj in objects}
        self._changed()


def lacking(namespaces: Namespaces, copies: Copies, wanted: Copy) -> list[str]:
    """Namespaces whose copy is absent, differs or lacks an owner, in order."""
    return sorted(name for name in namespaces.names if not _is(copies.found.get(name), wanted))


def _is(found: Copy | None, wanted: Copy) -> bool:
    return found is not None and found.text == wanted.text and wanted.owners <= found.owners
