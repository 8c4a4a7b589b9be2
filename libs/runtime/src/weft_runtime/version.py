"""The version of an installed unit, without importlib.metadata: that costs 2 MB, for parsing mail."""

import sys
from pathlib import Path


def version(unit: str) -> str:
    """Of "weft-web", for example: a folder on the path is called so (PEP 376). LookupError when it is not installed."""
    for folder in sys.path:
        for found in Path(folder).glob(f"{unit.replace('-', '_')}-*.dist-info"):
            return found.name.removesuffix(".dist-info").rpartition("-")[2]
    raise LookupError(f"{unit} is not installed")
