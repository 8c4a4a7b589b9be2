"""Which namespaces lack the trust bundle. Pure: fed by two watches, asked by the publisher."""

from collections.abc import Callable, Sequence

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


class Copies:
    """The bundle's text in each namespace that has the ConfigMap."""

    def __init__(self, changed: Callable[[], None] = lambda: None) -> None:
        self.texts: dict[str, str] = {}
        self._changed = changed

    def apply(self, obj: ConfigMap) -> None:
        """New or changed."""
        self.texts[obj.metadata.namespace] = obj.data.get(TRUST_BUNDLE_KEY, "")
        self._changed()

    def delete(self, key: tuple[str, str]) -> None:
        """Gone."""
        self.texts.pop(key[0], None)
        self._changed()

    def reset(self, objects: Sequence[ConfigMap]) -> None:
        """These are all there are."""
        self.texts = {obj.metadata.namespace: obj.data.get(TRUST_BUNDLE_KEY, "") for obj in objects}
        self._changed()


def lacking(namespaces: Namespaces, copies: Copies, wanted: str) -> list[str]:
    """Namespaces whose copy is absent or differs, in order."""
    return sorted(name for name in namespaces.names if copies.texts.get(name) != wanted)
