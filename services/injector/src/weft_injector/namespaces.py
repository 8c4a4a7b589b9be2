"""Labels and annotations of namespaces, kept by a watch. Pure."""

from collections.abc import Sequence

from weft_kube.objects import Meta, Namespace


class Namespaces:
    """An index of namespaces."""

    def __init__(self) -> None:
        self._metadata: dict[str, Meta] = {}

    def get(self, name: str) -> Meta | None:
        """A namespace's metadata; None while the watch has not seen it."""
        return self._metadata.get(name)

    def apply(self, obj: Namespace) -> None:
        """A namespace is new or changed."""
        self._metadata[obj.metadata.name] = obj.metadata

    def delete(self, key: tuple[str, str]) -> None:
        """The namespace with this name is gone."""
        self._metadata.pop(key[1], None)

    def reset(self, objects: Sequence[Namespace]) -> None:
        """These are all there are."""
        self._metadata = {obj.metadata.name: obj.metadata for obj in objects}
