"""The mesh that web speaks of. Pure."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Mesh:
    """Facts that hold as long as web runs."""

    namespace: str
    """The control plane's."""
    trust_domain: str
    version: str
