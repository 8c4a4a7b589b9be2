"""Watches that only say: look again."""

from collections.abc import Callable, Sequence

from weft_kube.objects import Object

from weft_identity.ledger import Ledger, RotationMap


class Touch:
    """An index that only says: something changed."""

    def __init__(self, touch: Callable[[], None]) -> None:
        self._touch = touch

    def apply(self, _: Object) -> None:
        """New or changed."""
        self._touch()

    def delete(self, _: tuple[str, str]) -> None:
        """Gone."""
        self._touch()

    def reset(self, _: Sequence[Object]) -> None:
        """Listed anew."""
        self._touch()


class TouchOnPhase(Touch):
    """As `Touch`, but leaves that were written down say nothing new."""

    def __init__(self, touch: Callable[[], None], ledger: Ledger) -> None:
        super().__init__(touch)
        self._ledger = ledger

    def apply(self, obj: Object) -> None:
        """New or changed."""
        if isinstance(obj, RotationMap) and self._ledger.differs(obj.data):
            super().apply(obj)
