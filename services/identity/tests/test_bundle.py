"""Which namespaces lack the trust bundle."""

from hypothesis import given
from hypothesis import strategies as st
from weft_identity.bundle import ConfigMap, Copies, Copy, Namespaces, lacking
from weft_kube.objects import Meta, Namespace, OwnerReference

NAMES = st.sampled_from(["a", "b", "c", "d"])
NEW = Copy("new")
TEXTS = st.sampled_from(["new", "old", ""])


def namespace(name: str, *, leaving: bool = False) -> Namespace:
    """A namespace, perhaps one that is being deleted."""
    return Namespace(Meta(name=name, deletion_timestamp="2026-05-01T00:00:00Z" if leaving else None))


def copy(name: str, text: str) -> ConfigMap:
    """The bundle's ConfigMap in a namespace."""
    return ConfigMap(Meta(namespace=name, name="weft-trust-bundle"), {"ca.crt": text})


def test_absent_and_different_copies_are_due() -> None:
    """A namespace on its way out is left alone."""
    namespaces, copies = Namespaces(), Copies()
    namespaces.reset([namespace("a"), namespace("b"), namespace("c"), namespace("d", leaving=True)])
    copies.reset([copy("a", "new"), copy("b", "old")])
    assert lacking(namespaces, copies, NEW) == ["b", "c"]


def test_a_changed_copy_is_due_again() -> None:
    """Edited or deleted, it comes back; a namespace that leaves does not."""
    namespaces, copies = Namespaces(), Copies()
    namespaces.reset([namespace("a"), namespace("b")])
    copies.reset([copy("a", "new"), copy("b", "new")])
    copies.apply(copy("a", "edited"))
    copies.delete(("b", "weft-trust-bundle"))
    assert lacking(namespaces, copies, NEW) == ["a", "b"]
    namespaces.apply(namespace("b", leaving=True))
    assert lacking(namespaces, copies, NEW) == ["a"]


def test_a_copy_without_its_owner_is_due() -> None:
    """It would outlive weft; owners that others have set are no harm."""
    namespaces, copies = Namespaces(), Copies()
    namespaces.reset([namespace("a"), namespace("b"), namespace("c")])
    owned = copy("b", "new")
    owned.metadata.owner_references = [OwnerReference("ClusterRole", "weft-identity", uid) for uid in ("old", "now")]
    copies.reset([copy("a", "new"), owned])
    assert lacking(namespaces, copies, Copy("new", frozenset(["now"]))) == ["a", "c"]


@given(st.lists(st.tuples(NAMES, TEXTS | st.none())), st.sets(NAMES))
def test_any_order_of_events_ends_as_a_list_would(events: list[tuple[str, str | None]], alive: set[str]) -> None:
    """Applied one by one or listed at the end: the same namespaces are due."""
    namespaces, followed, listed = Namespaces(), Copies(), Copies()
    namespaces.reset([namespace(name) for name in sorted(alive)])
    for name, text in events:
        if text is None:
            followed.delete((name, "weft-trust-bundle"))
        else:
            followed.apply(copy(name, text))
    listed.reset([copy(name, text) for name, text in dict(events).items() if text is not None])
    assert lacking(namespaces, followed, NEW) == lacking(namespaces, listed, NEW)
