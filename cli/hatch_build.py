"""Puts the rendered manifests and the chart into the wheel, and refuses to build one without them."""

from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

LIBRARIES = {"weft_sidecar": "sidecar/src/weft_sidecar", "weft_kube": "kube/src/weft_kube"}
"""Pure code that the CLI shares with the services and that is on no index: the wheel holds it."""


class WeftBuildHook(BuildHookInterface[Any]):
    """Hatch calls it before it builds a wheel."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Add what lies outside the package, or is not in git, to a wheel that users install."""
        if version == "editable":
            return
        manifests, chart = Path(self.root, "src/weft/manifests"), Path(self.root, "../charts/mesh")
        if not (manifests / "core.yaml").is_file():
            raise RuntimeError("the manifests are missing: run `make manifests` first")
        parts = [part for part in chart.resolve().iterdir() if part.name != "tests"]
        build_data["force_include"] |= {str(part): f"weft/chart/{part.name}" for part in parts}
        build_data["force_include"][str(manifests)] = "weft/manifests"
        build_data["force_include"] |= {
            str(Path(self.root, "../libs", source)): name for name, source in LIBRARIES.items()
        }
